//! Files of SQuAD 1.1 and 2.0: articles of paragraphs with questions (Rajpurkar et al. 2016, 2018).

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::source::TextSource;
use super::{FileReport, Row, RowReader, choose};
use crate::{Column, DataError, Format, Value};

/// The columns of every file.
const COLUMNS: [&str; 6] = ["id", "title", "question", "context", "answers", "is_impossible"];
/// The largest file that is read; that of SQuAD 2.0 has 42 MB.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes from which a file is recognised.
const START: u64 = 1 << 20;
/// Bytes that any file may expand to: each question has its context.
const EXPANDED_FREELY: u64 = 256 << 20;
/// Beyond that, so many times its own size.
const LARGEST_RATIO: u64 = 1000;

#[derive(Deserialize)]
struct File {
    version: Option<serde_json::Value>,
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    title: Option<String>,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: Option<String>,
    qas: Vec<SquadQuestion>,
}

#[derive(Deserialize)]
struct SquadQuestion {
    id: Option<serde_json::Value>,
    question: Option<String>,
    #[serde(default)]
    answers: Vec<SquadAnswer>,
    is_impossible: Option<bool>,
}

#[derive(Deserialize)]
struct SquadAnswer {
    text: String,
    answer_start: i64,
}

/// The questions of a file, numbered from 1 in the file's order.
///
/// `answers` are named parts with the lists `text` and `answer_start`, as on the Hub. `is_impossible` is what the file
/// says; where it says nothing, a file of version 2 means it by no answers, and another one leaves it out.
pub(super) struct SquadRows {
    path: PathBuf,
    report: FileReport,
    has_version_2: bool,
    articles: std::vec::IntoIter<Article>,
    title: Option<String>,
    paragraphs: std::vec::IntoIter<Paragraph>,
    context: Option<String>,
    questions: std::vec::IntoIter<SquadQuestion>,
    fields: Vec<usize>,
    columns: Vec<Column>,
    /// Bytes that further rows may take.
    room: u64,
}

impl SquadRows {
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let size = std::fs::metadata(path).map_err(|source| DataError::io(path, source))?.len();
        if size > MOST_BYTES {
            let reason =
                format!("it has more than {MOST_BYTES} bytes; write its questions into .jsonl files");
            return Err(DataError::SplitFile { path: path.to_path_buf(), reason });
        }
        let fields = choose(path, &COLUMNS.map(String::from), wanted)?;
        let source = TextSource::open(path)?;
        let encoding = Some(source.encoding());
        // serde_json refuses nesting deeper than 128.
        let file: File = serde_json::from_str(&source.read_all()?)
            .map_err(|error| DataError::broken(path, None, format!("not a file of SQuAD ({error})")))?;
        Ok(Self {
            path: path.to_path_buf(),
            report: FileReport { encoding, ..FileReport::new(path, Format::SquadJson) },
            has_version_2: file.version.as_ref().is_some_and(is_version_2),
            articles: file.data.into_iter(),
            title: None,
            paragraphs: Vec::new().into_iter(),
            context: None,
            questions: Vec::new().into_iter(),
            fields,
            columns: wanted.iter().map(|name| Column::plain(*name)).collect(),
            room: EXPANDED_FREELY.saturating_add(size.saturating_mul(LARGEST_RATIO)),
        })
    }

    fn next_question(&mut self) -> Option<SquadQuestion> {
        loop {
            if let Some(question) = self.questions.next() {
                return Some(question);
            }
            if let Some(paragraph) = self.paragraphs.next() {
                self.context = paragraph.context;
                self.questions = paragraph.qas.into_iter();
                continue;
            }
            let article = self.articles.next()?;
            self.title = article.title;
            self.paragraphs = article.paragraphs.into_iter();
        }
    }

    fn cell(&self, question: &SquadQuestion, field: usize) -> Value {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
        match COLUMNS[field] {
            "id" => match &question.id {
                Some(serde_json::Value::String(id)) => Value::Text(id.clone()),
                Some(serde_json::Value::Null) | None => Value::Null,
                Some(serde_json::Value::Number(id)) => Value::Text(id.to_string()),
                Some(_) => Value::Other("an id that is neither text nor a number"),
            },
            "title" => text(&self.title),
            "question" => text(&question.question),
            "context" => text(&self.context),
            "answers" => answers(&question.answers),
            _ => match question.is_impossible {
                Some(truth) => Value::Bool(truth),
                None if self.has_version_2 => Value::Bool(question.answers.is_empty()),
                None => Value::Null,
            },
        }
    }
}

