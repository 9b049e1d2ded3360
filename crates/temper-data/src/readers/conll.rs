//! CoNLL files: one word with its tags on each line, in columns, and blank lines between sentences (Tjong Kim Sang &
//! De Meulder 2003).

use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::{FileReport, Row, RowReader, missing_column};
use crate::{Column, DataError, Format, Value};

/// The word of a line that begins a document.
const DOCUMENT: &str = "-DOCSTART-";
/// The beginning of a comment.
const COMMENT: &str = "# ";
/// What separates columns; other white space may be part of a word.
const BLANKS: [char; 2] = [' ', '\t'];

/// The mark of a tag and the type of its entity: `B-person` is `('B', "person")`, `O` is `('O', "")`. `None` for
/// a tag of another form.
pub fn split_tag(tag: &str) -> Option<(char, &str)> {
    let mut rest = tag.chars();
    let mark = rest.next().filter(|mark| "BIOESLU".contains(*mark))?;
    match rest.as_str() {
        "" => Some((mark, "")),
        rest => {
            rest.strip_prefix('-').filter(|kind| mark != 'O' && !kind.is_empty()).map(|kind| (mark, kind))
        }
    }
}

/// How the lines of a file are to be read, from its first line that can only be a word.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Fields of every line.
    width: usize,
    /// Whether TABs separate them, else blanks of any number.
    has_tabs: bool,
    /// Whether its tags have the form of [`split_tag`].
    has_marks: bool,
}

impl Shape {
    fn of(line: &str) -> Self {
        let mut shape =
            Self { width: 0, has_tabs: line.trim_matches(BLANKS).contains('\t'), has_marks: false };
        let fields = shape.fields(line);
        shape.has_marks = fields.last().is_some_and(|tag| split_tag(tag).is_some());
        shape.width = fields.len();
        shape
    }

    fn fields(self, line: &str) -> Vec<&str> {
        match self.has_tabs {
            true => line.trim_end_matches(BLANKS).split('\t').map(|field| field.trim_matches(' ')).collect(),
            false => line.split(BLANKS).filter(|field| !field.is_empty()).collect(),
        }
    }

    /// Whether a line that begins like a comment cannot be the word `#` with its tags.
    fn is_comment(self, line: &str) -> bool {
        let fields = self.fields(line);
        let has_mark = || fields.last().is_some_and(|tag| split_tag(tag).is_some());
        line.starts_with(COMMENT) && (fields.len() != self.width || self.has_marks && !has_mark())
    }
}

/// The sentences of a file; row n is the sentence whose first word is in line n.
///
/// The columns are `tokens` (the first), `tags` (the last) and, by their numbers from 1, all of them: `1`, `2`, ...
/// TABs separate them where the first word's line has one, else blanks. Skipped are lines of `-DOCSTART-` and,
/// before the first word of a sentence, those that begin with `# ` and have another number of fields than the
/// words, or no tag in the place of one.
pub(super) struct ConllRows {
    lines: Lines,
    path: PathBuf,
    shape: Shape,
    /// Of each column that is read, the index of its field.
    fields: Vec<usize>,
    columns: Vec<Column>,
    rows: usize,
    passed_over: usize,
}

