//! Hidden tokens of texts, as BERT was pretrained (Devlin et al. 2018): 15 % of the tokens are to be predicted; of these
//! 80 % are hidden, 10 % are replaced by any other and 10 % stay. Which ones is drawn anew for each pass over the data.

use std::sync::Arc;

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use temper_data::{
    Batch, DataError, Diagnosis, Document, Encoded, EncodedSet, LanguageData, LanguageRequest, Task as Kind,
    TextTokenizer, UnlabelledText, WhichText, Window, WindowInput, WindowSettings, encode_windows,
    examine_language, load_language,
};
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::list::OfModel;
use super::objective::Objective;
use super::per_token::NO_TARGET;
use super::sequences::{SplitSequences, share_of_rows, splits_of, within_tokens};
use super::{
    Decoded, Draw, Encoder, ExamineRequest, LoadRequest, Output, Predictions, Scores, Splits, Task, new_head,
    vocabulary,
};
use crate::examples::{Features, Target};
use crate::terminal::field;
use crate::{Settings, TrainError};

/// Of so many tokens one is predicted: 15 %.
const PREDICTED: f64 = 0.15;
/// Tokens that are proposed for each hidden one.
const BEST: usize = 5;

/// Hidden tokens of texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedLanguageModeling {
    /// Share of a target that is spread evenly over the vocabulary.
    smoothing: f32,
    vocabulary: Vocabulary,
}

/// What tokens are replaced by.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Vocabulary {
    /// What hides a token.
    mask: u32,
    /// Rows of the vocabulary.
    size: u32,
}

impl Vocabulary {
    fn of(tokenizer: &TextTokenizer) -> Result<Self, TrainError> {
        let mask = tokenizer.special().mask.ok_or_else(|| {
            TrainError::Usage(
                "the tokenizer has no token that hides others (mask_token): take an encoder such as bert, or train on \
                 this data as --task language-modeling"
                    .into(),
            )
        })?;
        Ok(Self { mask, size: tokenizer.vocab_size() as u32 })
    }

    /// Hides tokens of a sequence. `targets` are the ids of all that may be predicted; those that are not chosen lose
    /// theirs.
    fn hide(self, ids: &mut [u32], targets: &mut [i32], mut generator: ChaCha8Rng) {
        let mut open: Vec<usize> = (0..ids.len()).filter(|&place| targets[place] >= 0).collect();
        let chosen = predicted(open.len());
        // The first steps of a shuffle (Fisher and Yates).
        for place in 0..chosen {
            let other = place + below(&mut generator, (open.len() - place) as u32) as usize;
            open.swap(place, other);
        }
        for &place in &open[..chosen] {
            match below(&mut generator, 10) {
                0..8 => ids[place] = self.mask,
                8 => ids[place] = below(&mut generator, self.size),
                _ => {}
            }
        }
        open[chosen..].iter().for_each(|&place| targets[place] = NO_TARGET);
    }
}

/// How many of so many tokens are predicted; one at least.
fn predicted(tokens: usize) -> usize {
    ((tokens as f64 * PREDICTED).round() as usize).clamp(tokens.min(1), tokens)
}

/// A number below a limit, each equally probable but for one part in 2^32 of the limit.
fn below(generator: &mut ChaCha8Rng, limit: u32) -> u32 {
    ((u64::from(generator.next_u32()) * u64::from(limit)) >> 32) as u32
}

/// What decides which tokens of a feature are hidden in a pass.
fn generator(seed: u64, epoch: u64, feature: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, epoch, feature as u64, 0]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// Reads and encodes a dataset for this task. An example is a sequence, a part of a document.
///
/// # Errors
/// [`TrainError::Data`]; [`TrainError::Usage`] for a tokenizer without a token that hides others.
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let settings = request.settings;
    Objective::refuse(settings, "masked language modeling", &["--label-smoothing"])?;
    let vocabulary = Vocabulary::of(request.tokenizer)?;
    let asked =
        LanguageRequest { task: Kind::MaskedLanguageModeling, rows: request.dataset.clone(), template: None };
    let LanguageData { mut rows, is_running } = load_language(request.hub, &asked)?;
    request.drop_unwanted(&mut rows);
    let train = encode(&rows.train, &request.encoder())?;
    let share = share_of_rows(&rows, is_running);
    let (train, all_tokens) = within_tokens(request, train, |window| window.ids.len(), share);
    // What is trained on is hidden batch by batch, what is scored once.
    let of_split = |documents: &[Document], split: u64| -> Result<SplitSequences, TrainError> {
        let mut sequences = sequences(encode(documents, &request.encoder())?);
        hide_all(&mut sequences, vocabulary, settings.subset_seed, split);
        Ok(sequences)
    };
    let splits = [sequences(train), of_split(&rows.validation, 1)?, of_split(&rows.test, 2)?];
    let task = MaskedLanguageModeling { smoothing: settings.label_smoothing as f32, vocabulary };
    Ok(splits_of(request, rows, task, splits, all_tokens))
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    let asked =
        LanguageRequest { task: Kind::MaskedLanguageModeling, rows: request.dataset.clone(), template: None };
    examine_language(request.hub, &asked, request.measure)
}

