//! A text of a text: summaries, translations, answers in words, by models with an encoder and a decoder.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use serde_json::{Map, Value, json};
use temper_data::{
    DataError, DataReport, Diagnosis, EncodeSettings, EncodedSet, SplitContent, Task as Kind, TextPair,
    TextTokenizer, Truncation, UnlabelledText, encode_all, examine_text_to_text, load_text_to_text,
};
use temper_models::{
    GenerateSettings, HeadRequest, HeadTask, Hooks, Mode, Model, ModelConfig, TokenBatch, generate,
};

use super::list::OfModel;
use super::objective::Objective;
use super::written::{Written, WrittenTexts};
use super::{
    Baseline, Encoder, ExamineRequest, Examples, LoadRequest, Output, Predictions, ScoredPredictions, Splits,
    Task, new_head, vocabulary,
};
use crate::examples::{Features, Split, Target, full_train_tokens, within_budget};
use crate::{Settings, TrainError};

/// Where a model's record keeps what stands before every source.
const PREFIX: &str = "source_prefix";
/// Where it keeps how long a target may be.
const MAX_TARGET: &str = "max_target_length";

/// A text of a text.
#[derive(Clone, Debug)]
pub struct TextToText {
    /// What stands before every source.
    prefix: String,
    /// Tokens of a target at most.
    max_target: usize,
    smoothing: f32,
    /// The token that the decoder begins with.
    start: u32,
    /// The model's, with a head that writes.
    config: ModelConfig,
}

impl TextToText {
    fn of(
        config: &ModelConfig,
        prefix: String,
        max_target: usize,
        smoothing: f32,
    ) -> Result<Self, TrainError> {
        let start = config.raw().get("decoder_start_token_id").and_then(Value::as_u64);
        let start = start.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
            TrainError::Usage(format!(
                "text-to-text needs a model with an encoder and a decoder, such as t5-small or bart: {} has no \
                 decoder_start_token_id",
                config.model_type()
            ))
        })?;
        Ok(Self { prefix, max_target, smoothing, start, config: config.writing()? })
    }

    /// A text for each sequence of a batch, as ids.
    fn written(&self, model: &Model, tokens: &TokenBatch) -> Vec<Vec<u32>> {
        let ids = tokens.ids.host();
        let source = |range: std::ops::Range<usize>| ids[range].iter().map(|&id| id as u32).collect();
        let sources: Vec<Vec<u32>> = tokens.sequences.ranges().map(source).collect();
        let ends = self.config.raw().get("eos_token_id").and_then(Value::as_u64);
        let settings = GenerateSettings {
            max_new_tokens: Some(self.max_target),
            eos_token_id: ends.and_then(|id| u32::try_from(id).ok()).into_iter().collect(),
            decoder_start_token_id: Some(self.start),
            batch_size: sources.len().max(1),
            ..GenerateSettings::default()
        };
        // Scores that are no numbers are seen in the losses.
        generate(model, &self.config, &sources, &settings, Hooks::default())
            .unwrap_or_else(|_| vec![Vec::new(); sources.len()])
    }
}

/// Reads and encodes a dataset for this task.
///
/// # Errors
/// [`TrainError::Data`]; [`TrainError::Usage`] for a model without a decoder beside its encoder.
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let settings = request.settings;
    Objective::refuse(settings, "text to text", &["--label-smoothing"])?;
    let recorded = |key: &str| request.record.as_ref().and_then(|record| record.get(key));
    let prefix = recorded(PREFIX).and_then(Value::as_str).unwrap_or(&settings.source_prefix).to_owned();
    let max_target = recorded(MAX_TARGET).and_then(Value::as_u64);
    let max_target = max_target.map_or(settings.max_target_length, |length| length as usize);
    let task = TextToText::of(request.config, prefix, max_target, settings.label_smoothing as f32)?;
    let mut rows = load_text_to_text(request.hub, &request.dataset)?;
    request.drop_unwanted(&mut rows);
    let encoded = |rows: &[TextPair]| encode(rows, &task, request.encoder());
    let mut train = encoded(&rows.train)?;
    let full_train_tokens = full_train_tokens(&train.encoded, rows.train.len(), rows.full_train_rows);
    let mut kept =
        within_budget(train.encoded.tokens_total, rows.train.len(), settings.max_train_tokens).into_iter();
    let before = rows.train.len();
    rows.train.retain(|_| kept.next().unwrap_or(false));
    if rows.train.len() < before {
        train = encoded(&rows.train)?;
    }
    let (validation, test) = (encoded(&rows.validation)?, encoded(&rows.test)?);
    let contents = [&train, &validation, &test].map(|features| SplitContent {
        examples: features.len(),
        labels: &[],
        encoded: &features.encoded,
    });
    let report = DataReport::new(&rows, &[], contents);
    let features = [train.clone(), validation.clone(), test.clone()];
    let examples = Pairs {
        tokenizer: request.tokenizer.clone(),
        rows: [rows.train, rows.validation, rows.test].map(Arc::from),
        features,
    };
    Ok(Splits {
        task: Arc::new(task),
        name: rows.name,
        columns: rows.columns,
        resolved: rows.resolved,
        examples: Arc::new(examples),
        train,
        validation,
        test,
        full_train_tokens,
        report,
    })
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    examine_text_to_text(request.hub, &request.dataset, request.measure)
}

