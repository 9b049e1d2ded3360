//! The next token of a text: documents, and completions of prompts.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde_json::{Map, Value};
use temper_data::{
    DataError, Diagnosis, Document, Encoded, EncodedSet, LanguageData, LanguageRequest, LanguageSequence,
    LanguageSettings, TaskKind, UnlabelledText, encode_documents, examine_language, load_language,
};
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::OfModel;
use super::objective::Objective;
use super::per_token::NO_TARGET;
use super::sequences::{SplitSequences, share_of_rows, splits_of, within_tokens};
use super::token_predictions::TokenPredictions;
use super::{
    Encoder, ExamineRequest, Inputs, LoadRequest, Output, Predictions, Splits, Task, new_head, vocabulary,
};
use crate::examples::{Features, Target};
use crate::{Settings, TrainError};

/// The next token of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanguageModeling {
    /// Share of a target that is spread evenly over the vocabulary.
    smoothing: f32,
}

/// Reads and encodes a dataset for this task. An example is a sequence: a part of a document, or a prompt with its
/// completion.
///
/// # Errors
/// [`TrainError::Data`].
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let settings = request.settings;
    Objective::refuse(settings, "language modeling", &["--label-smoothing"])?;
    let template = request.tokenizer.chat_template()?;
    let asked = LanguageRequest { task: TaskKind::LanguageModeling, rows: request.dataset.clone(), template };
    let LanguageData { mut rows, is_running } = load_language(request.hub, &asked)?;
    request.drop_unwanted(&mut rows);
    let encoded =
        |documents: &[Document], limit: Option<usize>| -> Result<Vec<LanguageSequence>, TrainError> {
            let sequences = encode(documents, &request.encoder())?;
            // Rows of other files were counted when they were read.
            Ok(evenly(sequences, limit.filter(|_| is_running)))
        };
    let train = encoded(&rows.train, settings.max_train_samples)?;
    let validation = encoded(&rows.validation, settings.max_eval_samples)?;
    let test = encoded(&rows.test, settings.max_test_samples)?;
    let share = share_of_rows(&rows, is_running);
    let (train, all_tokens) = within_tokens(request, train, |sequence| sequence.ids.len(), share);
    let splits = [train, validation, test].map(split_of);
    let task = LanguageModeling { smoothing: settings.label_smoothing as f32 };
    Ok(splits_of(request, rows, task, splits, all_tokens))
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    let template = request.measure.map(|measure| measure.tokenizer.chat_template()).transpose()?.flatten();
    let asked = LanguageRequest { task: TaskKind::LanguageModeling, rows: request.dataset.clone(), template };
    examine_language(request.hub, &asked, request.measure)
}

fn encode(documents: &[Document], encoder: &Encoder<'_>) -> Result<Vec<LanguageSequence>, DataError> {
    let settings = LanguageSettings { max_length: encoder.max_length };
    encode_documents(encoder.tokenizer, documents, &settings)
}

/// So many of them, evenly over all.
fn evenly<T>(items: Vec<T>, count: Option<usize>) -> Vec<T> {
    let Some(count) = count.filter(|&count| count < items.len()) else { return items };
    let all = items.len();
    let is_kept = |place: usize| (place + 1) * count / all > place * count / all;
    items.into_iter().enumerate().filter(|(place, _)| is_kept(*place)).map(|(_, item)| item).collect()
}

/// The task of a model that continues texts.
pub(super) fn of_model(_: &Model, config: &ModelConfig, _: &Map<String, Value>) -> OfModel {
    let continues = config.head().map(|head| head.kind.task()) == Some(HeadTask::CausalLm);
    Ok(continues.then(|| Arc::new(LanguageModeling { smoothing: 0.0 }) as Arc<dyn Task>))
}

impl Task for LanguageModeling {
    fn kind(&self) -> TaskKind {
        TaskKind::LanguageModeling
    }

    fn inputs(&self) -> Inputs {
        Inputs { trained_as: &[("prompt", Some("completion"))], ..Inputs::TEXTS_AS_GIVEN }
    }

    fn targets_in_words(&self) -> &'static str {
        "texts"
    }

    fn outputs_in_words(&self) -> &'static str {
        "probabilities of the next token"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        new_head(HeadTask::CausalLm, &[], settings)
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        vocabulary::loss(model, tokens, targets, self.smoothing, mode)
    }

    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
        vocabulary::scores(model, tokens, targets)
    }

    fn is_spread(&self) -> bool {
        true
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        _encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        let document = |text: &UnlabelledText| match &text.pair {
            Some(completion) => Document::completion(&text.text, completion, text.row),
            None => Document::whole(text.text.clone(), text.row),
        };
        let documents: Vec<Document> = texts.iter().map(document).collect();
        let sequences = encode(&documents, encoder)?;
        let of_text: Vec<usize> = sequences.iter().map(|sequence| sequence.document).collect();
        let SplitSequences { mut features, bytes } = split_of(sequences);
        features.examples = Arc::new(of_text);
        let predictions = TokenPredictions::new(&features, &bytes, texts.len(), None);
        Ok((features, Box::new(predictions)))
    }
}

fn split_of(sequences: Vec<LanguageSequence>) -> SplitSequences {
    let bytes = sequences.iter().map(|sequence| sequence.bytes).collect();
    let (targets, weights): (Vec<Target>, Vec<f64>) = sequences.iter().map(target).unzip();
    let encoded = sequences.into_iter().map(|sequence| Encoded {
        type_ids: vec![0; sequence.ids.len()],
        ids: sequence.ids,
        tokens_lost: sequence.tokens_lost as u32,
        lost_is_estimate: false,
    });
    let encoded = EncodedSet::new(encoded.collect(), false);
    SplitSequences { features: Features::one_each(encoded, targets).weighted(weights), bytes }
}

/// At each token the next one, where that is to be predicted; and how many are.
fn target(sequence: &LanguageSequence) -> (Target, f64) {
    let LanguageSequence { ids, is_predicted, .. } = sequence;
    let next = ids.iter().zip(is_predicted).skip(1);
    let next = next.map(|(&id, &is_predicted)| if is_predicted { id as i32 } else { NO_TARGET });
    let count = is_predicted.iter().filter(|is_predicted| **is_predicted).count();
    (Target::Ids(next.chain([NO_TARGET]).collect()), count as f64)
}
