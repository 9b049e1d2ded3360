//! What a run can be told, in layers: defaults < preset < the model that it starts from < file < `TEMPER_*`
//! environment < flags.

use std::path::Path;

use config::{Config, Environment, File};
use serde::{Deserialize, Serialize};
use temper_data::Truncation;
use temper_freeze::lora::LoraSettings;
use temper_hub::near_names;
use temper_models::Pooling;

use crate::{ModelDefaults, PrecisionSetting, TrainError};

/// The settings of a fine-tuning run; names are Hugging Face's where it has one.
///
/// What a run.toml of an earlier version records beyond these is passed over, and what it lacks is the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Passes over the training data.
    pub num_train_epochs: usize,
    /// Optimiser steps; replaces the number of epochs.
    pub max_steps: Option<usize>,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Examples a batch.
    pub per_device_train_batch_size: usize,
    /// Batches an optimiser step.
    pub gradient_accumulation_steps: usize,
    /// Tokens a micro-batch at most; batch size times `max_seq_length` by default.
    pub max_tokens_per_batch: Option<usize>,
    /// Tokens an example, special tokens included.
    pub max_seq_length: usize,
    /// Which part of a longer text is kept.
    pub truncation: Truncation,
    /// AdamW's decay of matrices.
    pub weight_decay: f64,
    /// Share of the steps that warm the learning rate up.
    pub warmup_ratio: f64,
    /// Largest norm of all gradients together.
    pub max_grad_norm: f64,
    /// Seed of the head, the order of batches and dropout.
    pub seed: u64,
    /// Seed of the choice of examples for a subset.
    pub subset_seed: u64,
    /// What trains.
    pub strategy: String,
    /// Factor of each layer's learning rate on that of the layer above it; 1 for one rate everywhere.
    pub layer_decay: f64,
    /// Rank of the adapters of the strategy `lora`.
    pub lora_rank: usize,
    /// What an adapter adds is multiplied by `lora_alpha / lora_rank`.
    pub lora_alpha: f64,
    /// Dropout on the input of an adapter.
    pub lora_dropout: f64,
    /// Linear maps that get an adapter, separated by commas; see `LoraSettings::target_modules`.
    pub lora_targets: String,
    /// What the classification head reads.
    pub pooling: Pooling,
    /// Optimiser steps between two rows of metrics.jsonl.
    pub logging_steps: usize,
    /// Optimiser steps between two evaluations; once an epoch by default.
    pub eval_steps: Option<usize>,
    /// Optimiser steps between two checkpoints; once an epoch by default.
    pub save_steps: Option<usize>,
    /// Checkpoints kept.
    pub save_total_limit: usize,
    /// Training examples used at most.
    pub max_train_samples: Option<usize>,
    /// Training tokens an epoch at most: examples are taken until they are used up.
    pub max_train_tokens: Option<usize>,
    /// Validation examples used at most.
    pub max_eval_samples: Option<usize>,
    /// Test examples used at most.
    pub max_test_samples: Option<usize>,
    /// Whether layers are computed again in the backward pass, instead of keeping what they compute inside.
    pub gradient_checkpointing: bool,
    /// What matrix products compute in.
    pub precision: PrecisionSetting,
    /// Whether layers that do not train drop out in training, as in transformers.
    pub frozen_dropout: bool,
    /// Whether what frozen lowest layers make of an example is kept, and where.
    pub trunk_cache: TrunkCacheMode,
    /// Memory for that, in bytes or with a unit (`2GB`); half of what is free by default.
    pub trunk_cache_memory: Option<String>,
    /// Disk for that where memory does not suffice; half of what is free by default.
    pub trunk_cache_disk: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let lora = LoraSettings::default();
        Self {
            num_train_epochs: 3,
            max_steps: None,
            learning_rate: 2e-5,
            per_device_train_batch_size: 32,
            gradient_accumulation_steps: 1,
            max_tokens_per_batch: None,
            max_seq_length: 128,
            truncation: Truncation::Head,
            weight_decay: 0.01,
            warmup_ratio: 0.1,
            max_grad_norm: 1.0,
            seed: 42,
            subset_seed: 42,
            strategy: "all".into(),
            layer_decay: 1.0,
            lora_rank: lora.r,
            lora_alpha: lora.lora_alpha,
            lora_dropout: lora.lora_dropout,
            lora_targets: lora.target_modules.join(","),
            pooling: Pooling::Pooler,
            logging_steps: 10,
            eval_steps: None,
            save_steps: None,
            save_total_limit: 1,
            max_train_samples: None,
            max_train_tokens: None,
            max_eval_samples: None,
            max_test_samples: None,
            gradient_checkpointing: false,
            precision: PrecisionSetting::Auto,
            frozen_dropout: true,
            trunk_cache: TrunkCacheMode::Auto,
            trunk_cache_memory: None,
            trunk_cache_disk: None,
        }
    }
}

