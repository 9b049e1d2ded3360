//! How a model's texts become tensors: what training decided, in `temper.json` next to the model, and
//! where there is none, what the files of its tokenizer say.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use temper_data::{DeclaredCut, EncodeSettings, Truncation, declared_cut};
use temper_models::Pooling;

use crate::settings::{ModelDefaults, default_stride};
use crate::{Columns, Settings, TrainError};

/// The record next to a model.
const FILE: &str = "temper.json";
/// The version of its format.
const VERSION: u64 = 1;

/// What training decided of how a text becomes a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedEncoding {
    /// The version of the format.
    version: u64,
    /// Tokens of an example at most, special tokens included.
    pub max_seq_length: usize,
    /// What of a longer text is kept.
    pub truncation: Truncation,
    /// Tokens that neighbouring windows share, if the task spreads long texts and the run sets their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_stride: Option<usize>,
    /// Columns of the training data by role; with a second text, the model is one for pairs.
    #[serde(deserialize_with = "columns")]
    pub columns: Columns,
    /// What the classification head reads.
    pub pooling: Pooling,
    /// What else the task has to know of the model.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub task: Map<String, Value>,
}

impl RecordedEncoding {
    /// What these settings decide, on data with these columns, and what the task records.
    pub fn new(settings: &Settings, columns: &Columns, task: Map<String, Value>) -> Self {
        Self {
            version: VERSION,
            max_seq_length: settings.max_seq_length,
            truncation: settings.truncation,
            doc_stride: settings.doc_stride,
            columns: columns.clone(),
            pooling: settings.pooling,
            task,
        }
    }

    /// Writes `temper.json` into a model's folder.
    ///
    /// # Errors
    /// [`TrainError::Hub`].
    pub fn write(&self, dir: &Path) -> Result<(), TrainError> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|error| TrainError::file(&path, error))?;
        Ok(temper_files::write(&path, (text + "\n").as_bytes())?)
    }

    /// Reads `temper.json` of a model's folder; a checkpoint that Temper did not write has none.
    ///
    /// # Errors
    /// [`TrainError::File`] for a file of another version, unknown keys or values.
    pub fn read(dir: &Path) -> Result<Option<Self>, TrainError> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let bad = |reason: String| {
            TrainError::content(&path, format!("{reason}; take the file as the run wrote it"))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if value.get("version").and_then(Value::as_u64) != Some(VERSION) {
            let found = value.get("version").unwrap_or(&Value::Null);
            let reason = format!("its version is {found}, this temper reads {VERSION}");
            return Err(TrainError::content(&path, reason));
        }
        let record: Self = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        match record.max_seq_length {
            0 => Err(bad("max_seq_length is 0".into())),
            _ => Ok(Some(record)),
        }
    }
}

/// Columns by role; a role may be null, as earlier versions wrote one that there is not.
fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Columns, D::Error> {
    let columns: BTreeMap<String, Option<String>> = BTreeMap::deserialize(deserializer)?;
    Ok(columns.into_iter().filter_map(|(role, name)| Some((role, name?))).collect())
}

/// How a model's texts are cut, where a flag says so.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct CutOptions {
    /// Maximum length of a text in tokens, special tokens included; by default as in training, or as the model's files say
    #[arg(long)]
    pub max_seq_length: Option<usize>,
    /// Which part of a longer text is kept: head, tail or head-tail; as in training by default
    #[arg(long)]
    pub truncation: Option<Truncation>,
    /// Tokens that neighbouring windows of a long text share, for tasks that spread it; as in training by default
    #[arg(long)]
    pub doc_stride: Option<usize>,
}

impl CutOptions {
    /// Tokens that neighbouring windows of a model share: as the flag says, else as in training.
    pub fn stride(&self, encoding: &ModelEncoding, max_length: usize) -> usize {
        let recorded = encoding.recorded.as_ref().and_then(|recorded| recorded.doc_stride);
        self.doc_stride.or(recorded).unwrap_or(default_stride(max_length))
    }
}

/// How a model's texts become tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEncoding {
    /// What training decided; `None` for a checkpoint that Temper did not write.
    pub recorded: Option<RecordedEncoding>,
    declared: DeclaredCut,
}

impl ModelEncoding {
    /// Reads what is in a model's folder.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Data`] for files that cannot be understood.
    pub fn read(dir: &Path) -> Result<Self, TrainError> {
        Ok(Self { recorded: RecordedEncoding::read(dir)?, declared: declared_cut(dir)? })
    }

    /// The columns that the model was trained on.
    pub fn columns(&self) -> Option<&Columns> {
        self.recorded.as_ref().map(|recorded| &recorded.columns)
    }

    /// What its task recorded.
    pub fn task_record(&self) -> Map<String, Value> {
        self.recorded.as_ref().map(|recorded| recorded.task.clone()).unwrap_or_default()
    }

    /// How texts are cut for a model with so many positions, and what is to be said of it.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a length beyond the positions.
    pub fn cut(
        &self,
        asked: &CutOptions,
        positions: usize,
    ) -> Result<(EncodeSettings, Vec<String>), TrainError> {
        if let Some(length) = asked.max_seq_length.filter(|&length| length > positions) {
            return Err(too_long(length, positions));
        }
        let own = self.own(positions);
        let settings = EncodeSettings {
            max_length: asked.max_seq_length.unwrap_or(own.max_length),
            truncation: asked.truncation.unwrap_or(own.truncation),
        };
        let mut notices: Vec<String> = self.contradiction().into_iter().collect();
        if self.recorded.is_some() && settings != own {
            notices.push(format!(
                "the model was trained on {}; here it reads {}, as the flags say",
                in_words(&own),
                in_words(&settings)
            ));
        }
        Ok((settings, notices))
    }

