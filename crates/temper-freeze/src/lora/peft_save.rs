//! Writing adapters as PEFT does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};
use temper_models::weights::{StoredTensor, StoredTensors, write_tensors};
use temper_models::{BackboneModule, HeadTask, Model, ModelConfig};

use super::factors::Factors;
use super::modules::{Module, modules};
use super::targets::ends_with_name;
use super::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, LoraSettings};
use crate::FreezeError;

/// What PEFT puts before a module's name.
pub(super) const PREFIX: &str = "base_model.model.";

/// What an adapter's folder says besides the model.
#[derive(Clone, Debug)]
pub struct PeftRequest<'a> {
    /// The settings that the adapters were attached with.
    pub settings: &'a LoraSettings,
    /// Hub id or folder of the base model.
    pub base_model: &'a str,
    /// Paths of parameters outside the adapters that were trained: the head's, and what was new.
    pub trained: &'a [String],
}

/// Writes a model's adapters as `adapter_config.json` and `adapter_model.safetensors`, such that PEFT's
/// `PeftModel.from_pretrained` loads the folder onto the base model.
///
/// Trained parameters outside the adapters go where PEFT keeps `modules_to_save`.
///
/// # Errors
/// [`FreezeError::NoAdapters`], [`FreezeError::Model`] where a parameter has no stored name or a file
/// cannot be written.
pub fn save_peft<B: BackboneModule>(
    model: &Model<B>,
    config: &ModelConfig<B>,
    request: &PeftRequest<'_>,
    dir: &Path,
) -> Result<(), FreezeError> {
    let mut model = model.clone();
    let modules = modules(&mut model, config)?;
    let adapters = adapters(&mut model, &modules);
    if adapters.is_empty() {
        return Err(FreezeError::NoAdapters);
    }
    let whole = Whole::of(&model, config, request.trained)?;
    let mut tensors = StoredTensors::new();
    for (name, factors) in &adapters {
        let [inputs, outputs] = modules[name].sizes;
        let mut insert = |matrix: &str, shape: [usize; 2], values: &[f32]| {
            tensors.insert(
                format!("{PREFIX}{name}.{matrix}.weight"),
                StoredTensor::new(shape.to_vec(), values.to_vec()),
            );
        };
        insert("lora_A", [factors.rank, inputs], &factors.a);
        insert("lora_B", [outputs, factors.rank], &factors.b);
    }
    tensors.extend(whole.tensors.into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor)));
    write_tensors(&tensors, &dir.join(ADAPTER_WEIGHTS))?;
    let text = adapter_config(config, request, &modules, &adapters, whole.modules);
    let path = dir.join(ADAPTER_CONFIG);
    let text = serde_json::to_string_pretty(&text).map_err(std::io::Error::other);
    text.and_then(|text| std::fs::write(&path, text + "\n")).map_err(|error| {
        temper_models::ModelError::Write { path: path.clone(), reason: error.to_string() }.into()
    })
}

/// The adapters by transformers' module.
fn adapters<B: BackboneModule>(
    model: &mut Model<B>,
    modules: &BTreeMap<String, Module>,
) -> BTreeMap<String, Factors> {
    let mut by_path = BTreeMap::new();
    model.each_linear(&mut |path, linear| {
        by_path.extend(linear.adapter.as_ref().map(|adapter| (path.to_owned(), Factors::of(adapter))));
    });
    let of_module = |module: &Module| match &module.paths[..] {
        [path] => by_path.get(path).cloned(),
        paths => {
            let parts: Vec<Option<Factors>> = paths.iter().map(|path| by_path.get(path).cloned()).collect();
            Factors::fused(&parts, &module.ranges)
        }
    };
    modules.iter().filter_map(|(name, module)| Some((name.clone(), of_module(module)?))).collect()
}

/// The modules that are stored whole, and their tensors under a checkpoint's names.
struct Whole {
    modules: BTreeSet<String>,
    tensors: StoredTensors,
}

