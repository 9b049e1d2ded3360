//! `temper evaluate`.

use std::path::PathBuf;

use super::{Predictor, compute_on};
use crate::backend::Backend;
use crate::record::ResumedRecord;
use crate::settings::{Preset, Settings};
use crate::tasks::{Scores, Task, TextClassification};
use crate::terminal::{print_line, say};
use crate::training::{EvaluationLoader, Progress, evaluate as run};
use crate::{ColumnOptions, PrecisionSetting, RunRequest, SourceOptions, Split, TrainError};

/// Score a fine-tuned model on a split
#[derive(Clone, Debug, clap::Args)]
pub struct EvaluateArgs {
    /// A run folder or a model
    pub model: String,
    /// A dataset; the run's own by default
    pub dataset: Option<String>,
    /// train, validation or test
    #[arg(long, default_value = "test")]
    pub split: Split,
    /// Examples used at most
    #[arg(long)]
    pub max_samples: Option<usize>,
    /// Tokens an example, special tokens included
    #[arg(long)]
    pub max_seq_length: Option<usize>,
    /// Tokens computed at once
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// What matrix products compute in: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Say nothing on stderr but errors
    #[arg(long)]
    pub quiet: bool,
    /// Print the scores as JSON
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn evaluate(args: &EvaluateArgs) -> Result<(), TrainError> {
    evaluate_for::<TextClassification>(args)
}

fn evaluate_for<T: Task>(args: &EvaluateArgs) -> Result<(), TrainError> {
    let on = compute_on(args.backend, args.precision)?;
    let predictor = Predictor::<T>::load(&args.model, &args.sources, on, args.max_seq_length)?;
    let request = request(args, predictor.max_seq_length)?;
    let hub = request.sources.hub(args.quiet);
    let (task, splits) = T::load(&hub, &request, &predictor.tokenizer, &[args.split])?;
    if let Some(notice) = splits.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
        say(&notice);
    }
    if task != predictor.task {
        return Err(TrainError::Usage(format!(
            "the dataset is for {task:?}, the model for {:?}: they belong to different tasks",
            predictor.task
        )));
    }
    let examples = splits.split(args.split).examples.clone();
    let count = examples.len();
    let loader = EvaluationLoader::new(examples, args.max_tokens_per_batch);
    let scores = run(&predictor.model, &loader, &Progress::new(args.quiet)).scores;
    if args.json {
        print_line(&format!(
            "{}",
            serde_json::to_string(&scores).map_err(|error| TrainError::file("stdout", error))?
        ))?;
    } else {
        print_scores(count, &scores)?;
    }
    Ok(())
}

fn print_scores(count: usize, scores: &Scores) -> Result<(), TrainError> {
    print_line(&format!("{count} examples"))?;
    for (name, value) in &scores.metrics {
        print_line(&format!("{name:<10} {value:.4}"))?;
    }
    let [low, high] = scores.interval;
    print_line(&format!("{} lies between {low:.4} and {high:.4} (95 %)", scores.headline_name()))?;
    print_line(&format!("baseline   {:.4} (always the most common label)", scores.baseline))
}

/// What to load: the dataset that is named, or the one of the run.
fn request(args: &EvaluateArgs, max_seq_length: usize) -> Result<RunRequest, TrainError> {
    let mut request = match &args.dataset {
        Some(dataset) => RunRequest {
            model: args.model.clone(),
            dataset: dataset.clone(),
            columns: args.columns.clone(),
            backend: String::new(),
            devices: Vec::new(),
            preset: Preset::Full,
            sources: args.sources.clone(),
            settings: Settings::default(),
        },
        None => ResumedRecord::read(&PathBuf::from(&args.model).join("run.toml"))?.request,
    };
    if args.sources != SourceOptions::default() {
        request.sources = args.sources.clone();
    }
    let ColumnOptions { text_column, text_pair_column, label_column } = args.columns.clone();
    let columns = &mut request.columns;
    columns.text_column = text_column.or(columns.text_column.take());
    columns.text_pair_column = text_pair_column.or(columns.text_pair_column.take());
    columns.label_column = label_column.or(columns.label_column.take());
    let settings = &mut request.settings;
    settings.max_seq_length = max_seq_length;
    let limit = match args.split {
        Split::Train => &mut settings.max_train_samples,
        Split::Validation => &mut settings.max_eval_samples,
        Split::Test => &mut settings.max_test_samples,
    };
    *limit = args.max_samples.or(*limit);
    Ok(request)
}