    /// As in training, else as the tokenizer's files say.
    fn own(&self, positions: usize) -> EncodeSettings {
        let (length, truncation) = match &self.recorded {
            Some(recorded) => (Some(recorded.max_seq_length), recorded.truncation),
            None => (self.declared.max_length, self.declared.truncation.unwrap_or_default()),
        };
        EncodeSettings { max_length: length.map_or(positions, |length| length.min(positions)), truncation }
    }

    /// What to say where the tokenizer's files were changed after the training.
    fn contradiction(&self) -> Option<String> {
        let recorded = self.recorded.as_ref()?;
        let side = self.declared.truncation.unwrap_or_default().side();
        let agrees = side == recorded.truncation.side()
            && self.declared.max_length.is_none_or(|length| length == recorded.max_seq_length);
        let counts = EncodeSettings { max_length: recorded.max_seq_length, truncation: recorded.truncation };
        (!agrees).then(|| {
            format!(
                "tokenizer_config.json and {FILE} contradict each other; {FILE} counts: {}",
                in_words(&counts)
            )
        })
    }

    /// The defaults that a run takes from the model that it starts from.
    pub fn defaults(&self) -> ModelDefaults {
        match &self.recorded {
            Some(recorded) => ModelDefaults {
                max_seq_length: Some(recorded.max_seq_length),
                truncation: Some(recorded.truncation),
                doc_stride: recorded.doc_stride,
                pooling: Some(recorded.pooling),
            },
            None => ModelDefaults {
                // Longer texts than usual are not what a limit asks for.
                max_seq_length: self
                    .declared
                    .max_length
                    .filter(|&length| length < Settings::default().max_seq_length),
                truncation: self.declared.truncation.filter(|&truncation| truncation != Truncation::Head),
                doc_stride: None,
                pooling: None,
            },
        }
    }
}

/// A length beyond a model's positions.
pub(crate) fn too_long(asked: usize, positions: usize) -> TrainError {
    TrainError::Usage(format!(
        "--max-seq-length {asked} is beyond the model's {positions} positions; give {positions} or less"
    ))
}

fn in_words(settings: &EncodeSettings) -> String {
    format!("texts of at most {} tokens, of longer ones the {}", settings.max_length, settings.truncation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> RecordedEncoding {
        let columns = [("text", "a"), ("text_pair", "b"), ("label", "c")];
        let columns = columns.map(|(role, name)| (role.to_owned(), name.to_owned())).into();
        let settings =
            Settings { max_seq_length: 9, truncation: Truncation::HeadTail, ..Settings::default() };
        let task = Map::from_iter([("null_threshold".to_owned(), 0.5.into())]);
        RecordedEncoding::new(&settings, &columns, task)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RecordedEncoding::read(dir.path()).unwrap(), None);
        recorded().write(dir.path()).unwrap();
        assert_eq!(RecordedEncoding::read(dir.path()).unwrap(), Some(recorded()));
        assert_eq!(recorded().task["null_threshold"], 0.5);
    }

    #[test]
    fn files_that_say_something_else_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |change: &dyn Fn(&mut Value), words: &[&str]| {
            let mut value = serde_json::to_value(recorded()).unwrap();
            change(&mut value);
            std::fs::write(dir.path().join(FILE), value.to_string()).unwrap();
            let error = RecordedEncoding::read(dir.path()).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            for word in words {
                assert!(error.to_string().contains(word), "{word} not in {error}");
            }
        };
        refused(&|value| value["version"] = 2.into(), &["temper.json", "version is 2", "reads 1"]);
        refused(&|value| value["stride"] = 2.into(), &["temper.json", "stride"]);
        refused(&|value| value["truncation"] = "middle".into(), &["middle"]);
        refused(&|value| value["max_seq_length"] = 0.into(), &["max_seq_length is 0"]);
        refused(&|value| *value = Value::Null, &["version"]);
    }

    #[test]
    fn the_record_counts_then_the_tokenizers_files_then_the_positions() {
        let declared = DeclaredCut { max_length: Some(9), truncation: Some(Truncation::Tail) };
        let of = |recorded, declared| ModelEncoding { recorded, declared };
        let cut = |encoding: &ModelEncoding, asked: CutOptions| encoding.cut(&asked, 40).unwrap();
        let settings = |max_length, truncation| EncodeSettings { max_length, truncation };
        let none = CutOptions::default();
        let run = of(Some(recorded()), declared);
        assert_eq!(cut(&run, none), (settings(9, Truncation::HeadTail), vec![]));
        let foreign = of(None, declared);
        assert_eq!(cut(&foreign, none), (settings(9, Truncation::Tail), vec![]));
        let bare = of(None, DeclaredCut::default());
        assert_eq!(cut(&bare, none), (settings(40, Truncation::Head), vec![]));
        // Flags count before all of them, and say so where they contradict the training.
        let asked =
            CutOptions { max_seq_length: Some(12), truncation: Some(Truncation::Head), doc_stride: None };
        let (found, notices) = cut(&run, asked);
        assert_eq!(found, settings(12, Truncation::Head));
        assert!(notices[0].contains("9 tokens") && notices[0].contains("head-tail"), "{notices:?}");
        assert_eq!(cut(&foreign, asked).1, Vec::<String>::new());
        assert!(run.cut(&CutOptions { max_seq_length: Some(41), ..CutOptions::default() }, 40).is_err());
        let changed = of(Some(recorded()), DeclaredCut { max_length: Some(9), truncation: None });
        assert!(cut(&changed, none).1[0].contains("temper.json counts"));
    }
}
