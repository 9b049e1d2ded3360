//! Masked tokens of texts, as BERT was pretrained (Devlin et al. 2018): some tokens are to be predicted, and most of these
//! are masked. Which ones is drawn again for each pass over the data. With `--next-sentence`, texts are pairs, and whether
//! the second follows the first is predicted, too.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};
use temper_data::{
    Batch, DataError, Diagnosis, Document, Encoded, EncodedSet, LanguageData, LanguageRequest, SentencePairs,
    TaskKind, TextTokenizer, UnlabelledText, WhichText, Window, WindowInput, WindowSettings, encode_windows,
    examine_language, load_language, sentence_pairs,
};
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::OfModel;
use super::filled::{BEST, FilledTexts};
use super::masking::{MASK, Masking};
use super::objective::Objective;
use super::per_token::NO_TARGET;
use super::sequences::{SplitSequences, share_of_rows, splits_of, within_tokens};
use super::{
    Draw, Encoder, ExamineRequest, Inputs, LoadRequest, Output, Predictions, Splits, Task, masked, new_head,
};
use crate::examples::{Features, MaskedTarget, Target};
use crate::{Settings, TrainError};

/// Masked tokens of texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedLanguageModeling {
    /// Share of a target that is spread evenly over the vocabulary.
    smoothing: f32,
    masking: Masking,
    /// True if next-sentence prediction is trained, too: does the second of two texts follow the first?
    next_sentence: bool,
}

/// Reads and encodes a dataset for this task. An example is a sequence, a part of a document, or a pair of parts.
///
/// # Errors
/// [`TrainError::Data`]; [`TrainError::Usage`] for a tokenizer without a mask token.
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let settings = request.settings;
    Objective::refuse(settings, "masked language modeling", &["--label-smoothing"])?;
    let task = MaskedLanguageModeling {
        smoothing: settings.label_smoothing as f32,
        masking: Masking::of(request.tokenizer, settings, request.record.as_ref())?,
        next_sentence: next_sentence(request.record.as_ref(), settings.next_sentence),
    };
    let asked = LanguageRequest {
        task: TaskKind::MaskedLanguageModeling,
        rows: request.dataset.clone(),
        template: None,
    };
    let LanguageData { mut rows, is_running } = load_language(request.hub, &asked)?;
    request.drop_unwanted(&mut rows);
    let mut notices = Vec::new();
    let mut encoded = |documents: &[Document]| -> Result<Vec<(Window, Option<bool>)>, DataError> {
        let encoder = request.encoder();
        if !task.next_sentence {
            return Ok(windows(documents, &encoder)?.into_iter().map(|window| (window, None)).collect());
        }
        let found = pairs(documents, &encoder, settings.subset_seed)?;
        notices.extend(single_notice(found.single));
        Ok(found.windows)
    };
    let train = encoded(&rows.train)?;
    let [validation, test] = [encoded(&rows.validation)?, encoded(&rows.test)?];
    rows.notices.extend(notices);
    let share = share_of_rows(&rows, is_running);
    let (train, all_tokens) = within_tokens(request, train, |(window, _)| window.ids.len(), share);
    // What is trained on is masked batch by batch, what is scored once.
    let fixed = |windows, split: u64| {
        let mut sequences = task.sequences(windows);
        task.mask_all(&mut sequences, settings.subset_seed, split);
        sequences
    };
    let splits = [task.sequences(train), fixed(validation, 1), fixed(test, 2)];
    Ok(splits_of(request, rows, task, splits, all_tokens))
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    let asked = LanguageRequest {
        task: TaskKind::MaskedLanguageModeling,
        rows: request.dataset.clone(),
        template: None,
    };
    examine_language(request.hub, &asked, request.measure)
}

/// Documents in sequences, each with its layout around it; nothing is shared or left out.
fn windows(documents: &[Document], encoder: &Encoder<'_>) -> Result<Vec<Window>, DataError> {
    let inputs: Vec<WindowInput<'_>> =
        documents.iter().map(|document| WindowInput::Text(&document.text)).collect();
    let settings = WindowSettings { max_length: encoder.max_length, stride: 0, spread: WhichText::First };
    let windows = encode_windows(encoder.tokenizer, &inputs, &settings)?;
    Ok(windows.into_iter().filter(|window| window.places.iter().any(Option::is_some)).collect())
}

/// Pairs of texts, and whether the second follows the first.
struct EncodedPairs {
    windows: Vec<(Window, Option<bool>)>,
    /// Parts of documents that gave no pair.
    single: usize,
}

/// Documents in pairs of sentences; what is too long is cut at its end.
fn pairs(documents: &[Document], encoder: &Encoder<'_>, seed: u64) -> Result<EncodedPairs, DataError> {
    let SentencePairs { pairs, single } =
        sentence_pairs(encoder.tokenizer, documents, encoder.max_length, seed)?;
    let texts = pairs.iter().map(|pair| (pair.first.as_str(), pair.second.as_str()));
    let inputs: Vec<WindowInput<'_>> =
        texts.map(|(first, second)| WindowInput::Pair { first, second }).collect();
    let settings = WindowSettings { max_length: encoder.max_length, stride: 0, spread: WhichText::Second };
    let mut windows = encode_windows(encoder.tokenizer, &inputs, &settings)?;
    windows.dedup_by_key(|window| window.input);
    let windows = windows.into_iter().map(|window| (Some(pairs[window.input].follows), window));
    Ok(EncodedPairs { windows: windows.map(|(follows, window)| (window, follows)).collect(), single })
}

fn single_notice(single: usize) -> Option<String> {
    (single > 0).then(|| {
        format!("{single} parts of documents have only one sentence, and give no pair for --next-sentence")
    })
}

