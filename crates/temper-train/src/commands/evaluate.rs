//! `temper evaluate`.

use std::path::Path;

use super::compare::TextTable;
use super::{Predictor, compute_on};
use crate::device::backend::Backend;
use crate::run::record::ResumedRecord;
use crate::settings::{Preset, Settings, SplitSettings};
use crate::sources::local_files;
use crate::tasks::{self, DecisionOptions, LoadRequest, Scores};
use crate::terminal::{print, print_line, say};
use crate::training::{EvaluationLoader, Progress, evaluate as evaluate_split};
use crate::{
    ColumnOptions, Columns, CutOptions, PrecisionSetting, RunRequest, SourceOptions, Split, TrainError,
};

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
    /// Maximum number of examples
    #[arg(long)]
    pub max_samples: Option<usize>,
    /// How texts are cut
    #[command(flatten)]
    pub cut: CutOptions,
    /// How outputs become predictions
    #[command(flatten)]
    pub decide: DecisionOptions,
    /// Tokens in one forward pass
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// Where train, validation and test of DATASET come from
    #[command(flatten)]
    pub splits: SplitSettings,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs), bf16 or int8 (CPUs); auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Print only errors on stderr
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
    let (examples, scores) = score(args, &args.model)?;
    if args.json {
        let text = serde_json::to_string(&scores);
        print_line(&text.map_err(|error| TrainError::file("stdout", error))?)
    } else {
        print_scores(examples, &scores)
    }
}

/// The number of examples and the scores of a model; `run` is the folder whose data it is where no dataset is named.
///
/// # Errors
/// See [`TrainError`].
pub(super) fn score(args: &EvaluateArgs, run: &str) -> Result<(usize, Scores), TrainError> {
    let on = compute_on(args.backend, args.precision)?;
    let predictor = Predictor::load(&args.model, &args.sources, on, (&args.cut, &args.decide), args.quiet)?;
    let (request, recorded) = match args.splits.dataset(args.dataset.as_deref())? {
        Some(dataset) => (named(args, dataset, &predictor), None),
        None if args.splits != SplitSettings::default() => {
            return Err(TrainError::Usage(
                "the splits of a run are those in its run.toml; name a DATASET to choose splits of it".into(),
            ));
        }
        None => {
            let recorded = ResumedRecord::read(&Path::new(run).join("run.toml"))?;
            (recorded.request.clone(), Some(recorded))
        }
    };
    let request = with_flags(request, args, &predictor);
    let dataset_files = local_files(&request.dataset_request())?;
    let hub = request.sources.hub(args.quiet);
    let splits = tasks::load(&LoadRequest {
        record: Some(predictor.task.record()),
        ..request.load_request(&hub, (&predictor.tokenizer, &predictor.config), &[args.split])
    })?;
    if let Some(notice) = splits.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
        say(&notice);
    }
    if let Some(recorded) = recorded {
        recorded.check_data(splits.resolved.as_ref(), &dataset_files)?;
    }
    check_pairs(predictor.encoding.columns(), &splits.columns)?;
    predictor.task.check_data(splits.task.as_ref())?;
    let loader = EvaluationLoader::new(splits.features(args.split).clone(), args.max_tokens_per_batch);
    let examples = (&splits.examples, args.split);
    let evaluation =
        evaluate_split(&predictor.model, &loader, examples, &Progress::new(args.quiet), || None)?;
    // Nothing stops it.
    let evaluation =
        evaluation.scored().ok_or_else(|| TrainError::Learner("an evaluation came to no end".into()))?;
    Ok((loader.features().example_count(), evaluation.scores))
}

/// Refuses single texts for a model of pairs, and pairs for one of single texts.
fn check_pairs(trained: Option<&Columns>, read: &Columns) -> Result<(), TrainError> {
    match trained.map(|trained| (trained.get("text_pair"), read.get("text_pair"))) {
        Some((Some(pair), None)) => Err(TrainError::Usage(format!(
            "the model was trained on pairs of texts, and the dataset has no column {pair}; name the column of the second text with --text-pair-column"
        ))),
        Some((None, Some(pair))) => Err(TrainError::Usage(format!(
            "the model was trained on single texts, and the dataset gives pairs, with {pair} as the second text"
        ))),
        _ => Ok(()),
    }
}

fn print_scores(count: usize, scores: &Scores) -> Result<(), TrainError> {
    print_line(&format!("{count} examples"))?;
    for (name, value) in &scores.metrics {
        print_line(&format!("{name:<10} {value:.4}"))?;
    }
    if let Some([low, high]) = scores.interval {
        print_line(&format!("{} is between {low:.4} and {high:.4} (95 %)", scores.headline_name()))?;
    }
    print_line(&format!("baseline   {:.4} ({})", scores.baseline, scores.baseline_name))?;
    for table in &scores.tables {
        let mut shown = TextTable::new(&[&[table.title], &table.columns[..]].concat());
        for (part, values) in &table.rows {
            let values = values.iter().map(|value| format!("{value:.4}"));
            shown.push(std::iter::once(part.clone()).chain(values).collect());
        }
        print(&shown.text())?;
    }
    Ok(())
}

/// What to load for a dataset that is named.
fn named(args: &EvaluateArgs, dataset: &str, predictor: &Predictor) -> RunRequest {
    RunRequest {
        model: args.model.clone(),
        dataset: dataset.to_owned(),
        from_scratch: None,
        columns: args.columns.clone(),
        task: Some(predictor.task.kind()),
        trained_columns: predictor.encoding.columns().cloned(),
        backend: String::new(),
        devices: Vec::new(),
        preset: Preset::Full,
        sources: args.sources.clone(),
        settings: Settings { splits: args.splits.clone(), ..Settings::default() },
    }
}

fn with_flags(mut request: RunRequest, args: &EvaluateArgs, predictor: &Predictor) -> RunRequest {
    if args.sources != SourceOptions::default() {
        request.sources = args.sources.clone();
    }
    request.columns = args.columns.clone().or(&request.columns);
    let settings = &mut request.settings;
    settings.max_seq_length = predictor.cut.max_length;
    settings.truncation = predictor.cut.truncation;
    settings.doc_stride = Some(predictor.stride);
    let limit = match args.split {
        Split::Train => &mut settings.max_train_samples,
        Split::Validation => &mut settings.max_eval_samples,
        Split::Test => &mut settings.max_test_samples,
    };
    *limit = args.max_samples.or(*limit);
    request
}
