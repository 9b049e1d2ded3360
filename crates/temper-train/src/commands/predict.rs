//! `temper predict`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use indicatif::ProgressBar;
use temper_data::EncodeSettings;

use super::predicted::{PredictFormat, PredictionRows};
use super::text_groups::{TextGroup, TextGroups};
use super::texts::PairChoice;
use super::{Predictor, TextOptions, compute_on};
use crate::device::backend::Backend;
use crate::tasks::DecisionOptions;
use crate::terminal::{print, print_exactly, say};
use crate::training::{EvaluationLoader, Progress, predict as run};
use crate::{CutOptions, PrecisionSetting, SourceOptions, TrainError};

/// Label texts or answer questions with a fine-tuned model
#[derive(Clone, Debug, clap::Args)]
pub struct PredictArgs {
    /// A run folder or a model
    pub model: String,
    /// The texts
    #[command(flatten)]
    pub texts: TextOptions,
    /// How texts are cut
    #[command(flatten)]
    pub cut: CutOptions,
    /// How outputs become predictions
    #[command(flatten)]
    pub decide: DecisionOptions,
    /// Tokens in one forward pass
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// flex, ndarray, cuda or cuda:N (the GPU's number)
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs), bf16 or int8 (CPUs); auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Columns of --file to copy to the output, such as an id, separated by commas
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// Format of the output: tsv (TABs and line breaks in texts are escaped), csv, or jsonl (one JSON object for each
    /// text). The default is the ending of --output if it is one of these, else tsv
    #[arg(long, value_name = "tsv|csv|jsonl", hide_possible_values = true)]
    pub format: Option<PredictFormat>,
    /// The same as --format jsonl: text, label, probabilities and logits; for other kinds of models labels or values
    /// with the function that computed them from the logits; entities; or question, context and the answer with its
    /// position
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// The output file, written completely or not at all; stdout by default
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

impl PredictArgs {
    /// The format that is given, else that of the output's ending.
    fn format(&self) -> PredictFormat {
        let ending = self.output.as_deref().and_then(|path| path.extension()?.to_str());
        match (self.format, ending) {
            (Some(format), _) => format,
            (None, _) if self.json => PredictFormat::Jsonl,
            (None, Some("csv")) => PredictFormat::Csv,
            (None, Some("jsonl" | "ndjson")) => PredictFormat::Jsonl,
            (None, _) => PredictFormat::Tsv,
        }
    }

    /// The columns to copy, each once.
    fn kept(&self) -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for name in &self.keep {
            if !kept.contains(name) {
                kept.push(name.clone());
            }
        }
        kept
    }
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
    let (pairs, kept) = (PairChoice::of(columns, inputs), args.kept());
    let texts = args.texts.open(columns, inputs, pairs, &kept)?;
    // Predictions on a terminal show the progress themselves, and a bar would be drawn between them.
    let shows =
        Progress::new(false).shows_bars() && (args.output.is_some() || !std::io::stdout().is_terminal());
    let count = if shows { args.texts.count(columns, inputs, pairs) } else { None };
    // A text that is spread over windows is not cut.
    let whole = EncodeSettings { max_length: usize::MAX, ..predictor.cut };
    let cut = if predictor.task.is_spread() { whole } else { predictor.cut };
    let groups = TextGroups::new(texts, &predictor.tokenizer, cut, args.max_tokens_per_batch);
    let rows = PredictionRows::new(args.format(), &kept, inputs);
    PredictionRun { args, predictor: &predictor, rows, bar: Progress::new(false).predictions(count) }
        .write(groups)
}

/// Predicts all texts and writes the predictions.
struct PredictionRun<'a> {
    args: &'a PredictArgs,
    predictor: &'a Predictor,
    rows: PredictionRows<'a>,
    bar: ProgressBar,
}

impl PredictionRun<'_> {
    /// Predicts group by group; writes to stdout or to a file.
    fn write(mut self, mut groups: TextGroups<'_>) -> Result<(), TrainError> {
        let is_csv = self.args.format() == PredictFormat::Csv;
        let result = match &self.args.output {
            None => groups.by_ref().try_for_each(|group| {
                let (rows, end) = self.answer(group?)?;
                if is_csv { print_exactly(&rows) } else { print(&rows) }?;
                end
            }),
            Some(path) => temper_files::fill(path, |file| {
                groups.by_ref().try_for_each(|group| {
                    let (rows, end) = self.answer(group?)?;
                    file.write_all(rows.as_bytes()).map_err(|error| TrainError::file(path, error))?;
                    end
                })
            }),
        };
        self.bar.finish_and_clear();
        if let Some(notice) = groups.notice() {
            say(&notice);
        }
        result
    }

    /// The rows of a group, up to the first prediction with a logit that is not finite.
    fn answer(&mut self, group: TextGroup) -> Result<(String, Result<(), TrainError>), TrainError> {
        let TextGroup { texts, blank, encoded } = group;
        let (features, mut predictions) =
            self.predictor.task.begin(&texts, encoded, &self.predictor.encoder())?;
        let loader = EvaluationLoader::new(features, self.args.max_tokens_per_batch);
        let outputs = run(&self.predictor.model, &loader);
        let bad = outputs.iter().position(|output| !output.is_finite());
        let bad = bad.map(|feature| loader.features().examples[feature]);
        outputs.into_iter().enumerate().for_each(|(feature, output)| predictions.add(feature, output));
        let lines = texts.len() + blank.len();
        let (mut rows, mut blank) = (String::new(), blank.into_iter().peekable());
        for (example, text) in texts.iter().enumerate() {
            while blank.next_if_eq(&example).is_some() {
                rows += &self.rows.blank()?;
            }
            if bad == Some(example) {
                let place = format!("row {}", text.row);
                return Ok((rows, Err(TrainError::not_finite("the model's logits", &place, &text.text))));
            }
            rows += &self.rows.text(text, predictions.decode(example))?;
        }
        for _ in blank {
            rows += &self.rows.blank()?;
        }
        self.bar.inc(lines as u64);
        Ok((rows, Ok(())))
    }
}