/// Whether a model has the second objective.
const NEXT_SENTENCE: &str = "next_sentence";

fn next_sentence(record: Option<&Map<String, Value>>, asked: bool) -> bool {
    record.map_or(asked, |record| record.get(NEXT_SENTENCE).and_then(Value::as_bool).unwrap_or(false))
}

impl MaskedLanguageModeling {
    /// Windows as features: a target is the id of every token that may be masked, those of the text.
    fn sequences(&self, windows: Vec<(Window, Option<bool>)>) -> SplitSequences {
        let target = |(window, follows): &(Window, Option<bool>)| Target::Masked(target(window, *follows));
        let targets = windows.iter().map(target).collect();
        let open = |window: &Window| window.places.iter().flatten().count();
        let weights = windows.iter().map(|(window, _)| self.masking.count(open(window)) as f64).collect();
        let bytes = vec![0; windows.len()];
        let encoded = windows.iter().map(|(window, _)| Encoded::from(window)).collect();
        let encoded = EncodedSet::new(encoded, false);
        SplitSequences { features: Features::one_each(encoded, targets).weighted(weights), bytes }
    }

    /// Masks tokens of a split for good.
    fn mask_all(&self, sequences: &mut SplitSequences, seed: u64, split: u64) {
        let Features { encoded, targets, .. } = &sequences.features;
        let (mut items, mut targets) = (encoded.items.clone(), targets.to_vec());
        // No pass over the training data has this number.
        let draw = Draw { seed, epoch: u64::MAX - split };
        for (feature, (item, target)) in items.iter_mut().zip(&mut targets).enumerate() {
            if let Target::Masked(target) = target {
                self.masking.apply(&mut item.ids, target, feature, draw);
            }
        }
        sequences.features.encoded = Arc::new(EncodedSet::new(items, false));
        sequences.features.targets = Arc::new(targets);
    }
}

fn target(window: &Window, follows: Option<bool>) -> MaskedTarget {
    let ids = window.ids.iter().zip(&window.places);
    let ids = ids.map(|(&id, place)| if place.is_some() { id as i32 } else { NO_TARGET });
    let same_word = |pair: &[Option<temper_data::TokenPlace>]| match pair {
        [Some(before), Some(place)] => (before.text, before.word) == (place.text, place.word),
        _ => false,
    };
    let continues = std::iter::once(false).chain(window.places.windows(2).map(same_word));
    MaskedTarget { ids: ids.collect(), continues: continues.collect(), follows }
}

/// The task of a model that fills in masked tokens.
pub(super) fn of_model(_: &Model, config: &ModelConfig, record: &Map<String, Value>) -> OfModel {
    let next_sentence = match config.head().map(|head| head.kind.task()) {
        Some(HeadTask::MaskedLm) => false,
        Some(HeadTask::Pretraining) => true,
        _ => return Ok(None),
    };
    let masking = Masking::of_record(record, config.bounds().vocab_size);
    Ok(Some(Arc::new(MaskedLanguageModeling { smoothing: 0.0, masking, next_sentence })))
}

/// Adds the mask token of a model from elsewhere, which recorded none, as its tokenizer has it.
pub fn add_mask_token(record: &mut Map<String, Value>, tokenizer: &TextTokenizer) {
    if let Some(mask) = tokenizer.special().mask {
        record.entry(MASK).or_insert(json!(mask));
    }
}

impl Task for MaskedLanguageModeling {
    fn kind(&self) -> TaskKind {
        TaskKind::MaskedLanguageModeling
    }

    fn inputs(&self) -> Inputs {
        Inputs::TEXTS_AS_GIVEN
    }

    fn record(&self) -> Map<String, Value> {
        let mut record = self.masking.record();
        record.insert(NEXT_SENTENCE.to_owned(), json!(self.next_sentence));
        record
    }

    fn targets_in_words(&self) -> &'static str {
        "texts"
    }

    fn outputs_in_words(&self) -> &'static str {
        "probabilities of masked tokens"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        let task = if self.next_sentence { HeadTask::Pretraining } else { HeadTask::MaskedLm };
        new_head(task, &[], settings)
    }

    fn redraws(&self) -> bool {
        true
    }

    fn redraw(&self, tokens: &mut Batch, targets: &mut [Target], draw: Draw) -> Option<f64> {
        let Batch { ids, lengths, examples, .. } = tokens;
        let (mut ids, mut predicted) = (ids.as_mut_slice(), 0);
        for ((length, &feature), target) in lengths.iter().zip(examples.iter()).zip(targets) {
            let (sequence, others) = std::mem::take(&mut ids).split_at_mut(*length as usize);
            ids = others;
            if let Target::Masked(target) = target {
                self.masking.apply(sequence, target, feature, draw);
                predicted += target.ids.iter().filter(|&&id| id >= 0).count();
            }
        }
        Some(predicted as f64)
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        masked::loss(model, tokens, targets, self.smoothing, mode)
    }

    /// If it is unknown what is masked, the best tokens for each mask with their probabilities.
    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
        if targets.contains(&Target::Unknown) {
            return masked::best(model, tokens, self.masking.mask, BEST);
        }
        masked::scores(model, tokens, targets)
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        let pair = texts.iter().find(|text| text.pair.is_some());
        if let Some(text) = pair.filter(|_| !self.next_sentence) {
            return Err(TrainError::Usage(format!(
                "row {}: the model fills in masked tokens of one text, and was not trained on pairs (--next-sentence)",
                text.row
            )));
        }
        let predictions = FilledTexts::new(encoder.tokenizer.clone(), texts.len(), self.next_sentence);
        Ok((Features::unlabelled(encoded), Box::new(predictions)))
    }
}