impl ConllRows {
    /// Opens a file and looks for its columns.
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let shape = Shape::of(&first_line(path)?);
        let mut names = vec!["tokens".to_string()];
        names.extend((shape.width > 1).then(|| "tags".to_string()));
        names.extend((1..=shape.width).map(|number| number.to_string()));
        let field = |name: &&str| match *name {
            "tokens" => Ok(0),
            "tags" if shape.width > 1 => Ok(shape.width - 1),
            // An empty file has no columns to miss; that it has no rows is reported.
            _ if shape.width == 0 => Ok(0),
            name => (1..=shape.width)
                .find(|number| number.to_string() == name)
                .map(|number| number - 1)
                .ok_or_else(|| missing_column(path, name, &names)),
        };
        Ok(Self {
            lines: Lines::open(path)?,
            path: path.to_path_buf(),
            shape,
            fields: wanted.iter().map(field).collect::<Result<_, _>>()?,
            columns: wanted.iter().map(|name| Column::plain(*name)).collect(),
            rows: 0,
            passed_over: 0,
        })
    }

    /// The values of a word's line.
    fn values(&self, line: &str) -> Result<Vec<Value>, DataError> {
        let failed =
            |reason| DataError::ConllLine { file: self.path.clone(), line: self.lines.number, reason };
        let fields = self.shape.fields(line);
        if fields.len() != self.shape.width {
            let (found, width) = (fields.len(), self.shape.width);
            return Err(failed(format!("columns: {found}, and those of the first word: {width}")));
        }
        match fields.iter().position(|field| field.is_empty()) {
            Some(empty) => Err(failed(format!("nothing in column {}", empty + 1))),
            None => Ok(self.fields.iter().map(|field| Value::Text(fields[*field].to_string())).collect()),
        }
    }
}

/// The first line that can only be a word; else the first that can be one; else nothing.
fn first_line(path: &Path) -> Result<String, DataError> {
    let mut lines = Lines::open(path)?;
    let mut first = String::new();
    while let Some(line) = lines.next_line()? {
        if is_blank(&line) || is_document(&line) {
            continue;
        }
        if !line.starts_with(COMMENT) {
            return Ok(line);
        }
        if first.is_empty() {
            first = line;
        }
    }
    Ok(first)
}

fn is_blank(line: &str) -> bool {
    line.trim_matches(BLANKS).is_empty()
}

fn is_document(line: &str) -> bool {
    line.split(BLANKS).next() == Some(DOCUMENT)
}

