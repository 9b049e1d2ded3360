//! Sentences as features: words in windows, and which token speaks for which word.

use std::ops::Range;

use temper_data::{
    DataError, Encoded, EncodedSet, TaggedText, UnlabelledText, WhichText, Window, WindowInput,
    WindowSettings, best_windows, encode_windows, split_words,
};

use super::Encoder;
use super::per_token::NO_TARGET;
use crate::examples::{Features, Target};

/// A text and the places of its words in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) text: String,
    /// In bytes.
    pub(super) words: Vec<Range<usize>>,
}

impl Sentence {
    /// A raw text split into words, as in training where the words came from raw text.
    pub(super) fn split(text: &str) -> Self {
        Self { words: split_words(text), text: text.to_owned() }
    }

    /// The words of a dataset; where it has no raw text, with a space between.
    pub(super) fn of_row(row: &TaggedText) -> Self {
        if let (Some(text), Some(words)) = (&row.text, row.ranges()) {
            return Self { text: text.clone(), words };
        }
        Self::of_words(&row.words)
    }

    /// A text that is to be predicted: in the words that its file has, else split.
    pub(super) fn of_text(text: &UnlabelledText) -> Self {
        text.words.as_deref().map_or_else(|| Self::split(&text.text), Self::of_words)
    }

    /// Words with a space between.
    fn of_words(words: &[String]) -> Self {
        let mut sentence = Self::default();
        for word in words {
            if !sentence.words.is_empty() {
                sentence.text.push(' ');
            }
            let start = sentence.text.len();
            sentence.text.push_str(word);
            sentence.words.push(start..sentence.text.len());
        }
        sentence
    }

    /// The words themselves.
    pub(super) fn texts(&self) -> Vec<String> {
        self.words.iter().map(|word| self.text[word.clone()].to_owned()).collect()
    }

    /// A place in bytes as one in characters.
    pub(super) fn characters(&self, bytes: Range<usize>) -> Range<usize> {
        let count = |end: usize| self.text[..end].chars().count();
        count(bytes.start)..count(bytes.end)
    }
}

/// Which tokens of a feature stand for a word. A word that is in several windows is read in the one where it has the
/// most context, as in the reference of question answering (google-research/bert, run_squad.py).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WordTokens {
    /// The word, counted in its sentence.
    pub(super) word: usize,
    /// Its tokens in the feature; the first has the target.
    pub(super) tokens: Range<usize>,
}

/// Encoded sentences.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) features: Features,
    /// Of each feature.
    pub(super) readings: Vec<Vec<WordTokens>>,
}

/// Encodes sentences; `tags` are those of their words, where they are known. All tokens of a word get its tag where
/// `all_tokens` says so, else the first.
///
/// # Errors
/// [`DataError::Window`] and those of the tokenizer.
pub(super) fn encode(
    sentences: &[Sentence],
    tags: Option<&[&[usize]]>,
    encoder: &Encoder<'_>,
    all_tokens: bool,
) -> Result<Words, DataError> {
    let words: Vec<Vec<String>> = sentences.iter().map(Sentence::texts).collect();
    let inputs: Vec<WindowInput<'_>> = words.iter().map(|words| WindowInput::Words(words)).collect();
    let settings =
        WindowSettings { max_length: encoder.max_length, stride: encoder.stride, spread: WhichText::First };
    let windows = encode_windows(encoder.tokenizer, &inputs, &settings)?;
    let readings = readings(&windows);
    let mut features =
        Features::unlabelled(EncodedSet::new(windows.iter().map(Encoded::from).collect(), false));
    features.examples = windows.iter().map(|window| window.input).collect::<Vec<_>>().into();
    if let Some(tags) = tags {
        let target = |(window, readings): (&Window, &Vec<WordTokens>)| {
            target(window.ids.len(), readings, tags[window.input], all_tokens)
        };
        let targets: Vec<Vec<i32>> = windows.iter().zip(&readings).map(target).collect();
        let weight = |ids: &Vec<i32>| ids.iter().filter(|&&id| id != NO_TARGET).count() as f64;
        features.weights = targets.iter().map(weight).collect::<Vec<_>>().into();
        features.targets = targets.into_iter().map(Target::Ids).collect::<Vec<_>>().into();
    }
    Ok(Words { features, readings })
}

fn target(tokens: usize, readings: &[WordTokens], tags: &[usize], all_tokens: bool) -> Vec<i32> {
    let mut ids = vec![NO_TARGET; tokens];
    for WordTokens { word, tokens } in readings {
        let labelled = if all_tokens { tokens.clone() } else { tokens.start..tokens.start + 1 };
        ids[labelled].fill(tags[*word] as i32);
    }
    ids
}

