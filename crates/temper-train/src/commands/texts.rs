//! The texts that a command reads: from the command line, from a file, or from stdin as they arrive.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use temper_data::{DataError, Format, UnlabelledText, UnlabelledTexts, stream_unlabelled};

use crate::tasks::{Inputs, Pairing};
use crate::terminal::say;
use crate::{Columns, TrainError};

/// Maximum number of lines of stdin that are read ahead.
const LINES_AHEAD: usize = 256;
/// After a pause of this length on stdin, the texts read so far are answered.
const PAUSE: Duration = Duration::from_millis(20);

/// The flags that say which texts a command reads.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TextOptions {
    /// A text; may be given several times. Without it and --file, lines are read from stdin: one text each,
    /// or two with a TAB between for a model of pairs
    #[arg(long, visible_alias = "question")]
    pub text: Vec<String>,
    /// The second text of a pair; once for each --text
    #[arg(long, visible_alias = "context", requires = "text", value_name = "TEXT")]
    pub text_pair: Vec<String>,
    /// A .txt (one text on each line), .csv, .tsv, .jsonl or .parquet file
    #[arg(long, conflicts_with = "text", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Column of the text in the file; by default the one that the model was trained on, else `text` or, for models that
    /// answer questions, `question`
    #[arg(long)]
    pub text_column: Option<String>,
    /// Column of a second text in the file; by default the one that the model was trained on, else `context` for models
    /// that answer questions
    #[arg(long)]
    pub text_pair_column: Option<String>,
}

/// Which texts are pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairChoice {
    /// All: the model was trained on pairs.
    Always,
    /// None: the model was trained on single texts.
    Never,
    /// Those that the user's flags make pairs.
    Asked,
}

impl PairChoice {
    /// What the columns of the training imply for a model with such inputs; `None` if the columns are unknown.
    pub(super) fn of(columns: Option<&Columns>, inputs: Inputs) -> Self {
        match (inputs.pairing, columns) {
            (Pairing::Always, _) => Self::Always,
            (Pairing::AsGiven, _) => Self::Asked,
            (_, Some(columns)) if columns.contains_key(inputs.second) => Self::Always,
            (_, Some(_)) => Self::Never,
            (_, None) => Self::Asked,
        }
    }
}

/// A line of the input, or a row of a table.
pub(super) enum InputLine {
    Text(UnlabelledText),
    /// A line without a text.
    Blank,
}

/// Lines, one at a time.
pub(super) enum TextReader {
    /// Lines that can be read without waiting.
    Ready(Box<dyn Iterator<Item = Result<InputLine, TrainError>>>),
    /// Lines of stdin as they arrive.
    Stdin(Receiver<Result<InputLine, TrainError>>),
}

/// The input of a command.
pub(super) enum Next {
    Line(InputLine),
    /// Nothing yet.
    Pause,
    End,
}

impl TextReader {
    /// The next line. With `wait`, waits for it without a limit.
    pub(super) fn next(&mut self, wait: bool) -> Result<Next, TrainError> {
        let line = match self {
            Self::Ready(lines) => lines.next(),
            Self::Stdin(lines) if wait => lines.recv().ok(),
            Self::Stdin(lines) => match lines.recv_timeout(PAUSE) {
                Ok(line) => Some(line),
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Pause),
                Err(RecvTimeoutError::Disconnected) => None,
            },
        };
        Ok(line.transpose()?.map_or(Next::End, Next::Line))
    }

    /// True if the command may have to wait for texts.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Stdin(_))
    }
}

impl TextOptions {
    /// Opens the texts for a model that was trained on these columns (`None`: unknown). Each text of a file has the cells
    /// of the columns `kept` with it.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for single texts where the model reads pairs, or the reverse, as far as this is known before
    /// the texts are read, and for columns to keep of an input without columns; [`TrainError::Data`].
    pub(super) fn open(
        &self,
        columns: Option<&Columns>,
        inputs: Inputs,
        pairs: PairChoice,
        kept: &[String],
    ) -> Result<TextReader, TrainError> {
        if pairs == PairChoice::Never && (self.text_pair_column.is_some() || !self.text_pair.is_empty()) {
            return Err(TrainError::Usage(
                "the model was trained on single texts, not on pairs; leave --text-pair and --text-pair-column out"
                    .into(),
            ));
        }
        if let Some(file) = &self.file {
            if matches!(Format::of_path(file), Ok(Format::Text)) {
                return self.open_lines(file, pairs, kept);
            }
            let texts = noticing(self.open_table(file, (columns, inputs, pairs), kept)?);
            return Ok(TextReader::Ready(Box::new(texts.map(|text| text.map(InputLine::Text)))));
        }
        refuse_kept(kept)?;
        if !self.text.is_empty() {
            return self.given(pairs);
        }
        Ok(TextReader::Stdin(read_stdin(pairs)))
    }

