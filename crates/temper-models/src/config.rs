//! config.json: kept as it was read, so that it can be written back whole.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::registry::{FamilyConfig, FamilyFacts};
use crate::{ModelError, Pooling};

/// Where the textbook's pooling is recorded; transformers keeps unknown keys.
const POOLING_KEY: &str = "temper_pooling";

/// The sizes that data must respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A token id must be below it.
    pub vocab_size: usize,
    /// A sequence must not be longer, special tokens included.
    pub max_positions: usize,
}

/// A model's configuration: Hugging Face's config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    raw: Map<String, Value>,
    pub(crate) family: FamilyConfig,
}

impl ModelConfig {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// [`ModelError::BrokenFile`] for a file that is not JSON, [`ModelError::UnknownFamily`],
    /// [`ModelError::Unsupported`] and [`ModelError::Config`] for what it says.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let broken = |reason: String| ModelError::BrokenFile { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
        let raw: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        Self::from_raw(raw)
    }

    pub(crate) fn from_raw(raw: Map<String, Value>) -> Result<Self, ModelError> {
        let family = FamilyConfig::parse(&Value::Object(raw.clone()))?;
        Ok(Self { raw, family })
    }

    /// The whole file.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// The sizes that data must respect.
    pub fn bounds(&self) -> Bounds {
        self.family.bounds()
    }

    /// Names of the labels by id, from `id2label`; empty when the file has none.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the ids are not 0, 1, 2, ...
    pub fn labels(&self) -> Result<Vec<String>, ModelError> {
        let Some(Value::Object(id2label)) = self.raw.get("id2label") else { return Ok(Vec::new()) };
        (0..id2label.len())
            .map(|id| {
                let name = id2label.get(&id.to_string()).and_then(Value::as_str);
                name.map(str::to_owned).ok_or_else(|| ModelError::Config {
                    reason: format!("id2label has {} entries, but none for id {id}", id2label.len()),
                })
            })
            .collect()
    }

    /// The classification head that `architectures` names, if any.
    pub(crate) fn classifier_pooling(&self) -> Option<Pooling> {
        let facts = self.family.facts();
        let architecture = self.raw.get("architectures")?.as_array()?.first()?.as_str()?;
        if architecture == facts.classifier_architecture {
            return Some(Pooling::Pooler);
        }
        let marked = self.raw.get(POOLING_KEY).is_some_and(|value| value == "cls");
        (architecture == facts.token_classifier_architecture && marked).then_some(Pooling::Cls)
    }

    /// The same configuration for a classifier with these labels.
    pub(crate) fn with_classifier(&self, labels: &[String], pooling: Pooling) -> Self {
        let FamilyFacts { classifier_architecture, token_classifier_architecture, .. } = self.family.facts();
        let mut raw = self.raw.clone();
        let (architecture, mark) = match pooling {
            Pooling::Pooler => (classifier_architecture, None),
            Pooling::Cls => (token_classifier_architecture, Some("cls")),
        };
        raw.insert("architectures".into(), json!([architecture]));
        let by_id = labels.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name))).collect();
        let by_name = labels.iter().enumerate().map(|(id, name)| (name.clone(), json!(id))).collect();
        raw.insert("id2label".into(), Value::Object(by_id));
        raw.insert("label2id".into(), Value::Object(by_name));
        // num_labels contradicts id2label in some old files; transformers derives it.
        for stale in ["num_labels", "_num_labels", "_name_or_path", POOLING_KEY] {
            raw.shift_remove(stale);
        }
        raw.insert("problem_type".into(), json!("single_label_classification"));
        if let Some(mark) = mark {
            raw.insert(POOLING_KEY.into(), json!(mark));
        }
        // Weights are written as f32, whatever the source was stored in.
        for key in ["dtype", "torch_dtype"] {
            if let Some(value) = raw.get_mut(key) {
                *value = json!("float32");
            }
        }
        Self { raw, family: self.family.clone() }
    }
}
