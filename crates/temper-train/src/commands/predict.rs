//! `temper predict`.

use super::{Predictor, TextOptions, compute_on};
use crate::backend::Backend;
use crate::tasks::{Task, TextClassification};
use crate::terminal::{print_line, say};
use crate::training::{EvaluationLoader, predict as run};
use crate::{PrecisionSetting, SourceOptions, TrainError};

/// Label texts with a fine-tuned model
#[derive(Clone, Debug, clap::Args)]
pub struct PredictArgs {
    /// A run folder or a model
    pub model: String,
    /// Which texts
    #[command(flatten)]
    pub texts: TextOptions,
    /// Tokens a text, special tokens included
    #[arg(long)]
    pub max_seq_length: Option<usize>,
    /// Tokens computed at once
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// flex, ndarray, cuda or cuda:N (the GPU's number)
    #[arg(long)]
    pub backend: Option<Backend>,
    /// What matrix products compute in: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// One JSON object a text: text, label, probabilities, logits
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
pub fn predict(args: &PredictArgs) -> Result<(), TrainError> {
    predict_for::<TextClassification>(args)
}

fn predict_for<T: Task>(args: &PredictArgs) -> Result<(), TrainError> {
    let on = compute_on(args.backend, args.precision)?;
    let predictor = Predictor::<T>::load(&args.model, &args.sources, on, args.max_seq_length)?;
    let texts = args.texts.read()?;
    let examples = predictor.task.encode(&texts, &predictor.tokenizer, predictor.max_seq_length)?;
    let cut = examples.encoded.truncated_examples;
    if cut > 0 {
        say(&format!("{cut} of {} texts were cut to {} tokens", texts.len(), predictor.max_seq_length));
    }
    let loader = EvaluationLoader::new(examples, args.max_tokens_per_batch);
    for (text, prediction) in texts.iter().zip(run(&predictor.model, &loader)) {
        let decoded = predictor.task.decode(&prediction);
        if args.json {
            let mut row = serde_json::Map::from_iter([("text".to_owned(), text.text.clone().into())]);
            row.extend(decoded.fields);
            print_line(&format!("{}", serde_json::Value::Object(row)))?;
        } else {
            print_line(&format!("{}\t{}", decoded.line, text.text))?;
        }
    }
    Ok(())
}