impl RowReader for ConllRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let mut first = None;
        let mut lists = vec![Vec::new(); self.fields.len()];
        while let Some(line) = self.lines.next_line()? {
            let is_over = is_blank(&line) || is_document(&line);
            if is_document(&line) || first.is_none() && self.shape.is_comment(&line) {
                self.passed_over += 1;
            } else if !is_over {
                first.get_or_insert(self.lines.number);
                for (list, value) in lists.iter_mut().zip(self.values(&line)?) {
                    list.push(value);
                }
            }
            if is_over && first.is_some() {
                break;
            }
        }
        self.rows += usize::from(first.is_some());
        Ok(first.map(|number| Row { number, cells: lists.into_iter().map(Value::List).collect() }))
    }

    fn report(&self) -> FileReport {
        FileReport { passed_over: self.passed_over, ..self.lines.report(Format::Conll, self.rows, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sentence: its number, and the entries of each list with a bar between.
    type Sentence = (usize, Vec<String>);

    fn read(bytes: &[u8], wanted: &[&str]) -> Result<(Vec<Sentence>, FileReport), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conll");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = ConllRows::open(&path, wanted)?;
        let mut rows = Vec::new();
        let text = |value: &Value| match value {
            Value::List(items) => {
                items.iter().map(|item| item.as_text().unwrap()).collect::<Vec<_>>().join("|")
            }
            other => panic!("{other:?}"),
        };
        while let Some(row) = reader.next_row()? {
            rows.push((row.number, row.cells.iter().map(text).collect()));
        }
        Ok((rows, reader.report()))
    }

    fn row(number: usize, cells: &[&str]) -> Sentence {
        (number, cells.iter().map(|cell| cell.to_string()).collect())
    }

    #[test]
    fn sentences_stand_between_blank_lines_and_documents_are_passed_over() {
        let file = "\u{feff}-DOCSTART- -X- O O\r\n\r\nEU NNP I-NP B-ORG\r\nrejects VBZ I-VP O\r\n\r\n \t\r\n\
                    Peter NNP I-NP B-PER\r\n-DOCSTART- -X- O O\r\nBrussels NNP I-NP B-LOC";
        let (rows, report) = read(file.as_bytes(), &["tags", "tokens"]).unwrap();
        assert_eq!(
            rows,
            [row(3, &["B-ORG|O", "EU|rejects"]), row(7, &["B-PER", "Peter"]), row(9, &["B-LOC", "Brussels"])]
        );
        assert_eq!((report.rows, report.passed_over, report.blank_lines), (3, 2, 0));
        let (rows, _) = read(file.as_bytes(), &["tokens", "2"]).unwrap();
        assert_eq!(rows[0], row(3, &["EU|rejects", "NNP|VBZ"]));
    }

    #[test]
    fn a_tab_in_the_first_line_separates_words_that_hold_blanks() {
        let (rows, _) = read(b"1 000\tB-NUM\neuro \tO\t\n", &["tokens", "tags"]).unwrap();
        assert_eq!(rows, [row(1, &["1 000|euro", "B-NUM|O"])]);
        let (rows, _) = read("a\u{a0}b  O\n\u{3000} O\n".as_bytes(), &["tokens"]).unwrap();
        assert_eq!(rows, [row(1, &["a\u{a0}b|\u{3000}"])]);
    }

    #[test]
    fn a_comment_is_passed_over_where_it_cannot_be_a_word() {
        let file =
            b"# id 5239\tdomain=en\n# \tx\nthe _ _ O\n# _ _ O\n\n# _ _ B-X\n1 _ _ O\n\n# a b c\nend _ _ O\n";
        let (rows, report) = read(file, &["tokens", "tags"]).unwrap();
        assert_eq!(rows, [row(3, &["the|#", "O|O"]), row(6, &["#|1", "B-X|O"]), row(10, &["end", "O"])]);
        assert_eq!(report.passed_over, 3);
        // Tags without marks: a line with as many fields is a word.
        let (rows, report) = read(b"the DT\n\n# #\n500 CD\n", &["tokens", "tags"]).unwrap();
        assert_eq!(rows[1], row(3, &["#|500", "#|CD"]));
        assert_eq!(report.passed_over, 0);
        // Nothing but words `#`.
        let (rows, _) = read(b"# O\n\n# O\n", &["tokens", "tags"]).unwrap();
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn a_line_with_more_or_fewer_columns_or_an_empty_one_is_named() {
        for (bad, part) in [("b", "columns: 1"), ("b O O", "columns: 3"), ("# c d", "columns: 3")] {
            let error = read(format!("a O\n{bad}\n").as_bytes(), &["tokens", "tags"]).unwrap_err();
            assert!(matches!(error, DataError::ConllLine { line: 2, .. }), "{bad}: {error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = read(b"a\tO\n\tO\n", &["tokens", "tags"]).unwrap_err();
        assert!(error.to_string().contains("line 2: nothing in column 1"), "{error}");
    }

    #[test]
    fn columns_that_are_not_there_are_missing() {
        for (file, wanted) in [("a O", "3"), ("a", "tags"), ("a O", "labels"), ("a O", "0"), ("a O", "02")] {
            let error = read(file.as_bytes(), &["tokens", wanted]).unwrap_err();
            assert!(matches!(error, DataError::MissingColumn { .. }), "{file} {wanted}: {error}");
        }
        assert_eq!(read(b"\n\n", &["tokens", "tags"]).unwrap().0, []);
    }

    #[test]
    fn tags_have_a_mark_and_perhaps_a_type() {
        for (tag, parts) in [
            ("O", Some(('O', ""))),
            ("B", Some(('B', ""))),
            ("I-PER", Some(('I', "PER"))),
            ("S-a-b", Some(('S', "a-b"))),
            ("O-PER", None),
            ("B-", None),
            ("B_PER", None),
            ("NN", None),
            ("X-PER", None),
            ("", None),
        ] {
            assert_eq!(split_tag(tag), parts, "{tag}");
        }
    }
}
