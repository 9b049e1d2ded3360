//! config.json: kept as it was read, so that it can be written back whole.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use serde_json::{Map, Value, json};

use crate::files::read_object;
use crate::heads::{ClassifierConfig, HeadKind};
use crate::registry::AnyBackbone;
use crate::saved_config::saved;
use crate::weights::Place;
use crate::{
    DropoutKeys, Family, FamilyFacts, HeadFacts, HeadTask, ModelError, OutputMeaning, Parts, Pooling, Rows,
};

/// Where the textbook's pooling is recorded; transformers keeps unknown keys.
const POOLING_KEY: &str = "temper_pooling";

/// The sizes that data must respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A token id must be below it.
    pub vocab_size: usize,
    /// A sequence must not be longer, special tokens included; `usize::MAX` where positions are relative.
    pub max_positions: usize,
}

type Init<B> = Arc<dyn Fn(Parts, &Device) -> B + Send + Sync>;
/// The family's reading of a changed file.
type FactsOf = fn(&Map<String, Value>) -> Result<FamilyFacts, ModelError>;

/// A model's configuration: Hugging Face's config.json, and its family's reading of it.
pub struct ModelConfig<B = AnyBackbone> {
    raw: Map<String, Value>,
    facts: Arc<FamilyFacts>,
    facts_of: FactsOf,
    dropout: DropoutKeys,
    init: Init<B>,
}

impl<B> Clone for ModelConfig<B> {
    fn clone(&self) -> Self {
        Self {
            raw: self.raw.clone(),
            facts: self.facts.clone(),
            facts_of: self.facts_of,
            dropout: self.dropout,
            init: self.init.clone(),
        }
    }
}

impl<B> fmt::Debug for ModelConfig<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ModelConfig").field("raw", &self.raw).finish_non_exhaustive()
    }
}

impl<B> PartialEq for ModelConfig<B> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl ModelConfig {
    /// Reads `config.json` of a model folder, of any family that the registry knows.
    ///
    /// # Errors
    /// [`ModelError::BrokenFile`] for a file that is not JSON, [`ModelError::UnknownFamily`],
    /// [`ModelError::Unsupported`] and [`ModelError::Config`] for what it says.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        crate::registry::parse(read_object(&dir.join("config.json"))?)
    }
}

impl ModelConfig {
    /// Reads the text of a `config.json`, of any family that the registry knows.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a text that is no JSON object, and those of [`ModelConfig::read`] for what it says.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let raw = serde_json::from_str(text);
        crate::registry::parse(raw.map_err(|error| ModelError::Config { reason: error.to_string() })?)
    }
}

impl<B: 'static> ModelConfig<B> {
    /// Reads `config.json` of a model folder as the given family's, whatever its `model_type`: for a
    /// family that the registry does not know.
    ///
    /// # Errors
    /// As [`ModelConfig::read`], but for [`ModelError::UnknownFamily`].
    pub fn read_as<F: Family<Backbone = B>>(dir: &Path) -> Result<Self, ModelError> {
        Self::of_family::<F>(read_object(&dir.join("config.json"))?, |backbone| backbone)
    }

    /// The configuration of a family; `wrap` turns its backbone into the type that the model holds.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] and [`ModelError::Config`].
    pub fn of_family<F: Family>(
        raw: Map<String, Value>,
        wrap: fn(F::Backbone) -> B,
    ) -> Result<Self, ModelError> {
        let family: F = parse(&raw)?;
        let facts = Arc::new(family.facts());
        let dropout = family.dropout_keys();
        let init: Init<B> = Arc::new(move |parts, device| wrap(family.init(parts, device)));
        Ok(Self { raw, facts, facts_of: |raw| Ok(parse::<F>(raw)?.facts()), dropout, init })
    }
}

impl<B> ModelConfig<B> {
    /// The whole file.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// What the family's heads and checkpoints look like.
    pub fn facts(&self) -> &FamilyFacts {
        &self.facts
    }

    /// Where the file keeps its rates of dropout.
    pub fn dropout_keys(&self) -> DropoutKeys {
        self.dropout
    }

    /// The sizes that data must respect.
    pub fn bounds(&self) -> Bounds {
        self.facts.bounds
    }

