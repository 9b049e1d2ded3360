use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use burn::data::dataloader::DataLoader;
use serde::Serialize;
use temper_data::{UnlabelledText, read_unlabelled};

use super::{Classifier, backend};
use crate::backend::Backend;
use crate::tasks::Classified;
use crate::training::{EvaluationLoader, TaskModel, predict as run};
use crate::{SourceOptions, TrainError};

/// Label texts with a fine-tuned model
#[derive(Clone, Debug, clap::Args)]
pub struct PredictArgs {
    /// A run folder or a model
    pub model: String,
    /// A text; may be given several times. Without it and --file, lines are read from stdin
    #[arg(long)]
    pub text: Vec<String>,
    /// A .txt (a text a line), .csv, .tsv, .jsonl or .parquet file
    #[arg(long, conflicts_with = "text", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Column of the text in the file
    #[arg(long)]
    pub text_column: Option<String>,
    /// Column of a second text in the file
    #[arg(long)]
    pub text_pair_column: Option<String>,
    /// Tokens a text, special tokens included
    #[arg(long)]
    pub max_seq_length: Option<usize>,
    /// Padded tokens computed at once
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// flex, ndarray or cuda
    #[arg(long)]
    pub backend: Option<Backend>,
    /// One JSON object a text: text, label, probabilities, logits
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

#[derive(Serialize)]
struct PredictionRow<'a> {
    text: &'a str,
    label: &'a str,
    probabilities: serde_json::Map<String, serde_json::Value>,
    logits: &'a [f32],
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn predict(args: &PredictArgs) -> Result<(), TrainError> {
    let classifier = Classifier::load(&args.model, &args.sources, backend(args.backend)?, true)?;
    let texts = texts(args)?;
    let inputs: Vec<_> = texts.iter().map(UnlabelledText::input).collect();
    let max_seq_length = classifier.max_seq_length(args.max_seq_length)?;
    let examples = classifier.encode(&inputs, max_seq_length, vec![0; inputs.len()])?;
    let cut = examples.encoded.truncated_examples;
    if cut > 0 {
        eprintln!("{cut} of {} texts were cut to {max_seq_length} tokens", texts.len());
    }
    let loader = EvaluationLoader::new(examples, args.max_tokens_per_batch);
    debug_assert_eq!(loader.num_items(), texts.len());
    let model = TaskModel::new(classifier.loaded.model.clone(), classifier.task(), f64::MAX);
    for (text, prediction) in texts.iter().zip(run(&model, &loader)) {
        print_row(&text.text, &prediction, &classifier.labels, args.json)?;
    }
    Ok(())
}

fn print_row(text: &str, prediction: &Classified, labels: &[String], json: bool) -> Result<(), TrainError> {
    let name = |id: usize| labels.get(id).cloned().unwrap_or_else(|| format!("LABEL_{id}"));
    let label = name(prediction.label());
    let probabilities = prediction.probabilities();
    if !json {
        println!("{label}\t{:.4}\t{text}", probabilities[prediction.label()]);
        return Ok(());
    }
    let probabilities = probabilities.into_iter().enumerate().map(|(id, value)| (name(id), value.into()));
    let row = PredictionRow {
        text,
        label: &label,
        probabilities: probabilities.collect(),
        logits: &prediction.logits,
    };
    println!("{}", serde_json::to_string(&row).map_err(|error| TrainError::file("stdout", error))?);
    Ok(())
}

fn texts(args: &PredictArgs) -> Result<Vec<UnlabelledText>, TrainError> {
    let line = |(row, text): (usize, String)| UnlabelledText { text, pair: None, row: row + 1 };
    if let Some(file) = &args.file {
        return Ok(read_unlabelled(file, args.text_column.as_deref(), args.text_pair_column.as_deref())?);
    }
    if !args.text.is_empty() {
        return Ok(args.text.iter().cloned().enumerate().map(line).collect());
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("reading texts from the terminal, one a line; end with Ctrl-D");
    }
    let lines = stdin.lock().lines().collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|error| TrainError::content("stdin", error))?;
    Ok(lines.into_iter().filter(|text| !text.trim().is_empty()).enumerate().map(line).collect())
}