/// Documents in sequences, each with its layout around it; nothing is shared or left out.
fn encode(documents: &[Document], encoder: &Encoder<'_>) -> Result<Vec<Window>, DataError> {
    let inputs: Vec<WindowInput<'_>> =
        documents.iter().map(|document| WindowInput::Text(&document.text)).collect();
    let settings = WindowSettings { max_length: encoder.max_length, stride: 0, spread: WhichText::First };
    let windows = encode_windows(encoder.tokenizer, &inputs, &settings)?;
    Ok(windows.into_iter().filter(|window| window.places.iter().any(Option::is_some)).collect())
}

/// Windows as features: a target is the id of every token that may be hidden, those of the text.
fn sequences(windows: Vec<Window>) -> SplitSequences {
    let target = |window: &Window| {
        let ids = window.ids.iter().zip(&window.places);
        Target::Ids(ids.map(|(&id, place)| if place.is_some() { id as i32 } else { NO_TARGET }).collect())
    };
    let targets = windows.iter().map(target).collect();
    let open = |window: &Window| window.places.iter().flatten().count();
    let weights = windows.iter().map(|window| predicted(open(window)) as f64).collect();
    let bytes = vec![0; windows.len()];
    let encoded = EncodedSet::new(windows.iter().map(Encoded::from).collect(), false);
    SplitSequences { features: Features::one_each(encoded, targets).weighted(weights), bytes }
}

/// Hides tokens of a split for good.
fn hide_all(sequences: &mut SplitSequences, vocabulary: Vocabulary, seed: u64, split: u64) {
    let Features { encoded, targets, .. } = &sequences.features;
    let (mut items, mut targets) = (encoded.items.clone(), targets.to_vec());
    for (feature, (item, target)) in items.iter_mut().zip(&mut targets).enumerate() {
        if let Target::Ids(target) = target {
            // No pass over the training data has this number.
            vocabulary.hide(&mut item.ids, target, generator(seed, u64::MAX - split, feature));
        }
    }
    sequences.features.encoded = Arc::new(EncodedSet::new(items, false));
    sequences.features.targets = Arc::new(targets);
}

/// The task of a model that fills hidden tokens in.
pub(super) fn of_model(_: &Model, config: &ModelConfig, record: &Map<String, Value>) -> OfModel {
    if config.head().map(|head| head.kind.task()) != Some(HeadTask::MaskedLm) {
        return Ok(None);
    }
    let mask = record.get(MASK).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let vocabulary = Vocabulary { mask: mask.unwrap_or(NO_MASK), size: config.bounds().vocab_size as u32 };
    Ok(Some(Arc::new(MaskedLanguageModeling { smoothing: 0.0, vocabulary })))
}

/// What the tokenizer of a model from elsewhere says, where no record does.
pub fn complete(record: &mut Map<String, Value>, tokenizer: &TextTokenizer) {
    if let Some(mask) = tokenizer.special().mask {
        record.entry(MASK).or_insert(json!(mask));
    }
}

/// Where a model's record keeps the token that hides others.
const MASK: &str = "mask_token_id";
/// No token: of a tokenizer that has none.
const NO_MASK: u32 = u32::MAX;

impl Task for MaskedLanguageModeling {
    fn kind(&self) -> Kind {
        Kind::MaskedLanguageModeling
    }

    fn record(&self) -> Map<String, Value> {
        Map::from_iter([(MASK.to_owned(), json!(self.vocabulary.mask))])
    }

    fn targets_in_words(&self) -> &'static str {
        "texts"
    }

    fn outputs_in_words(&self) -> &'static str {
        "probabilities of hidden tokens"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        new_head(HeadTask::MaskedLm, &[], settings)
    }

    fn redraws(&self) -> bool {
        true
    }

    fn redraw(&self, tokens: &mut Batch, targets: &mut [Target], draw: Draw) {
        let Batch { ids, lengths, examples, .. } = tokens;
        let mut ids = ids.as_mut_slice();
        for ((length, &feature), target) in lengths.iter().zip(examples.iter()).zip(targets) {
            let (sequence, others) = std::mem::take(&mut ids).split_at_mut(*length as usize);
            ids = others;
            if let Target::Ids(target) = target {
                self.vocabulary.hide(sequence, target, generator(draw.seed, draw.epoch, feature));
            }
        }
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        vocabulary::loss(model, tokens, targets, self.smoothing, mode)
    }

    /// Of texts of which nobody knows what is hidden, the best tokens of each hidden one with their probabilities.
    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
        if !targets.contains(&Target::Unknown) {
            return vocabulary::scores(model, tokens, targets);
        }
        let is_hidden = |&id: &i32| u32::try_from(id) == Ok(self.vocabulary.mask);
        let places = tokens.ids.host().iter().map(is_hidden).collect::<Vec<_>>();
        vocabulary::best(model, tokens, &places, BEST)
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        if let Some(text) = texts.iter().find(|text| text.pair.is_some()) {
            return Err(TrainError::Usage(format!(
                "row {}: hidden tokens are of one text, not of a pair",
                text.row
            )));
        }
        let filled = vec![Vec::new(); texts.len()];
        let predictions = Filled { tokenizer: encoder.tokenizer.clone(), filled };
        Ok((Features::unlabelled(encoded), Box::new(predictions)))
    }
}

