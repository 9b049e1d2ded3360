//! Token classification: words with a tag each, from lists, CoNLL files and spans of raw text.

mod entries;
mod error;
mod faults;
mod names;
mod scheme;
mod spans;

use std::borrow::Cow;
use std::collections::BTreeSet;

use temper_hub::Hub;

pub use self::error::TagError;
pub use self::scheme::TagScheme;
pub use self::spans::split_words;

use self::entries::{FileRow, WrittenTag};
use self::faults::Faults;
use self::names::Tags;
use crate::examine::{Diagnosis, Examined, KnowsLabels, Measure, examine_rows};
use crate::request::RowsRequest;
use crate::rows::{DatasetRows, Doubt, DoubtKind, Record, TableReader, TableRows, load_rows};
use crate::{DataError, DatasetTables, LabelError, Table, TaskKind, Unlabelled, Value};

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct TagRequest {
    /// The dataset. Columns have the roles tokens and tags, or text and spans.
    pub rows: RowsRequest,
    /// Whether a sequence of tags that the scheme does not allow is an error; else a notice counts them.
    pub strict: bool,
}

/// A sentence with a tag for each word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedText {
    /// The words.
    pub words: Vec<String>,
    /// The tags of the words, indices into the tag names.
    pub tags: Vec<usize>,
    /// The raw text, where the source has spans of it.
    pub text: Option<String>,
    /// The row in its file, from 1; of a CoNLL file the line of the first word.
    pub row: usize,
}

impl Record for TaggedText {
    /// The text; words are separated by a space.
    fn key(&self) -> Cow<'_, str> {
        match &self.text {
            Some(text) => Cow::from(text),
            None => self.words.join(" ").into(),
        }
    }
}

/// A dataset, ready to be encoded.
#[derive(Debug, Clone)]
pub struct TokenClassificationData {
    /// The sentences.
    pub rows: DatasetRows<TaggedText>,
    /// Names of the tags 0, 1, ...
    ///
    /// They are those of the card or of the files' schema, else `O`, then the types that occur in train in the order of
    /// their code points, each with all marks of the scheme: B, I, then E and S, or L and U.
    pub tag_names: Vec<String>,
    /// How the tags mark entities.
    pub scheme: TagScheme,
    /// Sentences of all files with tags that the scheme does not allow; they are kept as they are.
    pub invalid: usize,
}

/// Loads a dataset as sentences with a tag for each word.
///
/// Lists of words and tags are taken as they are, also where they break the scheme. Spans of a raw text become words
/// ([`split_words`], cut at the borders of spans) with BIO tags. Sentences without words are skipped, with a notice.
///
/// # Errors
/// Everything that [`load_rows`] reports, and [`TagError`].
pub fn load_token_classification(
    hub: &Hub,
    request: &TagRequest,
) -> Result<TokenClassificationData, DataError> {
    let prepare = |dataset: &DatasetTables| TaggedTextReader::new(dataset, request.strict);
    let (mut rows, reader) = load_rows(hub, &request.rows, TaskKind::TokenClassification, prepare)?;
    let TaggedTextReader { tags, faults, .. } = reader;
    rows.notices.splice(..0, tags.notices);
    rows.notices.extend(faults.notice(tags.scheme));
    Ok(TokenClassificationData { rows, tag_names: tags.names, scheme: tags.scheme, invalid: faults.count() })
}

/// Examines a dataset as sentences with tags: what may be wrong with it.
///
/// # Errors
/// What concerns no single row, as for [`load_token_classification`].
pub fn examine_token_classification(
    hub: &Hub,
    request: &TagRequest,
    measure: Option<Measure<'_>>,
) -> Result<Diagnosis, DataError> {
    let prepare = |dataset: &DatasetTables| TaggedTextReader::new(dataset, request.strict);
    examine_rows(hub, &request.rows, TaskKind::TokenClassification, measure, prepare)
}

