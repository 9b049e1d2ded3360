//! Schemes of tags: how the tags of words say where an entity begins and ends.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::readers::split_tag;

/// How tags mark entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagScheme {
    /// IOB2: every entity begins with B (Tjong Kim Sang & Veenstra 1999).
    Bio,
    /// IOB1: B is only where an entity follows one of the same type (Ramshaw & Marcus 1995).
    Iob1,
    /// IOBES: entities of one word are S, the last word of others is E.
    Bioes,
    /// Entities of one word are U, the last word of others is L (Ratinov & Roth 2009).
    Bilou,
    /// Tags that mark no entities, as parts of speech: any sequence is right.
    Plain,
}

impl TagScheme {
    /// The scheme's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bio => "BIO (IOB2)",
            Self::Iob1 => "IOB1",
            Self::Bioes => "BIOES",
            Self::Bilou => "BILOU",
            Self::Plain => "no scheme",
        }
    }

    /// The marks of an entity's words, in the order of tag names.
    pub(super) fn marks(self) -> &'static [char] {
        match self {
            Self::Bio | Self::Iob1 => &['B', 'I'],
            Self::Bioes => &['B', 'I', 'E', 'S'],
            Self::Bilou => &['B', 'I', 'L', 'U'],
            Self::Plain => &[],
        }
    }

    /// Whether a tag may follow another; `None` is what comes before the first word and after the last.
    pub fn allows(self, before: Option<&str>, tag: Option<&str>) -> bool {
        let parts = |tag: Option<&'_ str>| tag.and_then(split_tag).unwrap_or(('O', "")).0;
        let kind = |tag: Option<&str>| tag.and_then(split_tag).map(|(_, kind)| kind.to_string());
        let (left, right) = (parts(before), parts(tag));
        let same_kind = || kind(before) == kind(tag);
        match self {
            Self::Plain => true,
            Self::Bio => right != 'I' || matches!(left, 'B' | 'I') && same_kind(),
            Self::Iob1 => right != 'B' || matches!(left, 'B' | 'I') && same_kind(),
            Self::Bioes | Self::Bilou => {
                let goes_on = matches!(left, 'B' | 'I');
                let continues = matches!(right, 'I' | 'E' | 'L');
                goes_on == continues && (!goes_on || same_kind())
            }
        }
    }

    /// The first place of a sentence's tags that the scheme does not allow, in words.
    pub fn fault(self, tags: &[&str]) -> Option<String> {
        let before = |word: usize| word.checked_sub(1).map(|index| tags[index]);
        let word = (0..=tags.len()).find(|word| !self.allows(before(*word), tags.get(*word).copied()))?;
        Some(match (before(word), tags.get(word)) {
            (Some(before), Some(tag)) => format!("word {}: `{tag}` after `{before}`", word + 1),
            (None, Some(tag)) => format!("word {}: `{tag}` at the start", word + 1),
            (before, None) => format!("word {word}: `{}` at the end", before.unwrap_or_default()),
        })
    }
}

/// What identifies the scheme of a dataset.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    marks: BTreeSet<char>,
    /// The first tag with a mark and a type.
    marked: Option<String>,
    /// The first tag of another form.
    unmarked: Option<String>,
    /// Entities that begin with I.
    begun_by_inside: usize,
    /// Entities that begin with B where IOB1 would have I.
    begun_by_begin: usize,
}

impl Evidence {
    /// A tag of the dataset.
    pub fn add_name(&mut self, tag: &str) {
        match split_tag(tag) {
            Some((mark, kind)) => {
                self.marks.insert(mark);
                if !kind.is_empty() && self.marked.is_none() {
                    self.marked = Some(tag.to_string());
                }
            }
            None if self.unmarked.is_none() => self.unmarked = Some(tag.to_string()),
            None => {}
        }
    }

    /// The tags of a sentence.
    pub fn add_sentence(&mut self, tags: &[&str]) {
        let mut before = ('O', "");
        for tag in tags {
            let (mark, kind) = split_tag(tag).unwrap_or(('O', ""));
            let follows_its_type = matches!(before.0, 'B' | 'I') && before.1 == kind;
            self.begun_by_inside += usize::from(mark == 'I' && !follows_its_type);
            self.begun_by_begin += usize::from(mark == 'B' && !follows_its_type);
            before = (mark, kind);
        }
    }

