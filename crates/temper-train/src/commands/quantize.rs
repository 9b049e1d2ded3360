//! `temper quantize`.

use std::path::{Path, PathBuf};

use temper_models::{HeadRequest, Loaded, Model, Precision};

use super::backend;
use super::evaluate::{EvaluateArgs, score};
use crate::model::files::{copy_settings, copy_tokenizer};
use crate::settings::SplitSettings;
use crate::tasks::{DecisionOptions, Scores};
use crate::terminal::{print_line, say};
use crate::{ColumnOptions, CutOptions, LocalModel, PrecisionSetting, SourceOptions, Split, TrainError};

/// Write a copy of a model with weights of 8 bits, if its score stays
///
/// The copy is about a quarter in size, and with --precision int8 faster on CPUs. It cannot be fine-tuned.
#[derive(Clone, Debug, clap::Args)]
pub struct QuantizeArgs {
    /// A run folder or a model
    pub model: String,
    /// The folder to write; it must not exist
    pub out: PathBuf,
    /// A dataset on which both are scored; the run's own by default
    pub dataset: Option<String>,
    /// The split on which both are scored: train, validation or test
    #[arg(long, default_value = "validation")]
    pub split: Split,
    /// Maximum number of examples
    #[arg(long)]
    pub max_samples: Option<usize>,
    /// How much worse the first metric may be: its difference, or where lower is better the share by which it grows
    #[arg(long, default_value_t = 0.005)]
    pub tolerance: f64,
    /// Where train, validation and test of DATASET come from
    #[command(flatten)]
    pub splits: SplitSettings,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// Print only errors on stderr
    #[arg(long)]
    pub quiet: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// Runs the command. The folder is complete, or there is none.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::Verification`] where the score is too much worse.
pub fn quantize(args: &QuantizeArgs) -> Result<(), TrainError> {
    if args.out.exists() {
        return Err(TrainError::Usage(format!("{} exists already; name a new folder", args.out.display())));
    }
    let is_run = Path::new(&args.model).join("run.toml").is_file();
    if !is_run && args.splits.dataset(args.dataset.as_deref())?.is_none() {
        return Err(TrainError::Usage(format!(
            "{} is not a run, so the data to score it on is not known; name a DATASET after the folder to write",
            args.model
        )));
    }
    let local = LocalModel::find(&args.sources.hub(args.quiet), &args.model)?;
    let Loaded { model, config, is_quantized, .. } =
        Model::load(&local.dir, &HeadRequest::FromConfig, &backend(None)?.device()?)?;
    if is_quantized {
        return Err(TrainError::Usage(format!("the weights of {} have 8 bits already", args.model)));
    }
    let (examples, exact) = score(&args.scored(&args.model, Precision::F32), &args.model)?;
    let compared = temper_files::publish_new(&args.out, |dir| {
        model.save_quantized(&config, dir)?;
        copy_tokenizer(&local.dir, dir)?;
        copy_settings(&local.dir, dir)?;
        let (_, quantized) = score(&args.scored(&dir.to_string_lossy(), Precision::Int8), &args.model)?;
        check(&exact, &quantized, args.tolerance)?;
        Ok::<_, TrainError>(quantized)
    })?;
    print_line(&format!(
        "{} on {examples} examples: {:.4} in f32, {:.4} in int8",
        exact.headline_name(),
        exact.headline(),
        compared.headline()
    ))?;
    print_line(&format!("model: {}", args.out.display()))?;
    if !args.quiet {
        say(&format!(
            "use it with --precision int8, as in: temper predict {} --precision int8",
            args.out.display()
        ));
    }
    Ok(())
}

impl QuantizeArgs {
    /// How a model is scored.
    fn scored(&self, model: &str, precision: Precision) -> EvaluateArgs {
        EvaluateArgs {
            model: model.into(),
            dataset: self.dataset.clone(),
            split: self.split,
            max_samples: self.max_samples,
            cut: CutOptions::default(),
            decide: DecisionOptions::default(),
            max_tokens_per_batch: 4096,
            splits: self.splits.clone(),
            columns: self.columns.clone(),
            backend: None,
            precision: PrecisionSetting::Named(precision),
            quiet: true,
            json: false,
            sources: self.sources.clone(),
        }
    }
}

/// Refuses scores that are too much worse.
fn check(exact: &Scores, quantized: &Scores, tolerance: f64) -> Result<(), TrainError> {
    let (before, after) = (exact.headline(), quantized.headline());
    let difference = if exact.lower_is_better { (after - before) / before.abs() } else { before - after };
    // Not `difference > tolerance`: a score that is not a number is too much, too.
    if difference <= tolerance {
        return Ok(());
    }
    let what = format!(
        "{} in int8, {after:.4}, is worse than {before:.4} in f32, so nothing is written: it",
        exact.headline_name()
    );
    Err(TrainError::Verification { what, difference, tolerance })
}
