//! The adapters of `--strategy lora` in a run: attached, kept in checkpoints, and given away.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use temper_freeze::lora::{PeftRequest, attach, load_own, save_own, save_peft};
use temper_freeze::{FreezePlan, Strategy};
use temper_models::{
    Backbone, Bounds, HeadRequest, Loaded, Mode, Model, ModelConfig, Precision, Rows, TokenBatch, is_adapter,
};

use crate::TrainError;
use crate::settings::Settings;

/// The adapters in a checkpoint, next to the model without them.
pub(crate) const FILE: &str = "adapter.safetensors";

/// The largest difference between logits with separate and with merged adapters, as a part of the
/// largest logit.
pub(crate) const MERGE_TOLERANCE: f64 = 1e-4;

/// Whether these settings train adapters.
pub(crate) fn has_adapters(settings: &Settings) -> bool {
    matches!(settings.strategy.parse(), Ok(Strategy::Lora))
}

/// Refuses a run that ends before every adapter can have moved: B is zero at first, so that A has a
/// gradient only after B's first step, which is the second where the rate warms up from zero.
///
/// # Errors
/// [`TrainError::Usage`].
pub(crate) fn check_steps(settings: &Settings, total: usize) -> Result<(), TrainError> {
    const LEAST: usize = 3;
    if !has_adapters(settings) || total >= LEAST {
        return Ok(());
    }
    Err(TrainError::Usage(format!(
        "strategy lora needs at least {LEAST} optimiser steps, this run has {total}; give more examples, epochs or --max-steps"
    )))
}

/// The warning about adapters that will hardly change.
pub(crate) fn notice(settings: &Settings) -> Option<String> {
    const USUAL: f64 = 1e-4;
    (has_adapters(settings) && settings.learning_rate < USUAL).then(|| {
        format!(
            "adapters start at zero and need a higher learning rate than full fine-tuning: --learning-rate {:e} may be too small; try 1e-3",
            settings.learning_rate
        )
    })
}

/// A freshly loaded model with the adapters that the settings ask for.
pub(crate) fn with_adapters(loaded: Loaded, settings: &Settings) -> Result<Loaded, TrainError> {
    if !has_adapters(settings) {
        return Ok(loaded);
    }
    let model = attach(loaded.model, &settings.lora(), &loaded.new, settings.seed)?;
    Ok(Loaded { model, ..loaded })
}

/// Writes a model into a folder: without its adapters, and these next to it.
pub(crate) fn save(model: &Model, config: &ModelConfig, dir: &Path) -> Result<(), TrainError> {
    model.save(config, dir)?;
    if model.has_adapters() {
        save_own(model, &dir.join(FILE))?;
    }
    Ok(())
}

/// Loads what [`save`] wrote.
pub(crate) fn load(dir: &Path, settings: &Settings, device: &Device) -> Result<Loaded, TrainError> {
    let loaded = Model::load(dir, &HeadRequest::FromConfig, device)?;
    let file = dir.join(FILE);
    if !file.is_file() {
        return Ok(loaded);
    }
    let model = load_own(loaded.model, &settings.lora(), &file)?;
    Ok(Loaded { model, ..loaded })
}

/// Paths of what trains outside of the adapters.
pub(crate) fn trained_whole(plan: &FreezePlan) -> Vec<String> {
    let rows = plan.rows.iter().filter(|row| row.trains && !is_adapter(&row.path));
    rows.map(|row| row.path.clone()).collect()
}

/// Fills an adapter's folder: PEFT's two files, and the model's config.json, which names its head and labels.
pub(crate) fn give(
    model: &Model,
    config: &ModelConfig,
    request: &PeftRequest<'_>,
    dir: &Path,
) -> Result<(), TrainError> {
    save_peft(model, config, request, dir)?;
    let path = dir.join("config.json");
    let text =
        serde_json::to_string_pretty(&config.saved()).map_err(|error| TrainError::file(&path, error))?;
    Ok(temper_files::write(&path, (text + "\n").as_bytes())?)
}

/// Compares the logits of two models, or without a head their hidden states, on sequences of ids that
/// are drawn by a fixed rule; gives the largest difference as a part of the largest value. They compute in f32
/// whatever they were trained in: the comparison is of their weights.
///
/// # Errors
/// [`TrainError::Verification`] beyond [`MERGE_TOLERANCE`].
pub(crate) fn compare_merged(first: &Model, second: &Model, bounds: Bounds) -> Result<f64, TrainError> {
    let exact = |model: &Model| model.clone().with_precision(Precision::F32);
    let [first, second] = [first, second].map(|model| outputs(&exact(model), bounds));
    let largest = first.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let differences = first.iter().zip(&second).map(|(left, right)| (left - right).abs());
    // A NaN must not hide behind max, which ignores it.
    let most =
        differences.fold(0.0_f32, |most, next| if next.is_nan() { f32::INFINITY } else { most.max(next) });
    let difference = f64::from(most) / f64::from(largest.max(f32::MIN_POSITIVE));
    if difference <= MERGE_TOLERANCE {
        return Ok(difference);
    }
    Err(TrainError::Verification {
        what: "the output with separate and with merged adapters (relative)".into(),
        difference,
        tolerance: MERGE_TOLERANCE,
    })
}

fn outputs(model: &Model, bounds: Bounds) -> Vec<f32> {
    const LENGTHS: [u32; 4] = [32, 7, 19, 1];
    let longest = u32::try_from(bounds.max_positions).unwrap_or(u32::MAX);
    let lengths = LENGTHS.map(|length| length.min(longest));
    let count: u32 = lengths.iter().sum();
    // Knuth's multiplier scatters the ids over the vocabulary.
    let id = |place: u32| (u64::from(place) * 2_654_435_761 % bounds.vocab_size as u64) as u32;
    let ids: Vec<u32> = (1..=count).map(id).collect();
    let device = model.backbone.token_table().device();
    let batch = TokenBatch::new(&ids, &vec![0; ids.len()], &lengths, &device);
    let hidden = || model.backbone.forward(&batch, Rows::All, Mode::Evaluate);
    let output: Tensor<2> = model.logits(&batch, Mode::Evaluate).unwrap_or_else(hidden);
    output.into_data().iter::<f32>().collect()
}