/// Sources as features whose targets are the ids of the target, as the tokenizer lays it out.
fn encode(rows: &[TextPair], task: &TextToText, encoder: Encoder<'_>) -> Result<Features, DataError> {
    let Encoder { tokenizer, max_length, truncation, .. } = encoder;
    let sources: Vec<String> = rows.iter().map(|row| format!("{}{}", task.prefix, row.source)).collect();
    let sources: Vec<_> = sources.iter().map(|source| (source.as_str(), None)).collect();
    let encoded = encode_all(tokenizer, &sources, &EncodeSettings { max_length, truncation }, None)?;
    let targets: Vec<_> = rows.iter().map(|row| (row.target.as_str(), None)).collect();
    let settings = EncodeSettings { max_length: task.max_target, truncation: Truncation::Head };
    let targets = encode_all(tokenizer, &targets, &settings, None)?;
    let weights = targets.items.iter().map(|target| target.ids.len() as f64).collect();
    let lengths = targets.lengths();
    let ids = |ids: Vec<u32>| Target::Ids(ids.into_iter().map(|id| id as i32).collect());
    let targets = targets.items.into_iter().map(|target| ids(target.ids)).collect();
    Ok(Features::one_each(encoded, targets).weighted(weights).with_decoder(lengths))
}

/// The task of a model that writes a text of a text.
///
/// # Errors
/// [`TrainError::Usage`] for a configuration without a token that the decoder begins with.
pub(super) fn of_model(_: &Model, config: &ModelConfig, record: &Map<String, Value>) -> OfModel {
    if config.head().map(|head| head.kind.task()) != Some(HeadTask::Seq2SeqLm) {
        return Ok(None);
    }
    let prefix = record.get(PREFIX).and_then(Value::as_str).unwrap_or_default();
    let max_target = record.get(MAX_TARGET).and_then(Value::as_u64);
    let max_target = max_target.map_or(Settings::default().max_target_length, |length| length as usize);
    Ok(Some(Arc::new(TextToText::of(config, prefix.to_owned(), max_target, 0.0)?)))
}

impl Task for TextToText {
    fn kind(&self) -> Kind {
        Kind::TextToText
    }

    fn record(&self) -> Map<String, Value> {
        Map::from_iter([
            (PREFIX.to_owned(), json!(self.prefix)),
            (MAX_TARGET.to_owned(), json!(self.max_target)),
        ])
    }

    fn targets_in_words(&self) -> &'static str {
        "a text for each text"
    }

    fn outputs_in_words(&self) -> &'static str {
        "texts"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        new_head(HeadTask::Seq2SeqLm, &[], settings)
    }

    fn has_decoder(&self) -> bool {
        true
    }

    /// The target behind the token that begins it, as transformers shifts it.
    fn with_decoder(&self, batch: TokenBatch, targets: &[Target], device: &Device) -> TokenBatch {
        if targets.contains(&Target::Unknown) {
            return batch;
        }
        let ids: Vec<u32> = targets.iter().flat_map(|target| target.ids()).map(|&id| id as u32).collect();
        let lengths: Vec<u32> = targets.iter().map(|target| target.ids().len() as u32).collect();
        let decoder = TokenBatch::new(&ids, &vec![0; ids.len()], &lengths, device);
        batch.with_decoder(decoder.shifted_right(self.start))
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        vocabulary::loss(model, tokens, targets, self.smoothing, mode)
    }

    /// How well each token of the target is predicted behind the right ones, and the text that the model writes.
    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
        let written = self.written(model, tokens);
        let scores = match targets.contains(&Target::Unknown) {
            true => vec![Output::new(2, Vec::new()); written.len()],
            false => vocabulary::scores(model, tokens, targets),
        };
        scores.into_iter().zip(written).map(|(scores, ids)| Output { written: ids, ..scores }).collect()
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        _encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        let pair = |text: &UnlabelledText| TextPair {
            source: text.text.clone(),
            target: String::new(),
            row: text.row,
        };
        let rows: Vec<TextPair> = texts.iter().map(pair).collect();
        let encoded = encode(&rows, self, *encoder)?.encoded;
        let features = Features::unlabelled(EncodedSet::clone(&encoded));
        let predictions = WrittenTexts::new(encoder.tokenizer.clone(), rows.into(), &features);
        Ok((features, Box::new(predictions)))
    }
}

/// The pairs of a dataset.
#[derive(Debug)]
struct Pairs {
    tokenizer: TextTokenizer,
    /// By split.
    rows: [Arc<[TextPair]>; 3],
    /// By split.
    features: [Features; 3],
}

impl Pairs {
    fn predictions(&self, split: Split) -> WrittenTexts {
        let rows = self.rows[split as usize].clone();
        WrittenTexts::new(self.tokenizer.clone(), rows, &self.features[split as usize])
    }
}

impl Examples for Pairs {
    fn text(&self, split: Split, example: usize) -> String {
        self.rows[split as usize][example].source.clone()
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn ScoredPredictions> {
        Box::new(Pairs::predictions(&self, split))
    }

    /// The source as it stands.
    fn baselines(&self) -> Vec<Baseline> {
        let mut predictions = Pairs::predictions(self, Split::Test);
        for (example, row) in self.rows[Split::Test as usize].iter().enumerate() {
            predictions.give(example, Written { text: row.source.clone(), ..Written::default() });
        }
        let scores = predictions.scores();
        vec![Baseline {
            name: "the source itself".into(),
            metrics: scores.metrics,
            interval: scores.interval,
            training_seconds: 0.0,
            scores: predictions.example_scores(),
        }]
    }
}