    /// The family's name.
    pub fn model_type(&self) -> &str {
        self.raw.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The backbone with zero weights.
    pub(crate) fn init(&self, parts: Parts, device: &Device) -> B {
        (self.init)(parts, device)
    }

    /// Names of the labels by id, as transformers reads them: of `id2label`, else `LABEL_0` and so on.
    ///
    /// # Errors
    /// [`ModelError::Config`] when ids are not 0, 1, 2, ..., a name is no text, or a number of labels is none.
    pub fn labels(&self) -> Result<Vec<String>, ModelError> {
        crate::labels::names(&self.raw)
    }

    /// The same with the head that writes a text of a text.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a family without one.
    pub fn writing(&self) -> Result<Self, ModelError> {
        self.with_head(HeadTask::Seq2SeqLm, &[], OutputMeaning::SingleLabel, Pooling::default())
    }

    /// The file as it is written next to weights in f32: without what it said of the source alone.
    pub fn saved(&self) -> Map<String, Value> {
        saved(&self.raw)
    }

    /// The padding token's id, where it is one that the model embeds.
    pub fn padding(&self) -> Option<u32> {
        let id = self.raw.get("pad_token_id")?.as_u64().and_then(|id| u32::try_from(id).ok())?;
        ((id as usize) < self.bounds().vocab_size).then_some(id)
    }

    /// Whether the family's classifiers of sequences look for the last token that is not padding.
    pub fn reads_by_padding(&self) -> bool {
        self.facts.heads.iter().any(|head| match &head.kind {
            HeadKind::SequenceClassification(config) => {
                matches!(config.rows, Rows::Last | Rows::LastExcept(_)) && head.missing.is_none()
            }
            _ => false,
        })
    }

    /// The same with another padding token.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the family refuses it.
    pub fn with_padding(mut self, id: u32) -> Result<Self, ModelError> {
        self.raw.insert("pad_token_id".into(), json!(id));
        self.facts = Arc::new((self.facts_of)(&self.raw)?);
        Ok(self)
    }

    /// The class that `architectures` names.
    pub fn architecture(&self) -> Option<&str> {
        self.raw.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// The parts of a model without a head; T5's encoder alone says that it has no decoder.
    pub(crate) fn parts_without_head(&self) -> Parts {
        let decoder = self.raw.get("is_encoder_decoder").is_none_or(|value| value != false);
        Parts { decoder, ..Parts::ALL }
    }

    /// The head that `architectures` names, if any.
    pub fn head(&self) -> Option<HeadFacts> {
        let architecture = self.architecture()?;
        let head = self.facts.heads.iter().find(|head| head.architecture == architecture)?;
        Some(match self.pooling() {
            Pooling::Cls => over_first_token(head),
            Pooling::Pooler => head.clone(),
        })
    }

    /// Where one of our parameters is stored, under the head that `architectures` names.
    pub fn stored_place(&self, path: &str) -> Option<Place> {
        let Some(head) = self.head() else { return self.stored_place_without_head(path) };
        if path.starts_with("head.") {
            return head.rows.iter().find_map(|row| row.place_of(path));
        }
        let place = self.stored_place_without_head(path)?;
        let prefix = head.prefix.unwrap_or(self.facts.weights.prefix);
        Some(Place { name: format!("{prefix}{}", place.name), ..place })
    }

    /// Where one of our parameters is stored in a checkpoint without a head.
    pub fn stored_place_without_head(&self, path: &str) -> Option<Place> {
        self.facts.weights.rows.iter().find_map(|row| row.place_of(path))
    }

    /// What a classifier of sequences reads.
    pub fn pooling(&self) -> Pooling {
        let marked = self.raw.get(POOLING_KEY).is_some_and(|value| value == "cls");
        if marked { Pooling::Cls } else { Pooling::Pooler }
    }

    /// Whether `architectures` names a head for that task with these labels, outputs and pooling. Labels or a
    /// `problem_type` that cannot be understood are others than these.
    pub fn has_head(
        &self,
        task: HeadTask,
        labels: &[String],
        outputs: OutputMeaning,
        pooling: Pooling,
    ) -> bool {
        if self.head().is_none_or(|head| head.kind.task() != task) {
            return false;
        }
        let has_labels = || self.labels().is_ok_and(|own| own == labels);
        match task {
            HeadTask::SequenceClassification => {
                self.pooling() == pooling
                    && has_labels()
                    && self.output_meaning(labels.len()).is_ok_and(|own| own == outputs)
            }
            HeadTask::TokenClassification => has_labels(),
            _ => true,
        }
    }

    /// The same configuration for another head.
    ///
    /// # Errors
    /// [`ModelError::NoHead`] when the family has no such head.
    pub(crate) fn with_head(
        &self,
        task: HeadTask,
        labels: &[String],
        outputs: OutputMeaning,
        pooling: Pooling,
    ) -> Result<Self, ModelError> {
        let stored_as = match pooling {
            Pooling::Cls => HeadTask::TokenClassification,
            Pooling::Pooler => task,
        };
        let reads_first = |head: &HeadFacts| matches!(&head.kind, HeadKind::SequenceClassification(config) if config.rows == Rows::First);
        let heads = &self.facts.heads;
        let head = heads.iter().find(|head| head.kind.task() == stored_as);
        let Some(head) = head.filter(|_| pooling == Pooling::Pooler || heads.iter().any(reads_first)) else {
            return Err(ModelError::NoHead {
                family: self.model_type().into(),
                task: if pooling == Pooling::Cls { "pooling = cls".into() } else { task.to_string() },
                known: heads.iter().map(|head| head.architecture).collect::<Vec<_>>().join(", "),
            });
        };
        let mut raw = self.raw_for(head.architecture, task, labels, pooling);
        if task == HeadTask::SequenceClassification {
            raw.insert("problem_type".into(), json!(outputs.problem_type()));
        }
        let changed = Self { raw, ..self.clone() };
        match changed.end_as_padding() {
            Some(id) if task == HeadTask::SequenceClassification => changed.with_padding(id),
            _ => Ok(changed),
        }
    }

    /// The end of a text for a classifier that looks for padding and has no padding token: transformers refuses to
    /// classify more than one text without, and reads the same token as Temper with it.
    fn end_as_padding(&self) -> Option<u32> {
        if !self.reads_by_padding() || self.padding().is_some() {
            return None;
        }
        let end = match self.raw.get("eos_token_id")? {
            Value::Array(ends) => ends.first()?,
            end => end,
        };
        end.as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .filter(|&id| (id as usize) < self.bounds().vocab_size)
    }

    fn raw_for(
        &self,
        architecture: &str,
        task: HeadTask,
        labels: &[String],
        pooling: Pooling,
    ) -> Map<String, Value> {
        let mut raw = saved(&self.raw);
        raw.insert("architectures".into(), json!([architecture]));
        // Of a task without labels, transformers would take the number of its outputs from those of another.
        for stale in ["num_labels", "id2label", "label2id", "problem_type", POOLING_KEY] {
            raw.shift_remove(stale);
        }
        if task.has_labels() {
            let by_id = labels.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name))).collect();
            let by_name = labels.iter().enumerate().map(|(id, name)| (name.clone(), json!(id))).collect();
            raw.insert("id2label".into(), Value::Object(by_id));
            raw.insert("label2id".into(), Value::Object(by_name));
        }
        if pooling == Pooling::Cls {
            raw.insert(POOLING_KEY.into(), json!("cls"));
        }
        raw
    }
}

