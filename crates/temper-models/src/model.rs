use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::heads::SequenceClassification;
use crate::initial::fresh;
use crate::registry::FamilyFacts;
use crate::weights::{Checkpoint, Layout, Source, Target, fill, write_safetensors};
use crate::{
    AnyBackbone, Backbone, Head, HeadRequest, Misfits, Mode, ModelConfig, ModelError, Parameter,
    ParameterTable, Pooling, TokenBatch,
};

/// transformers' number of labels for a classifier whose configuration names none.
const DEFAULT_LABELS: usize = 2;

/// A backbone with the head of a task, or without one.
#[derive(Module, Debug)]
pub struct Model {
    /// The pretrained part.
    pub backbone: AnyBackbone,
    /// The task's part.
    pub head: Option<Head>,
}

/// A model that was loaded, and what happened on the way.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// Its configuration, with the labels of its head.
    pub config: ModelConfig,
    /// Paths of parameters that the checkpoint does not have and that were drawn at random.
    pub new: Vec<String>,
    /// Names of stored tensors that this model has no use for.
    pub dropped: Vec<String>,
}

impl Model {
    /// Loads a model folder in Hugging Face's layout onto a device.
    ///
    /// On a device with autodiff every parameter asks for gradients.
    ///
    /// # Errors
    /// See [`ModelError`]. Disagreements between weights and configuration are listed all at once
    /// in [`ModelError::Misfit`].
    pub fn load(dir: &Path, head: &HeadRequest, device: &Device) -> Result<Loaded, ModelError> {
        let read = ModelConfig::read(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        let (config, head, seed) = resolve_head(read, head)?;
        let model = build(&config, &head, device);
        let plan = plan(&model, &checkpoint, &config.family.facts(), head.keeps_weights)?;
        let range = config.family.facts().initializer_range;
        let mut sources = HashMap::new();
        for (path, name, layout) in plan.filled {
            sources.insert(path, Source { data: checkpoint.values(&name)?, layout });
        }
        for parameter in &plan.new {
            let data = fresh(parameter, range, seed);
            sources.insert(parameter.path.clone(), Source { data, layout: Layout::Same });
        }
        let new = plan.new.into_iter().map(|parameter| parameter.path).collect();
        Ok(Loaded { model: fill(model, sources), config, new, dropped: plan.dropped })
    }

    /// Logits of the classification head; `None` without one.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[sequences, labels]`
    pub fn classify(&self, batch: &TokenBatch, mode: Mode) -> Option<Tensor<2>> {
        let Some(Head::SequenceClassification(head)) = &self.head else { return None };
        let hidden = self.backbone.forward(batch, head.rows(), mode.child(0));
        Some(head.forward(&self.backbone, hidden, mode.child(1)))
    }

    /// Every parameter, with its path.
    pub fn parameters(&self) -> ParameterTable {
        ParameterTable::of(self)
    }

    /// Writes `config.json` and `model.safetensors` such that transformers loads the folder as it
    /// is.
    ///
    /// # Errors
    /// [`ModelError::Write`] when a file cannot be written; files are complete or absent.
    pub fn save(&self, config: &ModelConfig, dir: &Path) -> Result<(), ModelError> {
        let facts = config.family.facts();
        let prefix = if self.head.is_some() { facts.weights.prefix } else { "" };
        let stored_name = |path: &str| {
            if path.starts_with("head.") {
                return facts.classifier.iter().find_map(|row| row.stored_name(path));
            }
            let (name, layout) = facts.weights.stored_name(path)?;
            Some((format!("{prefix}{name}"), layout))
        };
        write_safetensors(self, &dir.join("model.safetensors"), stored_name)?;
        let path = dir.join("config.json");
        let text = serde_json::to_string_pretty(config.raw()).map_err(std::io::Error::other);
        text.and_then(|text| std::fs::write(&path, text + "\n"))
            .map_err(|error| ModelError::Write { path, reason: error.to_string() })
    }
}

/// The head that a model gets: its labels and pooling, and whether its weights come from the file.
struct ResolvedHead {
    classifier: Option<(usize, Pooling)>,
    keeps_weights: bool,
}

fn resolve_head(
    config: ModelConfig,
    request: &HeadRequest,
) -> Result<(ModelConfig, ResolvedHead, u64), ModelError> {
    match request {
        HeadRequest::FromConfig => {
            let classifier = match config.classifier_pooling() {
                Some(pooling) => match config.labels()?.len() {
                    0 => Some((DEFAULT_LABELS, pooling)),
                    labels => Some((labels, pooling)),
                },
                None => None,
            };
            Ok((config, ResolvedHead { classifier, keeps_weights: true }, 0))
        }
        HeadRequest::NewSequenceClassification { labels, pooling, seed } => {
            let config = config.with_classifier(labels, *pooling);
            let classifier = Some((labels.len(), *pooling));
            Ok((config, ResolvedHead { classifier, keeps_weights: false }, *seed))
        }
    }
}

fn build(config: &ModelConfig, head: &ResolvedHead, device: &Device) -> Model {
    let backbone = match head.classifier {
        Some((_, Pooling::Cls)) => config.family.init(device).without_pooler(),
        _ => config.family.init(device),
    };
    let head = head.classifier.map(|(labels, pooling)| {
        let dropout = config.family.facts().head_dropout;
        let hidden = backbone.hidden_size();
        Head::SequenceClassification(SequenceClassification::new(hidden, labels, dropout, pooling, device))
    });
    Model { backbone, head }
}

/// Which stored tensor fills which parameter.
struct Plan {
    /// Path, stored name, layout.
    filled: Vec<(String, String, Layout)>,
    new: Vec<Parameter>,
    dropped: Vec<String>,
}

fn plan(
    model: &Model,
    checkpoint: &Checkpoint,
    facts: &FamilyFacts,
    keeps_head: bool,
) -> Result<Plan, ModelError> {
    let parameters = model.parameters().parameters;
    let wanted: HashMap<&str, &Parameter> =
        parameters.iter().map(|parameter| (parameter.path.as_str(), parameter)).collect();
    let mut plan = Plan { filled: Vec::new(), new: Vec::new(), dropped: Vec::new() };
    let mut misfits = Misfits::default();
    let mut found = BTreeSet::new();
    for entry in checkpoint.entries() {
        match target(&entry.name, facts, model.head.is_some() && keeps_head) {
            None => misfits.unexpected.push(entry.name),
            Some(Target::Ignored) => {}
            Some(Target::Foreign) => plan.dropped.push(entry.name),
            Some(Target::Parameter { path, layout }) => match wanted.get(path.as_str()) {
                None if path.starts_with(facts.pooler) => plan.dropped.push(entry.name),
                None => misfits.unexpected.push(entry.name),
                Some(parameter) => {
                    let shape = stored_shape(&parameter.shape, layout);
                    if shape != entry.shape {
                        misfits.misshapen.push((entry.name.clone(), entry.shape, shape));
                    }
                    found.insert(path.clone());
                    plan.filled.push((path, entry.name, layout));
                }
            },
        }
    }
    for parameter in parameters.iter().filter(|parameter| !found.contains(&parameter.path)) {
        let may_be_new =
            parameter.path.starts_with(facts.pooler) || (parameter.path.starts_with("head.") && !keeps_head);
        if may_be_new {
            plan.new.push(parameter.clone());
        } else {
            misfits.missing.push(parameter.path.clone());
        }
    }
    if misfits.is_empty() {
        return Ok(plan);
    }
    Err(ModelError::Misfit { path: checkpoint.path.clone(), misfits })
}

fn target(name: &str, facts: &FamilyFacts, takes_head: bool) -> Option<Target> {
    let head = if takes_head { facts.classifier } else { &[] };
    let rows = head.iter().chain(facts.other_heads);
    facts.weights.target(name).or_else(|| rows.into_iter().find_map(|row| row.target(name)))
}

fn stored_shape(shape: &[usize], layout: Layout) -> Vec<usize> {
    match layout {
        Layout::Same => shape.to_vec(),
        Layout::Transposed => shape.iter().rev().copied().collect(),
    }
}