/// Whether a version is 2 or 2.0, as `v2.0` in SQuAD's own files.
fn is_version_2(version: &serde_json::Value) -> bool {
    let text = match version {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.trim_start_matches(['v', 'V']).split('.').next() == Some("2")
}

fn answers(answers: &[SquadAnswer]) -> Value {
    let texts = answers.iter().map(|answer| Value::Text(answer.text.clone())).collect();
    let starts = answers.iter().map(|answer| Value::Int(answer.answer_start)).collect();
    Value::Struct(vec![("text".into(), Value::List(texts)), ("answer_start".into(), Value::List(starts))])
}

impl RowReader for SquadRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some(question) = self.next_question() else {
            return Ok(None);
        };
        self.report.rows += 1;
        let context = self.context.as_ref().map_or(0, String::len) as u64;
        self.room = self.room.checked_sub(context).ok_or_else(|| {
            let reason = format!("its rows take more than {LARGEST_RATIO} times the size of the file");
            DataError::broken(&self.path, Some(self.report.rows), reason)
        })?;
        let cells = self.fields.iter().map(|field| self.cell(&question, *field)).collect();
        Ok(Some(Row { number: self.report.rows, cells }))
    }

    fn report(&self) -> FileReport {
        self.report.clone()
    }
}

/// Whether a JSON file is an object whose `data` begins with an article that has `paragraphs`.
pub(super) fn is_squad(path: &Path) -> bool {
    let Ok(source) = TextSource::open(path) else {
        return false;
    };
    let mut found = false;
    let mut json = serde_json::Deserializer::from_reader(source.take(START));
    // The search ends in an error: after what was found, or where it cannot be.
    let _ = DataSearch { key: "data", inner: Some("paragraphs"), found: &mut found }.deserialize(&mut json);
    found
}

/// Looks for a key of an object, and for another one in the first object of the list there.
struct DataSearch<'a> {
    key: &'static str,
    inner: Option<&'static str>,
    found: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for DataSearch<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DataSearch<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with `{}`", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key != self.key {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match self.inner {
                Some(inner) => return map.next_value_seed(First { inner, found: self.found }),
                None => *self.found = true,
            }
            return Err(serde::de::Error::custom("found"));
        }
        Ok(())
    }
}