impl Whole {
    /// PEFT replaces whole modules: a head's outermost one, which is what its task types name, and
    /// of the backbone the module that a parameter is of.
    fn of<B: BackboneModule>(
        model: &Model<B>,
        config: &ModelConfig<B>,
        trained: &[String],
    ) -> Result<Self, FreezeError> {
        let is_head = |path: &str| path.starts_with("head.");
        let mut modules = BTreeSet::new();
        for path in trained {
            let place = model.stored_place(config, path);
            let place = place.ok_or_else(|| temper_models::ModelError::Unmapped { path: path.clone() })?;
            let module = match is_head(path) {
                true => place.name.split('.').next(),
                false => place.name.rsplit_once('.').map(|(module, _)| module),
            };
            modules.extend(module.map(str::to_owned));
        }
        // All of a head, whatever of it trained.
        let has_head = trained.iter().any(|path| is_head(path));
        let tensors = model.stored(config, |path| match is_head(path) {
            true => has_head,
            false => trained.iter().any(|trained| trained == path),
        })?;
        Ok(Self { modules, tensors })
    }
}

fn adapter_config<B: BackboneModule>(
    config: &ModelConfig<B>,
    request: &PeftRequest<'_>,
    modules: &BTreeMap<String, Module>,
    adapters: &BTreeMap<String, Factors>,
    whole: BTreeSet<String>,
) -> Value {
    let settings = request.settings;
    let targets: BTreeSet<String> =
        adapters.keys().map(|name| target_name(name, modules, adapters)).collect();
    let rank = |factors: &Factors| factors.rank as f64;
    let alpha = |factors: &Factors| factors.scale * factors.rank as f64;
    let is_conv1d = adapters.keys().any(|name| modules[name].is_conv1d);
    json!({
        "alpha_pattern": pattern(adapters, alpha, settings.lora_alpha),
        "auto_mapping": null,
        "base_model_name_or_path": request.base_model,
        "bias": "none",
        "fan_in_fan_out": is_conv1d,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": number(settings.lora_alpha),
        "lora_dropout": settings.lora_dropout,
        "modules_to_save": (!whole.is_empty()).then_some(whole),
        "peft_type": "LORA",
        "r": settings.r,
        "rank_pattern": pattern(adapters, rank, settings.r as f64),
        "revision": null,
        "target_modules": targets,
        "task_type": task_type(config),
        "use_dora": false,
        "use_rslora": false,
    })
}

/// A whole number without its `.0`: PEFT's alpha is an integer.
fn number(value: f64) -> Value {
    if value.fract().abs() < 1e-9 { json!(value.round() as i64) } else { json!(value) }
}

/// What names an adapted module in `target_modules`: its name after the layer's number if every module
/// that PEFT would find by that has an adapter, else its whole name.
fn target_name(
    name: &str,
    modules: &BTreeMap<String, Module>,
    adapters: &BTreeMap<String, Factors>,
) -> String {
    let short = without_layer(name);
    let mut found = modules.keys().filter(|name| ends_with_name(name, &short));
    if found.all(|name| adapters.contains_key(name)) { short } else { name.into() }
}

/// The modules for which a value differs from the default, named as in [`target_name`] where the short
/// name finds none with another value.
fn pattern(
    adapters: &BTreeMap<String, Factors>,
    value: impl Fn(&Factors) -> f64,
    default: f64,
) -> Map<String, Value> {
    let same = |left: f64, right: f64| (left - right).abs() < 1e-9;
    let different = adapters.iter().filter(|(_, factors)| !same(value(factors), default));
    let named = different.map(|(name, factors)| {
        let (short, wanted) = (without_layer(name), value(factors));
        let mut found = adapters.iter().filter(|(name, _)| ends_with_name(name, &short));
        let is_clear = found.all(|(_, factors)| same(value(factors), wanted));
        (if is_clear { short } else { name.clone() }, number(wanted))
    });
    named.collect()
}

/// A module's name after its layer's number: `attention.self.query`.
fn without_layer(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let first = parts.iter().rposition(is_number).map_or(0, |number| number + 1);
    parts[first..].join(".")
}

/// PEFT's name of the task that a model's head is for.
fn task_type<B>(config: &ModelConfig<B>) -> Option<&'static str> {
    // As transformers loads it: the textbook's pooling is a classifier of tokens there.
    let architecture = config.architecture()?;
    let head = config.facts().heads.iter().find(|head| head.architecture == architecture);
    match head?.kind.task() {
        HeadTask::SequenceClassification => Some("SEQ_CLS"),
        HeadTask::TokenClassification => Some("TOKEN_CLS"),
        HeadTask::QuestionAnswering => Some("QUESTION_ANS"),
        HeadTask::CausalLm => Some("CAUSAL_LM"),
        HeadTask::Seq2SeqLm => Some("SEQ_2_SEQ_LM"),
        HeadTask::MaskedLm | HeadTask::Pretraining => None,
    }
}
