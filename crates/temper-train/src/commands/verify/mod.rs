//! `temper verify`: a model compared with the reference values of another implementation.

mod compare;
mod fixtures;
mod reference;

pub use compare::{Comparison, Difference, Impossible, compare};
pub use fixtures::{FixtureOutcome, FixtureResult, verify_fixtures};

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use temper_hub::catalogue;
use temper_models::{HeadRequest, Loaded, Model, ModelConfig, Precision, families};

use super::compute_on;
use crate::device::backend::Backend;
use crate::terminal::{print, say};
use crate::{LocalModel, PrecisionSetting, SourceOptions, TrainError, device::precision};

/// Compare a model's outputs with those of a reference implementation
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// Name (bert), Hub id (org/name), folder or run of a model. Without --reference its family's
    /// fixtures of this checkout are verified, not its weights
    pub model: Option<String>,
    /// A safetensors file with input_ids, attention_mask, token_type_ids, decoder_input_ids,
    /// decoder_attention_mask and any outputs: last_hidden_state, encoder_last_hidden_state,
    /// pooler_output, logits, start_logits, end_logits, prediction_logits, seq_relationship_logits
    #[arg(long, value_name = "FILE", requires = "model")]
    pub reference: Option<PathBuf>,
    /// Verify the fixtures of every family
    #[arg(long, conflicts_with_all = ["model", "reference"])]
    pub all: bool,
    /// A folder of fixtures: folders with config.json, weights and reference.safetensors
    #[arg(long, value_name = "DIR", conflicts_with = "reference")]
    pub fixtures: Option<PathBuf>,
    /// Largest absolute difference allowed: 1e-4 by default, more where products are less precise than f32
    #[arg(long)]
    pub tolerance: Option<f64>,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs), bf16 or int8 (CPUs); auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// Runs the command: one line a tensor or a fixture, and a verdict.
///
/// # Errors
/// [`TrainError::Verification`] and [`TrainError::Fixtures`] above the tolerance; [`TrainError::File`] for
/// a reference that cannot be used.
pub fn verify(args: &VerifyArgs) -> Result<(), TrainError> {
    let (device, precision) = compute_on(args.backend, args.precision)?;
    let tolerance = args.tolerance.unwrap_or_else(|| default_tolerance(precision));
    let bounds = VerifyBounds { precision, tolerance };
    match (&args.model, &args.reference) {
        (Some(model), Some(reference)) => verify_model(args, model, reference, bounds, &device),
        (None, _) if !args.all => {
            let what = "a model's name, Hub id or folder is missing; --all verifies every family's fixtures";
            Err(TrainError::Usage(what.into()))
        }
        (model, _) => {
            let folder = fixtures::folder(args.fixtures.as_deref())?;
            let family = model.as_ref().map(|model| family_of(args, model)).transpose()?;
            let results = verify_fixtures(&folder, family.as_deref(), bounds, &device)?;
            report_fixtures(args, bounds, &results)
        }
    }
}

/// What a model computes in, and how far it may be from its reference then.
#[derive(Clone, Copy, Debug)]
pub struct VerifyBounds {
    /// Of the model's products.
    pub precision: Precision,
    /// Largest absolute difference allowed. Where factors are rounded further than to f32, it is for outputs of up to
    /// 4 and grows with larger ones, as rounding errors do.
    pub tolerance: f64,
}

impl VerifyBounds {
    /// Largest absolute difference allowed of an output.
    fn allowed(&self, output: &Difference) -> f64 {
        const UNITS: f64 = 4.0;
        match self.precision {
            Precision::F32 => self.tolerance,
            Precision::Tf32 | Precision::Bf16 | Precision::Int8 => {
                self.tolerance * (output.size / UNITS).max(1.0)
            }
        }
    }

    /// The output that differs most of those that differ by more than is allowed.
    pub(super) fn failure<'a>(&self, comparison: &'a Comparison) -> Option<&'a Difference> {
        let fails = |output: &&Difference| output.largest > self.allowed(output);
        let failures = comparison.outputs.iter().filter(fails);
        failures.max_by(|left, right| left.largest.total_cmp(&right.largest))
    }
}

/// 1e-4 in f32. Where factors are rounded further, so many errors of one rounding: what the fixtures of every family stay
/// below (docs/CUDA.md).
fn default_tolerance(precision: Precision) -> f64 {
    const ROUNDINGS: f64 = 64.0;
    match precision {
        Precision::F32 => 1e-4,
        Precision::Tf32 | Precision::Bf16 | Precision::Int8 => ROUNDINGS * precision.unit_roundoff(),
    }
}