impl Examined for TaggedText {
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        vec![("text", self.key())]
    }

    fn target(&self, labels: &[String]) -> String {
        let tags = self.words.iter().zip(&self.tags).filter(|(_, tag)| labels[**tag] != "O");
        let tags: Vec<String> = tags.map(|(word, tag)| format!("{word} {}", labels[*tag])).collect();
        if tags.is_empty() { "no entity".into() } else { tags.join(", ") }
    }

    fn labels(&self) -> Vec<usize> {
        self.tags.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl KnowsLabels for TaggedTextReader {
    fn label_names(&self) -> &[String] {
        &self.tags.names
    }

    fn notices(&self) -> Vec<String> {
        self.tags.notices.clone()
    }
}

/// Where words and tags are, by column.
#[derive(Debug)]
enum TagColumns {
    /// Lists of words and of tags.
    Lists { tokens: String, tags: String },
    /// Raw text and spans of it.
    Spans { text: String, spans: String },
}

impl TagColumns {
    fn of(dataset: &DatasetTables) -> Self {
        let name = |role: &str| dataset.columns.get(role).cloned();
        match (name("text"), name("spans")) {
            (Some(text), Some(spans)) => Self::Spans { text, spans },
            _ => Self::Lists {
                tokens: name("tokens").unwrap_or_else(|| "tokens".into()),
                tags: name("tags").unwrap_or_else(|| "tags".into()),
            },
        }
    }

    /// The columns of the words and of what is said of them.
    fn columns(&self) -> (&str, &str) {
        match self {
            Self::Lists { tokens, tags } => (tokens, tags),
            Self::Spans { text, spans } => (text, spans),
        }
    }
}

/// Reads sentences.
struct TaggedTextReader {
    source: TagColumns,
    tags: Tags,
    policy: Unlabelled,
    strict: bool,
    faults: Faults,
}

/// A row as it was read: `None` for one without tags.
type ReadRow = Option<TaggedText>;

impl TaggedTextReader {
    fn new(dataset: &DatasetTables, strict: bool) -> Result<Self, DataError> {
        let source = TagColumns::of(dataset);
        let tags = Tags::of(dataset, &source)?;
        let policy = dataset.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
        Ok(Self { source, tags, policy, strict, faults: Faults::default() })
    }

    fn row(&self, words: &Value, tags: &Value, place: FileRow<'_>) -> Result<ReadRow, DataError> {
        match &self.source {
            TagColumns::Lists { tokens, tags: column } => {
                let words = entries::words(words, place, tokens)?;
                let is_unlabelled = *tags == Value::Null && !words.is_empty();
                let tags = entries::tags(tags, place, column)?;
                if is_unlabelled {
                    return Ok(None);
                }
                self.of_lists(words, &tags, place).map(Some)
            }
            TagColumns::Spans { text: text_column, spans: column } => {
                let text = words.to_text(place.file, place.row, text_column)?;
                let Some(spans) = spans::read(tags, place, column)? else { return Ok(None) };
                let (words, names) = spans::tagged(&text, &spans, place)?;
                let written: Vec<WrittenTag<'_>> = names.iter().map(|name| WrittenTag::Name(name)).collect();
                let row = self.of_lists(words, &written, place)?;
                Ok(Some(TaggedText { text: Some(text), ..row }))
            }
        }
    }

    fn of_lists(
        &self,
        words: Vec<String>,
        written: &[WrittenTag<'_>],
        place: FileRow<'_>,
    ) -> Result<TaggedText, DataError> {
        let file = || place.file.to_path_buf();
        if words.len() != written.len() {
            let (tokens, tags) = (words.len(), written.len());
            return Err(TagError::Lengths { file: file(), row: place.row, tokens, tags }.into());
        }
        let unknown = |index: usize| {
            DataError::from(TagError::Unknown {
                file: file(),
                row: place.row,
                word: index + 1,
                text: words[index].clone(),
                tag: written[index].name(),
                names: self.tags.names.clone(),
                origin: self.tags.origin,
            })
        };
        let id = |(index, tag)| self.tags.id(tag).ok_or_else(|| unknown(index));
        let tags = written.iter().enumerate().map(id).collect::<Result<_, _>>()?;
        Ok(TaggedText { words, tags, text: None, row: place.row })
    }

    /// Notes what the scheme does not allow.
    fn check_scheme(&mut self, table: &Table, rows: &[TaggedText]) -> Result<Vec<Doubt>, DataError> {
        let scheme = self.tags.scheme;
        let fault = |row: &TaggedText| {
            let names: Vec<&str> = row.tags.iter().map(|tag| self.tags.names[*tag].as_str()).collect();
            let reason = scheme.fault(&names)?;
            Some(Doubt { row: row.row, kind: DoubtKind::InvalidTags, reason })
        };
        let found: Vec<Doubt> = rows.iter().filter_map(fault).collect();
        match found.first() {
            Some(Doubt { row, reason, .. }) if self.strict => Err(DataError::from(TagError::Sequence {
                file: table.file.clone(),
                row: *row,
                fault: reason.clone(),
                scheme: scheme.name(),
                count: found.len(),
            })),
            _ => {
                self.faults.add(&table.file, &found);
                Ok(found)
            }
        }
    }
}

impl TableReader for TaggedTextReader {
    type Record = TaggedText;

    fn read(&mut self, table: Table, _split: &'static str) -> Result<TableRows<TaggedText>, DataError> {
        let (words, tags) = self.source.columns();
        let (Some(words), Some(tags)) = (table.column(words), table.column(tags)) else {
            return Err(DataError::broken(&table.file, None, "a column is missing"));
        };
        let mut rows = Vec::with_capacity(table.rows.len());
        let (mut unlabelled, mut empty) = (Vec::new(), Vec::new());
        for row in &table.rows {
            let place = FileRow { file: &table.file, row: row.number };
            match self.row(&row.cells[words], &row.cells[tags], place)? {
                Some(sentence) if sentence.words.is_empty() => empty.push(row.number),
                Some(sentence) => rows.push(sentence),
                None => unlabelled.push(row.number),
            }
        }
        if let (Some(row), Unlabelled::Error) = (unlabelled.first(), self.policy) {
            return Err(DataError::from(LabelError::Unlabelled {
                file: table.file.clone(),
                row: *row,
                column: self.source.columns().1.to_string(),
                count: unlabelled.len(),
            }));
        }
        let doubts = self.check_scheme(&table, &rows)?;
        let passed_over = empty.first().map(|first| {
            let (file, count) = (table.file.display(), empty.len());
            format!("{file}: rows without words are skipped: {count} (the first is row {first})")
        });
        let notices = passed_over.into_iter().collect();
        Ok(TableRows { rows, unlabelled: unlabelled.len(), doubts, notices })
    }

    fn check(&self, dataset: &DatasetRows<TaggedText>) -> Result<(), DataError> {
        let mut tags = dataset.train.iter().flat_map(|row| &row.tags);
        let Some(first) = tags.next() else { return Ok(()) };
        if tags.any(|tag| tag != first) {
            return Ok(());
        }
        let is_subset = dataset.train.len() < dataset.full_train_rows;
        Err(DataError::from(TagError::OneTag {
            dataset: dataset.name.clone(),
            rows: dataset.train.len(),
            tag: self.tags.names[*first].clone(),
            remedy: match is_subset {
                true => "keep more rows with --max-train-samples, or others with another --seed",
                false => "check the column of the tags",
            },
        }))
    }
}