fn parse<F: Family>(raw: &Map<String, Value>) -> Result<F, ModelError> {
    let family = F::deserialize(Value::Object(raw.clone()))
        .map_err(|error| ModelError::Config { reason: with_field::<F>(raw, &error) })?;
    family.validate()?;
    Ok(family)
}

/// What serde said, with the field that it stumbled over: alone with all others at their defaults, that field fails too.
fn with_field<F: Family>(raw: &Map<String, Value>, error: &serde_json::Error) -> String {
    let alone =
        |(key, value): (&String, &Value)| Value::Object(Map::from_iter([(key.clone(), value.clone())]));
    let bad: Vec<&str> = raw
        .iter()
        .filter(|&field| F::deserialize(alone(field)).is_err())
        .map(|(key, _)| key.as_str())
        .collect();
    match bad[..] {
        [] => error.to_string(),
        _ => format!("{}: {error}", bad.join(", ")),
    }
}

/// A token classifier, read at the first token of each sequence.
fn over_first_token(head: &HeadFacts) -> HeadFacts {
    let HeadKind::TokenClassification { dropout, transform } = head.kind else { return head.clone() };
    let classifier = ClassifierConfig { transform, ..ClassifierConfig::first_token(dropout) };
    HeadFacts { kind: HeadKind::SequenceClassification(classifier), ..head.clone() }
}
