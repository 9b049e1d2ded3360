use std::path::PathBuf;

use temper_data::load_text_classification;

use super::{Classifier, backend};
use crate::backend::Backend;
use crate::record::ResumedRecord;
use crate::training::{EvaluationLoader, Progress, TaskModel, evaluate as run};
use crate::{ColumnOptions, SourceOptions, TrainError};

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
    /// Padded tokens computed at once
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// flex, ndarray or cuda
    #[arg(long)]
    pub backend: Option<Backend>,
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

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// What a run trains on.
    Train,
    /// What chooses the best checkpoint.
    Validation,
    /// What is reported.
    Test,
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn evaluate(args: &EvaluateArgs) -> Result<(), TrainError> {
    let classifier = Classifier::load(&args.model, &args.sources, backend(args.backend)?, args.quiet)?;
    let data = load_text_classification(&args.sources.hub(args.quiet), &dataset_request(args)?)?;
    if let Some(notice) = data.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
        eprintln!("{notice}");
    }
    if data.label_names != classifier.labels {
        return Err(TrainError::Usage(format!(
            "the dataset's labels are {:?}, the model's are {:?}: they belong to different tasks",
            data.label_names, classifier.labels
        )));
    }
    let rows = match args.split {
        Split::Train => data.train,
        Split::Validation => data.validation,
        Split::Test => data.test,
    };
    let texts: Vec<_> = rows.iter().map(|row| (row.text.as_str(), row.pair.as_deref())).collect();
    let targets = rows.iter().map(|row| row.label).collect();
    let examples = classifier.encode(&texts, classifier.max_seq_length(args.max_seq_length)?, targets)?;
    let loader = EvaluationLoader::new(examples, args.max_tokens_per_batch);
    let model = TaskModel::new(classifier.loaded.model.clone(), classifier.task(), f64::MAX);
    let scores = run(&model, &loader, &Progress::new(args.quiet)).scores;
    if args.json {
        println!("{}", serde_json::to_string(&scores).map_err(|error| TrainError::file("stdout", error))?);
        return Ok(());
    }
    println!("{} examples", rows.len());
    for (name, value) in &scores.metrics {
        println!("{name:<10} {value:.4}");
    }
    println!(
        "{} lies between {:.4} and {:.4} (95 %)",
        scores.headline_name(),
        scores.interval[0],
        scores.interval[1]
    );
    println!("baseline   {:.4} (always the commonest label)", scores.baseline);
    Ok(())
}

fn dataset_request(args: &EvaluateArgs) -> Result<temper_data::DatasetRequest, TrainError> {
    let mut request = match &args.dataset {
        Some(dataset) => temper_data::DatasetRequest {
            name_or_path: dataset.clone(),
            card_directories: args.sources.card_directories(),
            ..Default::default()
        },
        None => {
            let recorded = ResumedRecord::read(&PathBuf::from(&args.model).join("run.toml"))?;
            recorded.request.dataset_request()
        }
    };
    let asked = args.columns.clone();
    request.text_column = asked.text_column.or(request.text_column);
    request.text_pair_column = asked.text_pair_column.or(request.text_pair_column);
    request.label_column = asked.label_column.or(request.label_column);
    let limit = match args.split {
        Split::Train => &mut request.max_train_samples,
        Split::Validation => &mut request.max_eval_samples,
        Split::Test => &mut request.max_test_samples,
    };
    *limit = args.max_samples.or(*limit);
    Ok(request)
}