    /// The scheme, and what the user should know of the choice.
    ///
    /// E or S mean BIOES, L or U BILOU. With B and I alone the scheme is IOB1 if more entities begin with I
    /// than with a B that IOB1 would not have; else it is BIO.
    pub fn scheme(&self) -> (TagScheme, Option<String>) {
        let has = |marks: [char; 2]| marks.iter().any(|mark| self.marks.contains(mark));
        if let Some(unmarked) = &self.unmarked {
            let notice = self.marked.as_ref().map(|marked| {
                format!(
                    "the tag `{unmarked}` has no mark as `{marked}` has: the tags are taken as they are, \
                     and their sequences are not checked"
                )
            });
            return (TagScheme::Plain, notice);
        }
        match (has(['E', 'S']), has(['L', 'U'])) {
            (true, true) => {
                let notice = "the tags mix the marks of BIOES (E, S) and of BILOU (L, U): they are taken as \
                              they are, and their sequences are not checked";
                (TagScheme::Plain, Some(notice.to_string()))
            }
            (true, false) => (TagScheme::Bioes, None),
            (false, true) => (TagScheme::Bilou, None),
            (false, false) if self.begun_by_inside > self.begun_by_begin => (TagScheme::Iob1, None),
            (false, false) => (TagScheme::Bio, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    fn detected(sentences: &[&str]) -> (TagScheme, Option<String>) {
        let mut evidence = Evidence::default();
        for sentence in sentences {
            tags(sentence).into_iter().for_each(|tag| evidence.add_name(tag));
            evidence.add_sentence(&tags(sentence));
        }
        evidence.scheme()
    }

    #[test]
    fn schemes_are_told_by_their_marks_and_by_how_entities_begin() {
        for (sentences, scheme) in [
            (&["O B-PER I-PER O B-LOC"][..], TagScheme::Bio),
            (&["O I-PER I-PER O I-LOC B-LOC"], TagScheme::Iob1),
            (&["O I-PER I-LOC"], TagScheme::Iob1),
            // Two faults among three entities of BIO; as many, and BIO is the usual one.
            (&["B-PER O B-LOC B-LOC", "I-PER O"], TagScheme::Bio),
            (&["B-PER O I-LOC"], TagScheme::Bio),
            (&["O O"], TagScheme::Bio),
            (&["O B I I O B"], TagScheme::Bio),
            (&["B-PER E-PER O"], TagScheme::Bioes),
            (&["S-PER O"], TagScheme::Bioes),
            (&["B-PER L-PER O"], TagScheme::Bilou),
            (&["U-PER O"], TagScheme::Bilou),
            (&["DT NN VB"], TagScheme::Plain),
            (&["O PER PER"], TagScheme::Plain),
        ] {
            assert_eq!(detected(sentences), (scheme, None), "{sentences:?}");
        }
        let (scheme, notice) = detected(&["B-PER I-PER LOC"]);
        assert_eq!(scheme, TagScheme::Plain);
        assert!(notice.unwrap().contains("`LOC` has no mark as `B-PER` has"));
        let (scheme, notice) = detected(&["S-PER O", "U-PER"]);
        assert_eq!(scheme, TagScheme::Plain);
        assert!(notice.unwrap().contains("mix the marks"));
    }

    #[test]
    fn a_fault_names_the_word_and_the_tags_around_it() {
        for (scheme, sentence, fault) in [
            (TagScheme::Bio, "O B-PER I-PER B-PER O", None),
            (TagScheme::Bio, "", None),
            (TagScheme::Bio, "O I-PER", Some("word 2: `I-PER` after `O`")),
            (TagScheme::Bio, "I-PER", Some("word 1: `I-PER` at the start")),
            (TagScheme::Bio, "B-PER I-LOC", Some("word 2: `I-LOC` after `B-PER`")),
            (TagScheme::Iob1, "I-PER B-PER I-LOC O I-PER", None),
            (TagScheme::Iob1, "O B-PER", Some("word 2: `B-PER` after `O`")),
            (TagScheme::Iob1, "I-PER B-LOC", Some("word 2: `B-LOC` after `I-PER`")),
            (TagScheme::Bioes, "S-PER B-PER I-PER E-PER O S-LOC", None),
            (TagScheme::Bioes, "B-PER", Some("word 1: `B-PER` at the end")),
            (TagScheme::Bioes, "B-PER O", Some("word 2: `O` after `B-PER`")),
            (TagScheme::Bioes, "B-PER E-LOC", Some("word 2: `E-LOC` after `B-PER`")),
            (TagScheme::Bioes, "S-PER E-PER", Some("word 2: `E-PER` after `S-PER`")),
            (TagScheme::Bilou, "U-PER B-PER I-PER L-PER O", None),
            (TagScheme::Bilou, "O L-PER", Some("word 2: `L-PER` after `O`")),
            (TagScheme::Bilou, "B-PER U-PER", Some("word 2: `U-PER` after `B-PER`")),
            (TagScheme::Bilou, "B-PER I-PER", Some("word 2: `I-PER` at the end")),
            (TagScheme::Plain, "NN I-PER", None),
        ] {
            assert_eq!(scheme.fault(&tags(sentence)).as_deref(), fault, "{scheme:?} {sentence}");
        }
    }
}