/// The words that each window decides, by their first tokens.
fn readings(windows: &[Window]) -> Vec<Vec<WordTokens>> {
    let decides = best_windows(windows);
    // Of each word of the input in hand, the first token, counted over the whole input.
    let mut first: Vec<Option<usize>> = Vec::new();
    let mut input = None;
    let mut all = Vec::with_capacity(windows.len());
    for (window, decides) in windows.iter().zip(&decides) {
        if input != Some(window.input) {
            (input, first) = (Some(window.input), Vec::new());
        }
        let mut readings: Vec<WordTokens> = Vec::new();
        for token in window.spread.clone() {
            let Some(place) = window.places[token] else { continue };
            let (word, place) = (place.word as usize, window.from + token - window.spread.start);
            if first.len() <= word {
                first.resize(word + 1, None);
            }
            match readings.last_mut().filter(|last| last.word == word) {
                Some(last) => last.tokens.end = token + 1,
                None if *first[word].get_or_insert(place) == place && decides[token] => {
                    readings.push(WordTokens { word, tokens: token..token + 1 });
                }
                None => {}
            }
        }
        all.push(readings);
    }
    all
}

#[cfg(test)]
mod tests {
    use temper_data::{TextTokenizer, Truncation, load_tokenizer};

    use super::*;

    #[test]
    fn words_without_a_text_stand_with_spaces_between() {
        let words = ["Ada", "Łódź", "!"].map(String::from).to_vec();
        let row = TaggedText { tags: vec![0; 3], words: words.clone(), text: None, row: 1 };
        let sentence = Sentence::of_row(&row);
        assert_eq!(sentence.text, "Ada Łódź !");
        assert_eq!(sentence.texts(), words);
        assert_eq!(sentence.characters(sentence.words[2].clone()), 9..10);
        assert_eq!(Sentence::split("Ada, Łódź").texts(), ["Ada", ",", "Łódź"]);
    }

    /// Words of one to three tokens.
    fn tokenizer(dir: &std::path::Path) -> TextTokenizer {
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] un ##believ ##able film good".split(' ');
        std::fs::write(dir.join("vocab.txt"), words.collect::<Vec<_>>().join("\n")).unwrap();
        load_tokenizer(dir).unwrap()
    }

    #[test]
    fn every_word_of_a_long_sentence_has_one_token_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(dir.path());
        let text = "unbelievable film unbelievable good film unbelievable unbelievable film good";
        let sentences = [Sentence::split(text), Sentence::split("film"), Sentence::split("")];
        let tags: Vec<Vec<usize>> = sentences.iter().map(|words| (0..words.words.len()).collect()).collect();
        let tags: Vec<&[usize]> = tags.iter().map(Vec::as_slice).collect();
        for (max_length, stride) in [(7, 0), (7, 2), (8, 5), (40, 10)] {
            let encoder = Encoder { tokenizer: &tokenizer, max_length, truncation: Truncation::Head, stride };
            let words = encode(&sentences, Some(&tags), &encoder, false).unwrap();
            let features = &words.features;
            let mut read = vec![Vec::new(); 3];
            for (feature, readings) in words.readings.iter().enumerate() {
                let Target::Ids(ids) = &features.targets[feature] else { panic!("no ids") };
                let mut labelled = vec![NO_TARGET; ids.len()];
                for reading in readings {
                    read[features.examples[feature]].push(reading.word);
                    labelled[reading.tokens.start] = reading.word as i32;
                    // The first token of a word is no continuation.
                    let token = tokenizer.token(features.encoded.items[feature].ids[reading.tokens.start]);
                    assert!(!token.unwrap().starts_with("##"));
                }
                assert_eq!(*ids, labelled);
                assert_eq!(features.weights[feature], readings.len() as f64);
            }
            read.iter_mut().for_each(|words| words.sort_unstable());
            assert_eq!(read, [(0..9).collect(), vec![0], vec![]], "{max_length} {stride}");
        }
    }

    #[test]
    fn the_first_token_of_a_word_or_all_have_its_tag() {
        let readings = [WordTokens { word: 0, tokens: 1..3 }, WordTokens { word: 2, tokens: 4..5 }];
        assert_eq!(target(6, &readings, &[7, 8, 9], false), [-100, 7, -100, -100, 9, -100]);
        assert_eq!(target(6, &readings, &[7, 8, 9], true), [-100, 7, 7, -100, 9, -100]);
    }
}