/// The best tokens for those that texts hide.
struct Filled {
    tokenizer: TextTokenizer,
    /// By text and hidden token: ids with their probabilities, the best first.
    filled: Vec<Vec<Vec<(u32, f32)>>>,
}

impl Predictions for Filled {
    fn add(&mut self, feature: usize, output: Output) {
        let tokens = output.logits.chunks(2).map(|pair| (pair[0] as u32, pair[1])).collect::<Vec<_>>();
        self.filled[feature] = tokens.chunks(BEST).map(<[(u32, f32)]>::to_vec).collect();
    }

    /// Nobody knows what the tokens should be.
    fn scores(&self) -> Scores {
        Scores {
            metrics: Vec::new(),
            lower_is_better: true,
            interval: None,
            baseline: 0.0,
            baseline_name: "",
            confusion: None,
            tables: Vec::new(),
        }
    }

    fn example_scores(&self) -> Vec<f64> {
        Vec::new()
    }

    fn worst(&self, _count: usize) -> Vec<(usize, String)> {
        Vec::new()
    }

    fn decode(&self, example: usize) -> Decoded {
        let named = |&(id, probability): &(u32, f32)| json!({"token": self.tokenizer.token(id), "id": id, "probability": probability});
        let hidden = &self.filled[example];
        let best: Vec<Vec<Value>> = hidden.iter().map(|best| best.iter().map(named).collect()).collect();
        let first = |best: &Vec<(u32, f32)>| {
            let (id, probability) = best.first().copied().unwrap_or_default();
            format!("{}\t{probability:.4}", field(&self.tokenizer.token(id).unwrap_or_default()))
        };
        let line = hidden.iter().map(first).collect::<Vec<_>>().join("\t");
        Decoded { line, fields: Map::from_iter([("filled".to_owned(), json!(best))]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: Vocabulary = Vocabulary { mask: 7, size: 1000 };

    /// A sequence of 200 tokens between two special ones, hidden by a draw.
    fn hidden(seed: u64, epoch: u64, feature: usize) -> (Vec<u32>, Vec<i32>) {
        let mut ids: Vec<u32> = (100..302).collect();
        let mut targets: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        (targets[0], targets[201]) = (NO_TARGET, NO_TARGET);
        VOCABULARY.hide(&mut ids, &mut targets, generator(seed, epoch, feature));
        (ids, targets)
    }

    #[test]
    fn of_100_tokens_15_are_predicted_and_most_of_them_hidden() {
        let (mut masked, mut kept, mut replaced) = (0, 0, 0);
        for feature in 0..200 {
            let (ids, targets) = hidden(42, 0, feature);
            assert_eq!((ids[0], ids[201]), (100, 301));
            assert_eq!(targets.iter().filter(|&&target| target >= 0).count(), 30);
            for (place, (&id, &target)) in ids.iter().zip(&targets).enumerate() {
                let right = 100 + place as u32;
                match target {
                    NO_TARGET => assert_eq!(id, right),
                    _ if id == VOCABULARY.mask => masked += 1,
                    _ if id == right => kept += 1,
                    _ => replaced += 1,
                }
                assert!(target == NO_TARGET || target == right as i32);
            }
        }
        let share = |count: i32| f64::from(count) / 6000.0;
        assert!((share(masked) - 0.8).abs() < 0.02, "{masked}");
        assert!(
            (share(kept) - 0.1).abs() < 0.02 && (share(replaced) - 0.1).abs() < 0.02,
            "{kept} {replaced}"
        );
    }

    #[test]
    fn each_pass_and_each_feature_hides_others_and_the_same_draw_the_same() {
        let first = hidden(42, 0, 0);
        assert_eq!(first, hidden(42, 0, 0));
        for other in [hidden(42, 1, 0), hidden(42, 0, 1), hidden(43, 0, 0)] {
            assert_ne!(first.1, other.1);
        }
        assert_eq!([0, 1, 3, 10, 100].map(predicted), [0, 1, 1, 2, 15]);
    }
}