/// Looks for a key in the first object of a list.
struct First<'a> {
    inner: &'static str,
    found: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for First<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for First<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of articles")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        list.next_element_seed(DataSearch { key: self.inner, inner: None, found: self.found })?;
        Err(serde::de::Error::custom("not found"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"version": "1.1", "data": [
        {"title": "Denver", "paragraphs": [
            {"context": "In Denver.", "qas": [
                {"id": "a", "question": "Where?", "answers": [
                    {"answer_start": 3, "text": "Denver"}, {"answer_start": 0, "text": "In"}]},
                {"id": 7, "question": "Who?"}]},
            {"context": "Else.", "qas": []},
            {"context": "More.", "qas": [{"question": "What?", "answers": [], "is_impossible": true,
                "plausible_answers": [{"text": "More", "answer_start": 0}]}]}]},
        {"paragraphs": []}]}"#;

    fn with_file<R>(bytes: impl AsRef<[u8]>, work: impl FnOnce(&Path) -> R) -> R {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.json");
        std::fs::write(&path, bytes).unwrap();
        work(&path)
    }

    fn read(text: &str, wanted: &[&str]) -> Result<Vec<Vec<Value>>, DataError> {
        with_file(text, |path| {
            let mut reader = SquadRows::open(path, wanted)?;
            let mut rows = Vec::new();
            while let Some(row) = reader.next_row()? {
                assert_eq!(row.number, rows.len() + 1);
                rows.push(row.cells);
            }
            assert_eq!(reader.report().rows, rows.len());
            Ok(rows)
        })
    }

    #[test]
    fn questions_come_with_their_contexts_and_titles() {
        let rows = read(FILE, &COLUMNS).unwrap();
        assert_eq!(rows.len(), 3);
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(rows[0][..4], [text("a"), text("Denver"), text("Where?"), text("In Denver.")]);
        assert_eq!(rows[0][4].part("text"), Some(&Value::List(vec![text("Denver"), text("In")])));
        assert_eq!(rows[0][4].part("answer_start"), Some(&Value::List(vec![Value::Int(3), Value::Int(0)])));
        assert_eq!((&rows[1][0], &rows[1][5]), (&text("7"), &Value::Null));
        assert_eq!((&rows[2][0], &rows[2][5]), (&Value::Null, &Value::Bool(true)));
    }

    #[test]
    fn a_file_of_version_2_means_by_no_answers_that_there_is_none() {
        for version in ["\"v2.0\"", "\"2.0\"", "2.0", "2"] {
            let rows = read(&FILE.replace("\"1.1\"", version), &["is_impossible"]).unwrap();
            let found: Vec<&Value> = rows.iter().map(|row| &row[0]).collect();
            assert_eq!(found, [&Value::Bool(false), &Value::Bool(true), &Value::Bool(true)], "{version}");
        }
        for version in ["\"v1.2\"", "1.2", "null", "\"20\""] {
            let rows = read(&FILE.replace("\"1.1\"", version), &["is_impossible"]).unwrap();
            assert_eq!(rows[1][0], Value::Null, "{version}");
        }
    }

    #[test]
    fn a_file_is_recognised_by_the_start_of_its_data() {
        let is_squad = |text: &str| with_file(text, super::is_squad);
        assert!(is_squad(FILE));
        assert!(is_squad(&format!("\u{feff}{FILE}")));
        assert!(is_squad(&FILE[..FILE.len() / 2]), "its start is enough");
        for other in [
            "",
            "[]",
            "{}",
            "{\"data\": []}",
            "{\"data\": [1]}",
            "{\"data\": [{\"text\": \"a\"}, {\"paragraphs\": []}]}",
            "{\"data\": {\"paragraphs\": []}}",
            "{\"paragraphs\": []}",
            "{\"text\": \"a\"}\n{\"data\": [{\"paragraphs\": []}]}",
        ] {
            assert!(!is_squad(other), "{other}");
        }
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(FILE.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert!(with_file(utf16, super::is_squad));
        assert!(!is_squad(&"[".repeat(100_000)));
        assert!(!with_file([0xff, 0x00, 0xff], super::is_squad));
    }

    #[test]
    fn damaged_files_are_refused() {
        for (bad, part) in [
            (FILE.replace("\"qas\": []", "\"questions\": []"), "missing field `qas`"),
            (FILE.replace("\"answer_start\": 3", "\"answer_start\": \"3\""), "invalid type"),
            (FILE.replace("\"answer_start\": 3, ", ""), "missing field `answer_start`"),
            (FILE[..FILE.len() - 2].to_string(), "EOF"),
            (format!("{FILE} {{}}"), "trailing"),
            (format!("{{\"data\": [], \"version\": {}", "[".repeat(100_000)), "recursion limit"),
        ] {
            let message = read(&bad, &["question"]).unwrap_err().to_string();
            assert!(message.contains("not a file of SQuAD") && message.contains(part), "{part}: {message}");
        }
        let error = read(FILE, &["text"]).unwrap_err();
        assert!(matches!(error, DataError::MissingColumn { .. }), "{error}");
        assert_eq!(read("{\"data\": []}", &["question"]).unwrap().len(), 0);
    }

    #[test]
    fn contexts_that_expand_beyond_measure_are_refused() {
        let context = "x".repeat(4 << 20);
        let questions = vec!["{}"; 5000].join(", ");
        let file = format!(
            "{{\"data\": [{{\"paragraphs\": [{{\"context\": \"{context}\", \"qas\": [{questions}]}}]}}]}}"
        );
        with_file(file, |path| {
            let mut reader = SquadRows::open(path, &["question"]).unwrap();
            reader.room = 10 << 20;
            assert!(reader.next_row().unwrap().is_some());
            assert!(reader.next_row().unwrap().is_some());
            let error = reader.next_row().unwrap_err();
            assert!(matches!(error, DataError::Broken { row: Some(3), .. }), "{error}");
        });
    }
}
