//! The workload: runs of a tiny model on generated rows, and a merge.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::draw::Draw;
use crate::cargo::root;

/// The name of every run.
pub const RUN: &str = "run";

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const KIND: [&str; 6] = ["good", "fine", "lovely", "bright", "warm", "great"];
const UNKIND: [&str; 6] = ["bad", "dull", "awful", "grim", "cold", "poor"];
const NOUNS: [&str; 8] = ["film", "story", "plot", "cast", "scene", "score", "ending", "music"];
const OTHERS: [&str; 3] = ["number", "a", "and"];
const ROWS: usize = 200;

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Every parameter trains.
    All,
    /// The upper layer trains; the output of the lower ones is cached in a file.
    Frozen,
    /// Adapters train.
    Adapters,
}

impl Scenario {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::All, Self::Frozen, Self::Adapters];

    /// For folders and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Frozen => "frozen",
            Self::Adapters => "adapters",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::All => &["--strategy", "all"],
            Self::Frozen => &["--strategy", "last:1", "--trunk-cache", "file"],
            Self::Adapters => &["--strategy", "lora", "--lora-rank", "2"],
        }
    }
}

/// The binary and its inputs.
pub struct Workload {
    temper: PathBuf,
    model: PathBuf,
    rows: PathBuf,
}

impl Workload {
    /// Writes the inputs below a folder.
    pub fn write(temper: &Path, folder: &Path) -> Result<Self> {
        let (model, rows) = (folder.join("model"), folder.join("rows.csv"));
        let zoo = root().join("crates/temper-models/tests/fixtures/zoo/bert-sequence-classification");
        fs::create_dir_all(&model)?;
        for name in ["config.json", "model.safetensors"] {
            let from = zoo.join(name);
            fs::copy(&from, model.join(name))
                .with_context(|| format!("{} cannot be copied", from.display()))?;
        }
        fs::write(model.join("vocab.txt"), vocabulary())?;
        fs::write(&rows, sentences())?;
        Ok(Self { temper: temper.into(), model, rows })
    }

    /// The one command of a run, whether it begins, continues or is finished.
    pub fn finetune(&self, scenario: Scenario, out: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            self.temper.clone().into(),
            "finetune".into(),
            self.model.clone().into(),
            self.rows.clone().into(),
        ];
        arguments.extend(["--output-dir".into(), out.into()]);
        arguments.extend(
            [
                "--run-name",
                RUN,
                "--resume",
                "auto",
                "--backend",
                "flex",
                "--preset",
                "full",
                "--max-seq-length",
                "24",
                "--max-steps",
                "30",
                "--per-device-train-batch-size",
                "16",
                "--save-steps",
                "5",
                "--eval-steps",
                "4",
                "--logging-steps",
                "2",
                "--save-total-limit",
                "2",
                "--learning-rate",
                "1e-3",
            ]
            .map(OsString::from),
        );
        arguments.extend(scenario.flags().iter().map(OsString::from));
        arguments
    }

    /// Adds an adapter to the model.
    pub fn merge(&self, adapter: &Path, out: &Path) -> Vec<OsString> {
        vec![
            self.temper.clone().into(),
            "merge".into(),
            self.model.clone().into(),
            adapter.into(),
            out.into(),
        ]
    }
}

/// 48 words, as many as the model embeds.
fn vocabulary() -> String {
    let words = SPECIAL.iter().chain(&OTHERS).chain(&KIND).chain(&UNKIND).chain(&NOUNS);
    let digits = (0..10).map(|digit| format!("{digit}\n"));
    let continued = (0..10).map(|digit| format!("##{digit}\n"));
    words.map(|word| format!("{word}\n")).chain(digits).chain(continued).collect()
}

fn sentences() -> String {
    let mut draw = Draw::new(0, 0);
    let mut word = |words: &'static [&'static str]| draw.pick(words).copied().unwrap_or_default();
    let mut text = "text,label\n".to_owned();
    for row in 0..ROWS {
        let (words, label): (&[&str], _) = if row % 2 == 0 { (&KIND, "pos") } else { (&UNKIND, "neg") };
        let [first, second] = [0; 2].map(|_| (word(words), word(&NOUNS)));
        text += &format!("number {row} a {} {} and a {} {},{label}\n", first.0, first.1, second.0, second.1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_has_a_row_for_each_embedding() {
        assert_eq!(vocabulary().lines().count(), 48);
        assert_eq!(sentences().lines().count(), 1 + ROWS);
    }
}