    /// How many lines or rows [`Self::open`] will give, for a progress bar. `None` if the input is not a file that can be
    /// read twice.
    pub(super) fn count(
        &self,
        columns: Option<&Columns>,
        inputs: Inputs,
        pairs: PairChoice,
    ) -> Option<usize> {
        let file = self.file.as_deref().filter(|file| file.is_file())?;
        if matches!(Format::of_path(file), Ok(Format::Text)) {
            return match self.open_lines(file, pairs, &[]).ok()? {
                TextReader::Ready(lines) => Some(lines.take_while(Result::is_ok).count()),
                TextReader::Stdin(_) => None,
            };
        }
        let texts = self.open_table(file, (columns, inputs, pairs), &[]).ok()?;
        Some(texts.take_while(Result::is_ok).count())
    }

    /// The lines of a text file. The number of a row is that of its line, so gaps between the numbers are blank lines.
    fn open_lines(&self, file: &Path, pairs: PairChoice, kept: &[String]) -> Result<TextReader, TrainError> {
        refuse_kept(kept)?;
        let (text, pair) = (self.text_column.as_deref(), self.text_pair_column.as_deref());
        let mut texts = stream_unlabelled(file, text, pair, &[])?;
        let name = file.display().to_string();
        let (mut line, mut pending) = (0, None);
        Ok(TextReader::Ready(Box::new(std::iter::from_fn(move || {
            if pending.is_none() {
                pending = texts.next();
            }
            let row = match &pending {
                Some(Ok(text)) => text.row,
                Some(Err(_)) => line + 1,
                None => {
                    let report = texts.report();
                    report.rows + report.blank_lines + 1
                }
            };
            line += 1;
            if line < row {
                return Some(Ok(InputLine::Blank));
            }
            let text = pending.take()?.map_err(TrainError::from);
            Some(text.and_then(|text| of_pairs(text, pairs, &name)).map(InputLine::Text))
        }))))
    }

    fn given(&self, pairs: PairChoice) -> Result<TextReader, TrainError> {
        let (texts, seconds) = (self.text.len(), self.text_pair.len());
        if (pairs == PairChoice::Always || seconds > 0) && texts != seconds {
            let why =
                if pairs == PairChoice::Always { "the model was trained on pairs of texts: " } else { "" };
            return Err(TrainError::Usage(format!(
                "{why}give --text-pair once for each --text ({texts} of --text, {seconds} of --text-pair)"
            )));
        }
        let mut seconds = self.text_pair.clone().into_iter();
        let text = |(index, text): (usize, String)| {
            Ok(InputLine::Text(UnlabelledText {
                text,
                pair: seconds.next(),
                row: index + 1,
                ..Default::default()
            }))
        };
        let texts: Vec<_> = self.text.iter().cloned().enumerate().map(text).collect();
        Ok(TextReader::Ready(Box::new(texts.into_iter())))
    }