/// Where what frozen lowest layers make of an example is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrunkCacheMode {
    /// In memory or else in a file, exactly where it is always the same and read again.
    Auto,
    /// In memory or not at all.
    Memory,
    /// In a temporary file in the run's folder.
    File,
    /// Nowhere.
    Off,
}

/// Reads a size: bytes, or a number with a unit such as `2GB` or `512 MiB`.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let size: Result<bytesize::ByteSize, String> = text.parse();
    size.map(|size| size.as_u64())
        .map_err(|_| format!("{text} is not a size; write bytes, or a unit as in 2GB"))
}

/// A named set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A first run on a laptop: about five minutes of training on two cores.
    Cpu,
    /// The whole dataset, three epochs.
    Full,
}

/// The part of the settings that [`Preset::Cpu`] changes.
#[derive(Serialize)]
struct CpuPreset {
    num_train_epochs: usize,
    learning_rate: f64,
    max_train_samples: usize,
    max_train_tokens: usize,
    max_eval_samples: usize,
    max_test_samples: usize,
}

// Measured with MiniLM on two cores (docs/BENCHMARKS.md).
const CPU_PRESET: CpuPreset = CpuPreset {
    num_train_epochs: 1,
    learning_rate: 5e-5,
    max_train_samples: 8_000,
    max_train_tokens: 160_000,
    max_eval_samples: 500,
    max_test_samples: 2_000,
};

/// Merges the layers.
///
/// `environment` holds pairs such as `("TEMPER_LEARNING_RATE", "3e-5")`; names that are no setting
/// are left to others (`TEMPER_MIRROR`).
///
/// # Errors
/// [`TrainError::Usage`] for a key that is no setting, with near names, and for a value of the
/// wrong kind.
pub fn resolve(
    preset: Preset,
    model: &ModelDefaults,
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &impl Serialize,
) -> Result<Settings, TrainError> {
    let usage = |error: config::ConfigError| TrainError::Usage(error.to_string());
    let known = known_keys();
    let mut layers = Config::builder().add_source(Config::try_from(&Settings::default()).map_err(usage)?);
    if preset == Preset::Cpu {
        layers = layers.add_source(Config::try_from(&CPU_PRESET).map_err(usage)?);
    }
    layers = layers.add_source(Config::try_from(model).map_err(usage)?);
    if let Some(file) = file {
        check_file(file)?;
        layers = layers.add_source(File::from(file));
    }
    let own = environment.filter(|(name, _)| {
        name.strip_prefix("TEMPER_").is_some_and(|key| known.contains(&key.to_lowercase()))
    });
    let environment = Environment::with_prefix("TEMPER").try_parsing(true).source(Some(own.collect()));
    let layers = layers.add_source(environment).add_source(Config::try_from(flags).map_err(usage)?);
    let settings: Settings = layers.build().and_then(Config::try_deserialize).map_err(usage)?;
    settings.check()?;
    Ok(settings)
}

fn known_keys() -> Vec<String> {
    let value = serde_json::to_value(Settings::default()).unwrap_or_default();
    value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

fn check_file(file: &Path) -> Result<(), TrainError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| TrainError::Usage(format!("{}: {error}", file.display())))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|error| TrainError::Usage(format!("{}: {error}", file.display())))?;
    check_keys(file, table.keys())
}

