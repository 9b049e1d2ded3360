//! `temper predict`.

use temper_data::EncodeSettings;

use super::texts::Pairs;
use super::windows::{Window, Windows};
use super::{Predictor, TextOptions, compute_on};
use crate::device::backend::Backend;
use crate::tasks::{DecisionOptions, Inputs};
use crate::terminal::{field, print, say};
use crate::training::{EvaluationLoader, predict as run};
use crate::{CutOptions, PrecisionSetting, SourceOptions, TrainError};

/// Label texts or answer questions with a fine-tuned model
#[derive(Clone, Debug, clap::Args)]
pub struct PredictArgs {
    /// A run folder or a model
    pub model: String,
    /// Which texts
    #[command(flatten)]
    pub texts: TextOptions,
    /// How texts are cut
    #[command(flatten)]
    pub cut: CutOptions,
    /// How predictions are made of outputs
    #[command(flatten)]
    pub decide: DecisionOptions,
    /// Tokens in one forward pass
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// flex, ndarray, cuda or cuda:N (the GPU's number)
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// One JSON object a text: text, label, probabilities, logits; of models of other kinds labels or values, and
    /// the function that made them of the logits; entities; or question, context and the answer with its place
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
    let on = compute_on(args.backend, args.precision)?;
    let predictor = Predictor::load(&args.model, &args.sources, on, (&args.cut, &args.decide), false)?;
    let columns = predictor.encoding.columns();
    let inputs = predictor.task.inputs();
    let texts = args.texts.open(columns, inputs, Pairs::of(columns, inputs))?;
    // What is spread over windows is not cut.
    let whole = EncodeSettings { max_length: usize::MAX, ..predictor.cut };
    let cut = if predictor.task.is_spread() { whole } else { predictor.cut };
    let mut windows = Windows::new(texts, &predictor.tokenizer, cut, args.max_tokens_per_batch);
    let result = windows.by_ref().try_for_each(|window| answer(&predictor, window?, args));
    if let Some(notice) = windows.notice() {
        say(&notice);
    }
    result
}

/// Prints the predictions of a window; those before one that is no number are printed, too.
fn answer(predictor: &Predictor, window: Window, args: &PredictArgs) -> Result<(), TrainError> {
    let Window { texts, encoded } = window;
    let (features, mut predictions) = predictor.task.begin(&texts, encoded, &predictor.encoder())?;
    let loader = EvaluationLoader::new(features, args.max_tokens_per_batch);
    let outputs = run(&predictor.model, &loader);
    let bad = outputs.iter().position(|output| !output.is_finite());
    let bad = bad.map(|feature| loader.features().examples[feature]);
    outputs.into_iter().enumerate().for_each(|(feature, output)| predictions.add(feature, output));
    let mut lines = String::new();
    for (example, text) in texts.iter().enumerate() {
        if bad == Some(example) {
            print(&lines)?;
            let place = format!("row {}", text.row);
            return Err(TrainError::not_finite("the model's logits", &place, &text.text));
        }
        let decoded = predictions.decode(example);
        if args.json {
            let Inputs { first, second, .. } = predictor.task.inputs();
            let mut row = serde_json::Map::from_iter([(first.to_owned(), text.text.clone().into())]);
            row.extend(text.pair.iter().map(|pair| (second.to_owned(), pair.clone().into())));
            row.extend(decoded.fields);
            lines += &serde_json::Value::Object(row).to_string();
        } else {
            lines += &format!("{}\t{}", decoded.line, field(&text.text));
            text.pair.iter().for_each(|pair| lines += &format!("\t{}", field(pair)));
        }
        lines.push('\n');
    }
    print(&lines)
}
