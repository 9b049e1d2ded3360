//! Which texts a command reads.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use temper_data::{UnlabelledText, read_unlabelled};

use crate::TrainError;
use crate::terminal::say;

/// Which texts a command reads.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TextOptions {
    /// A text; may be given several times. Without it and --file, lines are read from stdin
    #[arg(long)]
    pub text: Vec<String>,
    /// A .txt (a text a line), .csv, .tsv, .jsonl or .parquet file
    #[arg(long, conflicts_with = "text", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Column of the text in the file
    #[arg(long)]
    pub text_column: Option<String>,
    /// Column of a second text in the file
    #[arg(long)]
    pub text_pair_column: Option<String>,
}

impl TextOptions {
    /// Reads the texts.
    ///
    /// # Errors
    /// [`TrainError::Data`]; [`TrainError::File`] where stdin is no text.
    pub fn read(&self) -> Result<Vec<UnlabelledText>, TrainError> {
        let line = |(row, text): (usize, String)| UnlabelledText { text, pair: None, row: row + 1 };
        if let Some(file) = &self.file {
            return Ok(read_unlabelled(file, self.text_column.as_deref(), self.text_pair_column.as_deref())?);
        }
        if !self.text.is_empty() {
            return Ok(self.text.iter().cloned().enumerate().map(line).collect());
        }
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            say("reading texts from the terminal, one a line; end with Ctrl-D");
        }
        let lines = stdin.lock().lines().collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|error| TrainError::content("stdin", error))?;
        Ok(lines.into_iter().filter(|text| !text.trim().is_empty()).enumerate().map(line).collect())
    }
}