/// Refuses names in a file that are no settings, with near names.
///
/// # Errors
/// [`TrainError::Usage`].
pub(crate) fn check_keys<'a>(file: &Path, keys: impl Iterator<Item = &'a String>) -> Result<(), TrainError> {
    let known = known_keys();
    let unknown: Vec<String> = keys
        .filter(|key| !known.contains(key))
        .map(|key| {
            let near = near_names(key, known.iter().map(String::as_str));
            match near.first() {
                Some(near) => format!("  {key} (did you mean {near}?)"),
                None => format!("  {key}"),
            }
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(TrainError::Usage(format!(
        "{} has keys that are no setting:\n{}",
        file.display(),
        unknown.join("\n")
    )))
}

impl Settings {
    /// Refuses values that cannot work, all at once.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let mut wrong = Vec::new();
        let mut need = |holds: bool, message: &str| {
            if !holds {
                wrong.push(format!("  {message}"));
            }
        };
        need(self.num_train_epochs > 0, "num_train_epochs must be above 0");
        need(self.max_steps != Some(0), "max_steps must be above 0");
        need(self.learning_rate.is_finite() && self.learning_rate > 0.0, "learning_rate must be above 0");
        need(self.per_device_train_batch_size > 0, "per_device_train_batch_size must be above 0");
        need(self.gradient_accumulation_steps > 0, "gradient_accumulation_steps must be above 0");
        need(self.max_tokens_per_batch != Some(0), "max_tokens_per_batch must be above 0");
        need(self.max_train_tokens != Some(0), "max_train_tokens must be above 0");
        need(self.max_seq_length > 0, "max_seq_length must be above 0");
        need((0.0..=1.0).contains(&self.warmup_ratio), "warmup_ratio must be between 0 and 1");
        need(
            self.weight_decay.is_finite() && self.weight_decay >= 0.0,
            "weight_decay must be finite and not negative",
        );
        need(self.layer_decay > 0.0 && self.layer_decay <= 1.0, "layer_decay must be above 0 and at most 1");
        need(self.max_grad_norm > 0.0, "max_grad_norm must be above 0");
        need(self.lora_rank > 0, "lora_rank must be above 0");
        need(self.lora_alpha.is_finite() && self.lora_alpha > 0.0, "lora_alpha must be above 0");
        need((0.0..1.0).contains(&self.lora_dropout), "lora_dropout must be at least 0 and below 1");
        need(self.logging_steps > 0, "logging_steps must be above 0");
        need(self.eval_steps != Some(0), "eval_steps must be above 0");
        need(self.save_steps != Some(0), "save_steps must be above 0");
        need(self.save_total_limit > 0, "save_total_limit must be above 0");
        for (name, value) in [
            ("max_train_samples", self.max_train_samples),
            ("max_eval_samples", self.max_eval_samples),
            ("max_test_samples", self.max_test_samples),
        ] {
            need(value != Some(0), &format!("{name} must be above 0"));
        }
        for (name, value) in
            [("trunk_cache_memory", &self.trunk_cache_memory), ("trunk_cache_disk", &self.trunk_cache_disk)]
        {
            if let Some(Err(reason)) = value.as_deref().map(bytes) {
                need(false, &format!("{name}: {reason}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(TrainError::Usage(format!("settings that cannot work:\n{}", wrong.join("\n"))))
    }

    /// What the adapters of the strategy `lora` are made from.
    pub fn lora(&self) -> LoraSettings {
        let targets = self.lora_targets.split(',').map(str::trim).filter(|target| !target.is_empty());
        LoraSettings {
            r: self.lora_rank,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: targets.map(str::to_owned).collect(),
        }
    }

    /// Examples an optimiser step.
    pub fn examples_per_step(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }

    /// Tokens a micro-batch at most.
    pub fn tokens_per_batch(&self) -> usize {
        self.max_tokens_per_batch.unwrap_or(self.per_device_train_batch_size * self.max_seq_length)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn later_layers_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        std::fs::write(&file, "learning_rate = 1e-3\nseed = 1\nmax_steps = 5\n").unwrap();
        let variables =
            environment(&[("TEMPER_SEED", "2"), ("TEMPER_MAX_STEPS", "6"), ("TEMPER_MIRROR", "/m")]);
        let settings =
            resolve(Preset::Cpu, &ModelDefaults::default(), Some(&file), variables, &json!({"max_steps": 7}))
                .unwrap();
        assert_eq!(settings.num_train_epochs, 1, "preset over default");
        assert_eq!(settings.learning_rate, 1e-3, "file over preset");
        assert_eq!(settings.seed, 2, "environment over file");
        assert_eq!(settings.max_steps, Some(7), "flag over environment");
        assert_eq!(settings.max_seq_length, 128, "default");
    }

    #[test]
    fn an_unknown_key_is_named_with_a_near_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        std::fs::write(&file, "lerning_rate = 1e-3\n").unwrap();
        let error =
            resolve(Preset::Full, &ModelDefaults::default(), Some(&file), environment(&[]), &json!({}))
                .unwrap_err();
        assert!(error.to_string().contains("lerning_rate (did you mean learning_rate?)"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_recorded_setting_that_is_no_more_is_passed_over() {
        let mut recorded = serde_json::to_value(Settings::default()).unwrap();
        recorded["padding"] = json!("longest");
        assert_eq!(serde_json::from_value::<Settings>(recorded).unwrap(), Settings::default());
    }

    #[test]
    fn impossible_values_are_listed_together() {
        let flags = json!({"learning_rate": -1.0, "num_train_epochs": 0, "warmup_ratio": 2.0});
        let error = resolve(Preset::Full, &ModelDefaults::default(), None, environment(&[]), &flags)
            .unwrap_err()
            .to_string();
        for name in ["learning_rate", "num_train_epochs", "warmup_ratio"] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        let error = resolve(
            Preset::Full,
            &ModelDefaults::default(),
            None,
            environment(&[("TEMPER_SEED", "many")]),
            &json!({}),
        )
        .unwrap_err();
        assert!(error.to_string().contains("seed"), "{error}");
    }
}
