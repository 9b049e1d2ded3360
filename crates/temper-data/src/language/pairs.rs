//! Pairs of texts for BERT's second objective: does the second text follow the first? (Devlin et al. 2018, appendix A.2)

use unicode_segmentation::UnicodeSegmentation;

use super::Document;
use crate::{DataError, TextTokenizer, unit_hash};

/// Tokens that are left free in a pair: joined sentences may have a few more tokens than they have separately.
const SPARE: usize = 8;

/// Two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentencePair {
    /// Some sentences of a document.
    pub first: String,
    /// Those after them, or some of elsewhere.
    pub second: String,
    /// True if it follows.
    pub follows: bool,
}

/// The pairs of some documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentencePairs {
    /// In the order of the documents.
    pub pairs: Vec<SentencePair>,
    /// Passages of one sentence: they give no pair.
    pub single: usize,
}

/// Sentences of a document that follow each other.
struct Passage<'a> {
    document: usize,
    /// With the white space after each.
    texts: Vec<&'a str>,
}

/// Makes pairs of documents: passages of whole sentences with about `max_length` tokens, each cut between two sentences.
/// In half of them, by `seed`, the second part is of another document, or of another passage if there is only one
/// document.
///
/// # Errors
/// [`DataError::Encode`] for a text that cannot be encoded.
pub fn sentence_pairs(
    tokenizer: &TextTokenizer,
    documents: &[Document],
    max_length: usize,
    seed: u64,
) -> Result<SentencePairs, DataError> {
    let room = max_length.saturating_sub(tokenizer.special_count(true) + SPARE).max(2);
    let mut passages: Vec<Passage<'_>> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        passages.extend(passages_of(tokenizer, document, index, room)?);
    }
    let all = passages.len();
    passages.retain(|passage| passage.texts.len() > 1);
    let pair = |(number, passage): (usize, &Passage<'_>)| {
        let cut = 1 + choice(seed, number, "cut", passage.texts.len() - 1);
        let first = passage.texts[..cut].concat();
        let elsewhere = other_passage(&passages, number, seed);
        let follows = elsewhere.is_none() || choice(seed, number, "follows", 2) == 0;
        let second = match elsewhere.filter(|_| !follows) {
            None => passage.texts[cut..].concat(),
            Some(other) => {
                let from = choice(seed, number, "from", other.texts.len());
                other.texts[from..].concat()
            }
        };
        SentencePair { first: first.trim().to_owned(), second: second.trim().to_owned(), follows }
    };
    let pairs = passages.iter().enumerate().map(pair).collect();
    Ok(SentencePairs { pairs, single: all - passages.len() })
}

/// A number below a limit that depends on nothing but a seed, the number of a passage and what it is for.
fn choice(seed: u64, number: usize, what: &str, below: usize) -> usize {
    ((unit_hash(&format!("{seed} {what} {number}")) * below as f64) as usize).min(below - 1)
}

/// A passage of another document, or any other one where all are of one document.
fn other_passage<'a, 'b>(passages: &'a [Passage<'b>], number: usize, seed: u64) -> Option<&'a Passage<'b>> {
    let own = passages[number].document;
    let first = passages.partition_point(|passage| passage.document < own);
    let behind = passages.partition_point(|passage| passage.document <= own);
    // Passages of a document are together.
    let (from, to) = if behind - first == passages.len() { (number, number + 1) } else { (first, behind) };
    let others = passages.len() - (to - from);
    if others == 0 {
        return None;
    }
    let place = choice(seed, number, "other", others);
    Some(&passages[if place < from { place } else { place + (to - from) }])
}

/// Sentences of a document, as many at a time as have `room` tokens.
fn passages_of<'a>(
    tokenizer: &TextTokenizer,
    document: &'a Document,
    index: usize,
    room: usize,
) -> Result<Vec<Passage<'a>>, DataError> {
    let mut passages: Vec<Passage<'a>> = Vec::new();
    let mut tokens = 0;
    // Unicode's rules of sentences (UAX 29).
    for text in document.text.split_sentence_bounds().filter(|text| !text.trim().is_empty()) {
        let encoding = tokenizer.inner().encode(text, false);
        let encoding =
            encoding.map_err(|error| DataError::Encode { example: index, reason: error.to_string() })?;
        tokens += encoding.len();
        match passages.last_mut().filter(|_| tokens <= room) {
            Some(passage) => passage.texts.push(text),
            None => {
                tokens = encoding.len();
                passages.push(Passage { document: index, texts: vec![text] });
            }
        }
    }
    Ok(passages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 3] = [
        "Ada wrote a program. It was the first. Nobody ran it. She died young. ",
        "The sea is deep. Fish live in it! Do they sleep? Some do. ",
        "One sentence alone without any end",
    ];

    fn tokenizer() -> TextTokenizer {
        let folder = tempfile::tempdir().unwrap();
        let words = TEXTS.join(" ").to_lowercase();
        let mut words: Vec<&str> =
            words.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        words.sort_unstable();
        words.dedup();
        let vocabulary =
            [&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "!", "?"][..], &words].concat();
        std::fs::write(folder.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
        crate::load_tokenizer(folder.path()).unwrap()
    }

    fn documents(texts: &[&str]) -> Vec<Document> {
        texts.iter().enumerate().map(|(row, text)| Document::whole(text.repeat(20), row + 1)).collect()
    }

    #[test]
    fn half_of_the_pairs_follow_and_the_others_are_of_another_document() {
        let documents = documents(&TEXTS);
        let SentencePairs { pairs, single } = sentence_pairs(&tokenizer(), &documents, 32, 1).unwrap();
        assert!(single > 0 && pairs.len() > 20, "{single} {}", pairs.len());
        let follow = pairs.iter().filter(|pair| pair.follows).count();
        assert!((pairs.len() / 4..pairs.len() * 3 / 4).contains(&follow), "{follow} of {}", pairs.len());
        for SentencePair { first, second, follows } in &pairs {
            let document = |text: &str| documents.iter().position(|document| document.text.contains(text));
            let joined = format!("{first} {second}");
            assert_eq!(
                documents.iter().any(|document| document.text.contains(&joined)),
                *follows,
                "{joined}"
            );
            assert!(*follows || document(first) != document(second), "{joined}");
        }
        assert_eq!(sentence_pairs(&tokenizer(), &documents, 32, 1).unwrap().pairs, pairs);
        assert_ne!(sentence_pairs(&tokenizer(), &documents, 32, 2).unwrap().pairs, pairs);
    }

    #[test]
    fn one_document_gives_pairs_of_its_own_passages() {
        let of_one = sentence_pairs(&tokenizer(), &documents(&TEXTS[..1]), 32, 1).unwrap();
        assert!(
            of_one.pairs.iter().any(|pair| !pair.follows) && of_one.pairs.iter().any(|pair| pair.follows)
        );
        let passage =
            sentence_pairs(&tokenizer(), &[Document::whole("It was. It is.".into(), 1)], 32, 1).unwrap();
        assert_eq!((passage.pairs.len(), passage.pairs[0].follows), (1, true));
    }
}