    /// The columns that flags name, else those of the training if the file has them, else those that are named like the
    /// roles.
    fn open_table<'a>(
        &'a self,
        file: &Path,
        (columns, inputs, pairs): (Option<&'a Columns>, Inputs, PairChoice),
        kept: &[String],
    ) -> Result<UnlabelledTexts, TrainError> {
        let trained = |role| columns.and_then(|columns: &'a Columns| columns.get(role)).map(String::as_str);
        let roles =
            [(inputs.first, Some(inputs.second))].into_iter().chain(inputs.trained_as.iter().copied());
        let of_training = roles
            .into_iter()
            .find_map(|(first, second)| trained(first).map(|first| (first, second.and_then(trained))));
        let (first, second) = of_training.unzip();
        // If the file does not have a column, the next name is tried.
        let names =
            |named: &'a Option<String>, of_training: Option<&'a str>, role: Option<&'static str>| match named
            {
                Some(named) => vec![named.as_str()],
                None => of_training.into_iter().chain(role).collect(),
            };
        let mut texts = names(&self.text_column, first, Some(inputs.first));
        let is_trained_pair = pairs == PairChoice::Always || inputs.pairing == Pairing::AsGiven;
        let mut seconds = names(
            &self.text_pair_column,
            second.flatten().filter(|_| is_trained_pair),
            (inputs.pairing == Pairing::Always).then_some(inputs.second),
        );
        // For a model that reads single texts as well as pairs, the file may lack the second column of the training.
        let fewest_seconds = usize::from(pairs == PairChoice::Always || self.text_pair_column.is_some());
        let opened = loop {
            let opened = stream_unlabelled(file, texts.first().copied(), seconds.first().copied(), kept);
            match [(&mut texts, 1), (&mut seconds, fewest_seconds)]
                .into_iter()
                .find(|(names, fewest)| names.len() > *fewest && is_missing(&opened, names.first().copied()))
            {
                Some((names, _)) => drop(names.remove(0)),
                None => break opened,
            }
        };
        if self.text_pair_column.is_none() && is_missing(&opened, seconds.first().copied()) {
            return Err(TrainError::Usage(format!(
                "the model was trained on pairs of texts, and {} has no column {}; name the column of the second text with --text-pair-column",
                file.display(),
                seconds.first().copied().unwrap_or_default()
            )));
        }
        let read = [(inputs.first, texts.first().copied()), (inputs.second, seconds.first().copied())];
        let is_taken = |name: &&String| {
            read.iter().any(|(role, column)| {
                *role == name.as_str() && column.is_some_and(|column| column != name.as_str())
            })
        };
        match kept.iter().find(is_taken) {
            Some(name) => Err(TrainError::Usage(format!(
                "--keep {name}: the output already has a column `{name}` for the text that is read; rename the column in the file"
            ))),
            None => Ok(opened?),
        }
    }
}

/// Refuses columns to keep of an input without columns.
fn refuse_kept(kept: &[String]) -> Result<(), TrainError> {
    if kept.is_empty() {
        return Ok(());
    }
    Err(TrainError::Usage(
        "--keep copies columns of a .csv, .tsv, .jsonl or .parquet file; this input has lines and no columns: leave --keep out"
            .into(),
    ))
}

/// The texts of a table; after the last one, the notice of its reader is printed.
fn noticing(mut texts: UnlabelledTexts) -> impl Iterator<Item = Result<UnlabelledText, TrainError>> {
    std::iter::from_fn(move || {
        let next = texts.next();
        if next.is_none() {
            texts.notice().iter().for_each(|notice| say(&format!("note: {notice}")));
        }
        next.map(|text| text.map_err(TrainError::from))
    })
}

fn is_missing(opened: &Result<UnlabelledTexts, DataError>, name: Option<&str>) -> bool {
    matches!(opened, Err(DataError::MissingColumn { column, .. }) if Some(column.as_str()) == name)
}

/// Reads stdin in a second thread, so that a pause can be noticed.
fn read_stdin(pairs: PairChoice) -> Receiver<Result<InputLine, TrainError>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        say("reading texts from the terminal, one on each line; end with Ctrl-D");
    }
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for (index, line) in stdin.lock().lines().enumerate() {
            let line = match line.map_err(|error| TrainError::content("stdin", error)) {
                Ok(text) if text.trim().is_empty() => Ok(InputLine::Blank),
                Ok(text) => {
                    let text = UnlabelledText { text, row: index + 1, ..Default::default() };
                    of_pairs(text, pairs, "stdin").map(InputLine::Text)
                }
                Err(error) => Err(error),
            };
            let is_last = line.is_err();
            // The receiver is dropped when the command ends.
            if sender.send(line).is_err() || is_last {
                break;
            }
        }
    });
    receiver
}

/// A line as a text, or as the two texts of a pair if the model reads pairs.
fn of_pairs(line: UnlabelledText, pairs: PairChoice, name: &str) -> Result<UnlabelledText, TrainError> {
    if pairs == PairChoice::Always { in_two(line, name) } else { Ok(line) }
}