fn verify_model(
    args: &VerifyArgs,
    model: &str,
    reference: &Path,
    bounds: VerifyBounds,
    device: &Device,
) -> Result<(), TrainError> {
    let VerifyBounds { precision, tolerance } = bounds;
    let local = LocalModel::find(&args.sources.hub(true), model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, device)?;
    let loaded = Loaded { model: loaded.model.with_precision(precision).packed(), ..loaded };
    let comparison = compare(&loaded, reference, device)?;
    let failure = bounds.failure(&comparison);
    if args.json {
        let value = serde_json::json!({
            "model": model,
            "reference": reference,
            "precision": precision,
            "tolerance": tolerance,
            "verified": failure.is_none(),
            "outputs": comparison.outputs,
            "impossible": comparison.impossible,
            "not_compared": comparison.not_compared,
        });
        print(&format!("{value}\n"))?;
    } else {
        print(&lines(&comparison))?;
        if failure.is_none() {
            let name = precision::name(precision);
            print(&format!("verified: nothing differs by more than {tolerance:e} (precision {name})\n"))?;
        }
    }
    match failure {
        None => Ok(()),
        Some(worst) => {
            let (what, difference, tolerance) = (worst.name.clone(), worst.largest, bounds.allowed(worst));
            Err(TrainError::Verification { what, difference, tolerance })
        }
    }
}

/// One line an output, and one for what is none.
fn lines(comparison: &Comparison) -> String {
    let mut lines = String::new();
    for Difference { name, largest, position, .. } in &comparison.outputs {
        lines += &format!("{name:<26} largest absolute difference {largest:.3e} at {position:?}\n");
    }
    for Impossible { name, reason } in &comparison.impossible {
        lines += &format!("{name:<26} not compared: {reason}\n");
    }
    if !comparison.not_compared.is_empty() {
        lines += &format!("{:<26} {}\n", "no outputs, not compared:", comparison.not_compared.join(", "));
    }
    lines
}

/// The family of a model, which is read from its files only if its name does not imply it.
fn family_of(args: &VerifyArgs, model: &str) -> Result<String, TrainError> {
    let known = |name: &str| families().iter().any(|family| family.model_type == name);
    if known(model) {
        return Ok(model.into());
    }
    let catalogued = catalogue().find(model).filter(|_| !Path::new(model).is_dir());
    if let Some(entry) = catalogued.filter(|entry| known(&entry.family)) {
        return Ok(entry.family.clone());
    }
    let local = LocalModel::find(&args.sources.hub(true), model)?;
    Ok(ModelConfig::read(&local.dir)?.model_type().into())
}

fn report_fixtures(
    args: &VerifyArgs,
    VerifyBounds { precision, tolerance }: VerifyBounds,
    results: &[FixtureResult],
) -> Result<(), TrainError> {
    let failed: Vec<String> = results
        .iter()
        .filter(|result| result.outcome.is_failure())
        .map(|result| result.name.clone())
        .collect();
    let unknown =
        results.iter().filter(|result| matches!(result.outcome, FixtureOutcome::UnknownFamily)).count();
    let verified = results.len() - failed.len() - unknown;
    if args.json {
        let value = serde_json::json!({
            "precision": precision,
            "tolerance": tolerance,
            "verified": failed.is_empty() && verified > 0,
            "fixtures": results,
        });
        print(&format!("{value}\n"))?;
    } else {
        let table: String = results.iter().map(fixture_line).collect();
        let (all, not, precision) = (results.len(), failed.len(), precision::name(precision));
        let skipped = match unknown {
            0 => String::new(),
            unknown => format!(", {unknown} of families that are not known"),
        };
        print(&format!(
            "{table}{all} fixtures: {verified} verified, {not} not{skipped}; tolerance {tolerance:e}, precision {precision}\n"
        ))?;
    }
    match (failed.is_empty(), verified) {
        (false, _) => Err(TrainError::Fixtures { failed, of: results.len() }),
        (true, 0) => Err(TrainError::Usage("no fixture is of a family that this version knows".into())),
        (true, _) => Ok(()),
    }
}

fn fixture_line(result: &FixtureResult) -> String {
    let FixtureResult { name, architecture, .. } = result;
    let (verdict, rest) = match &result.outcome {
        FixtureOutcome::Verified { output, largest } => ("verified", format!("{largest:.1e}  {output}")),
        FixtureOutcome::Differs { output, largest } => ("differs", format!("{largest:.1e}  {output}")),
        FixtureOutcome::Failed { reason } => ("failed", reason.clone()),
        FixtureOutcome::UnknownFamily => ("unknown", format!("model_type {}", result.model_type)),
    };
    format!("{name:<36} {architecture:<36} {verdict:<9} {rest}\n")
}