fn in_two(line: UnlabelledText, name: &str) -> Result<UnlabelledText, TrainError> {
    let mut parts = line.text.split('\t');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(text), Some(pair), None) => {
            Ok(UnlabelledText { text: text.into(), pair: Some(pair.into()), ..line })
        }
        _ => Err(TrainError::content(
            name,
            format!(
                "line {}: the model was trained on pairs of texts; write the two with one TAB between them",
                line.row
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: TextReader) -> Result<Vec<(String, Option<String>)>, TrainError> {
        let mut texts = texts;
        let mut read = Vec::new();
        while let Next::Line(line) = texts.next(true)? {
            if let InputLine::Text(text) = line {
                read.push((text.text, text.pair));
            }
        }
        Ok(read)
    }

    fn columns(pair: Option<&str>) -> Columns {
        let names = [("text", Some("first")), ("text_pair", pair), ("label", Some("label"))];
        names.into_iter().filter_map(|(role, name)| Some((role.to_owned(), name?.to_owned()))).collect()
    }

    fn file(
        name: &str,
        content: &str,
        options: TextOptions,
        columns: Option<&Columns>,
    ) -> Result<Vec<(String, Option<String>)>, TrainError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let options = TextOptions { file: Some(path), ..options };
        all(options.open(columns, Inputs::TEXTS, PairChoice::of(columns, Inputs::TEXTS), &[])?)
    }

    fn pair(first: &str, second: &str) -> (String, Option<String>) {
        (first.into(), Some(second.into()))
    }

    #[test]
    fn columns_of_the_training_are_the_default() {
        let (one, two) = (columns(None), columns(Some("second")));
        let plain = TextOptions::default;
        let table = "first,second,text\na,b,c\n";
        assert_eq!(file("t.csv", table, plain(), Some(&two)).unwrap(), [pair("a", "b")]);
        assert_eq!(file("t.csv", table, plain(), Some(&one)).unwrap(), [("a".to_string(), None)]);
        assert_eq!(file("t.csv", table, plain(), None).unwrap(), [("c".to_string(), None)]);
        assert_eq!(file("t.csv", "text,x\nc,d\n", plain(), Some(&one)).unwrap(), [("c".to_string(), None)]);
        let named = TextOptions { text_pair_column: Some("x".into()), ..plain() };
        assert_eq!(file("t.csv", "text,x\nc,d\n", named.clone(), Some(&two)).unwrap(), [pair("c", "d")]);
        assert_eq!(file("t.csv", "text,x\nc,d\n", named, None).unwrap(), [pair("c", "d")]);
        assert_eq!(file("t.txt", "a\tb\n", plain(), Some(&two)).unwrap(), [pair("a", "b")]);
    }

    #[test]
    fn single_texts_for_pairs_and_pairs_for_single_texts_are_refused() {
        let (one, two) = (columns(None), columns(Some("second")));
        let message = |result: Result<Vec<_>, TrainError>| result.unwrap_err().to_string();
        let plain = TextOptions::default;
        let text = message(file("t.csv", "text\na\n", plain(), Some(&two)));
        assert!(text.contains("pairs") && text.contains("second"), "{text}");
        let text = message(file("t.txt", "a\tb\nc\n", plain(), Some(&two)));
        assert!(text.contains("line 2") && text.contains("TAB"), "{text}");
        assert!(message(file("t.txt", "a\tb\tc\n", plain(), Some(&two))).contains("TAB"));
        let named = TextOptions { text_pair_column: Some("x".into()), ..plain() };
        assert!(message(file("t.csv", "first,x\na,b\n", named, Some(&one))).contains("single texts"));
        let given = |texts: &[&str], seconds: &[&str], columns: Option<&Columns>| {
            let strings = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
            let options = TextOptions { text: strings(texts), text_pair: strings(seconds), ..plain() };
            all(options.open(columns, Inputs::TEXTS, PairChoice::of(columns, Inputs::TEXTS), &[])?)
        };
        assert!(message(given(&["a"], &[], Some(&two))).contains("pairs"));
        assert!(message(given(&["a", "b"], &["c"], None)).contains("2 of --text, 1 of --text-pair"));
        assert!(message(given(&["a"], &["b"], Some(&one))).contains("single texts"));
        assert_eq!(given(&["a"], &["b"], Some(&two)).unwrap(), [pair("a", "b")]);
    }
}
