//! Which tokens of a text are masked: single ones (BERT, Devlin et al. 2018), whole words (google-research/bert, May 2019) or
//! spans of words (SpanBERT, Joshi et al. 2019).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use temper_data::TextTokenizer;

use super::Draw;
use super::per_token::NO_TARGET;
use crate::examples::MaskedTarget;
use crate::settings::MaskingUnit;
use crate::{Settings, TrainError};

/// Where a model's record keeps the token that masks others.
pub(super) const MASK: &str = "mask_token_id";
const PROBABILITY: &str = "mlm_probability";
const UNIT: &str = "masking";
/// No token: of a tokenizer that has none.
const NO_MASK: u32 = u32::MAX;
/// With this probability a span ends after each word, and words that it has at most: those of SpanBERT.
const SPAN_END: f64 = 0.2;
const LONGEST_SPAN: usize = 10;

/// How tokens are masked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Masking {
    /// The token that stands for masked ones.
    pub(super) mask: u32,
    /// Rows of the vocabulary.
    vocabulary: u32,
    /// Share of the tokens that are predicted.
    probability: f64,
    unit: MaskingUnit,
}

/// What a predicted token is replaced by: 80 % by the mask, 10 % by any token, 10 % by nothing.
#[derive(Clone, Copy)]
enum Replacement {
    Mask,
    Any,
    Nothing,
}

impl Replacement {
    fn draw(generator: &mut ChaCha8Rng) -> Self {
        match below(generator, 10) {
            0..8 => Self::Mask,
            8 => Self::Any,
            _ => Self::Nothing,
        }
    }
}

impl Masking {
    /// As the settings say, or the record of a model that is to be scored.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a tokenizer without a mask.
    pub(super) fn of(
        tokenizer: &TextTokenizer,
        settings: &Settings,
        record: Option<&Map<String, Value>>,
    ) -> Result<Self, TrainError> {
        let mask = tokenizer.special().mask.ok_or_else(|| {
            TrainError::Usage(
                "the tokenizer has no mask token (mask_token): take an encoder such as bert, or train on this data as \
                 --task language-modeling"
                    .into(),
            )
        })?;
        let Settings { mlm_probability: probability, masking: unit, .. } = *settings;
        let asked = Self { mask, vocabulary: tokenizer.vocab_size() as u32, probability, unit };
        Ok(record.map_or(asked, |record| asked.recorded(record)))
    }

    /// As a model recorded it.
    pub(super) fn of_record(record: &Map<String, Value>, vocabulary: usize) -> Self {
        let Settings { mlm_probability: probability, masking: unit, .. } = Settings::default();
        let usual = Self { mask: NO_MASK, vocabulary: vocabulary as u32, probability, unit };
        let mask = record.get(MASK).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        Self { mask: mask.unwrap_or(NO_MASK), ..usual.recorded(record) }
    }

    fn recorded(self, record: &Map<String, Value>) -> Self {
        let unit = record.get(UNIT).and_then(|unit| serde_json::from_value(unit.clone()).ok());
        let probability = record.get(PROBABILITY).and_then(Value::as_f64);
        Self { probability: probability.unwrap_or(self.probability), unit: unit.unwrap_or(self.unit), ..self }
    }

    /// What a model has to record.
    pub(super) fn record(&self) -> Map<String, Value> {
        let fields =
            [(MASK, json!(self.mask)), (PROBABILITY, json!(self.probability)), (UNIT, json!(self.unit))];
        Map::from_iter(fields.map(|(name, value)| (name.to_owned(), value)))
    }

    /// How many of so many tokens are predicted; one at least.
    pub(super) fn count(&self, tokens: usize) -> usize {
        ((tokens as f64 * self.probability).round() as usize).clamp(tokens.min(1), tokens)
    }

    /// Masks tokens of a sequence, and takes their targets from those that are not chosen. Whole words may be some tokens
    /// fewer than [`Self::count`].
    pub(super) fn apply(&self, ids: &mut [u32], target: &mut MaskedTarget, feature: usize, draw: Draw) {
        let mut generator = generator(feature, draw);
        let words = words(target);
        let tokens = words.iter().map(Vec::len).sum();
        let chosen = match self.unit {
            MaskingUnit::Tokens => {
                let each: Vec<Vec<usize>> = words.into_iter().flatten().map(|place| vec![place]).collect();
                chosen_words(each, self.count(tokens), &mut generator)
            }
            MaskingUnit::Words => chosen_words(words, self.count(tokens), &mut generator),
            MaskingUnit::Spans => chosen_spans(&words, self.count(tokens), &mut generator),
        };
        let mut is_chosen = vec![false; ids.len()];
        for span in chosen {
            let of_span = Replacement::draw(&mut generator);
            for place in span {
                is_chosen[place] = true;
                // SpanBERT replaces all of a span alike, BERT each token for itself.
                let replacement = match self.unit {
                    MaskingUnit::Spans => of_span,
                    _ => Replacement::draw(&mut generator),
                };
                match replacement {
                    Replacement::Mask => ids[place] = self.mask,
                    Replacement::Any => ids[place] = below(&mut generator, self.vocabulary),
                    Replacement::Nothing => {}
                }
            }
        }
        for (id, is_chosen) in target.ids.iter_mut().zip(is_chosen) {
            if !is_chosen {
                *id = NO_TARGET;
            }
        }
    }
}

/// The places of the tokens of each word that may be masked.
fn words(target: &MaskedTarget) -> Vec<Vec<usize>> {
    let mut words: Vec<Vec<usize>> = Vec::new();
    for (place, &id) in target.ids.iter().enumerate() {
        let continues = target.continues.get(place).copied().unwrap_or(false);
        match words.last_mut().filter(|_| continues) {
            _ if id < 0 => {}
            Some(word) => word.push(place),
            None => words.push(vec![place]),
        }
    }
    words
}

/// Words in a random order, as many as have `count` tokens; one that would have more is skipped.
fn chosen_words(mut words: Vec<Vec<usize>>, count: usize, generator: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut chosen: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    // Shuffled from the front (Fisher and Yates), as far as it is needed.
    for place in 0..words.len() {
        if tokens >= count {
            break;
        }
        let other = place + below(generator, (words.len() - place) as u32) as usize;
        words.swap(place, other);
        let word = std::mem::take(&mut words[place]);
        if chosen.is_empty() || tokens + word.len() <= count {
            tokens += word.len();
            chosen.push(word);
        }
    }
    chosen
}

/// Spans of words, until they have `count` tokens. A span begins anywhere and ends with [`SPAN_END`] after each word.
fn chosen_spans(words: &[Vec<usize>], count: usize, generator: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut is_taken = vec![false; words.len()];
    let mut spans: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    while tokens < count {
        let free: Vec<usize> = (0..words.len()).filter(|&word| !is_taken[word]).collect();
        if free.is_empty() {
            break;
        }
        let first = free[below(generator, free.len() as u32) as usize];
        let length = span_length(generator);
        let mut span: Vec<usize> = Vec::new();
        for word in first..(first + length).min(words.len()) {
            if is_taken[word] || tokens >= count {
                break;
            }
            is_taken[word] = true;
            tokens += words[word].len();
            span.extend(&words[word]);
        }
        spans.push(span);
    }
    spans
}

fn span_length(generator: &mut ChaCha8Rng) -> usize {
    let ends = |generator: &mut ChaCha8Rng| f64::from(generator.next_u32()) < SPAN_END * f64::from(u32::MAX);
    (1..LONGEST_SPAN).find(|_| ends(generator)).unwrap_or(LONGEST_SPAN)
}

/// A number below a limit, each equally probable but for one part in 2^32 of the limit.
fn below(generator: &mut ChaCha8Rng, limit: u32) -> u32 {
    ((u64::from(generator.next_u32()) * u64::from(limit)) >> 32) as u32
}

/// What decides which tokens of a feature are masked in a pass over the data.
fn generator(feature: usize, draw: Draw) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([draw.seed, draw.epoch, feature as u64, 0]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masking(unit: MaskingUnit) -> Masking {
        Masking { mask: 7, vocabulary: 1000, probability: 0.15, unit }
    }

    /// 200 tokens between two special ones, in words of one to three tokens, masked by a draw.
    fn masked(unit: MaskingUnit, seed: u64, epoch: u64, feature: usize) -> (Vec<u32>, MaskedTarget) {
        let mut ids: Vec<u32> = (100..302).collect();
        let mut target = whole(&ids);
        masking(unit).apply(&mut ids, &mut target, feature, Draw { seed, epoch });
        (ids, target)
    }

    fn whole(ids: &[u32]) -> MaskedTarget {
        let mut ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        (ids[0], ids[201]) = (NO_TARGET, NO_TARGET);
        let continues =
            (0..ids.len()).map(|place| place % 6 == 3 || place % 6 == 5 || place % 6 == 0).collect();
        MaskedTarget { ids, continues, follows: None }
    }

    #[test]
    fn of_100_tokens_15_are_predicted_and_most_of_them_masked() {
        for unit in [MaskingUnit::Tokens, MaskingUnit::Words, MaskingUnit::Spans] {
            let (mut replaced_by_mask, mut kept, mut replaced, mut all) = (0, 0, 0, 0);
            for feature in 0..200 {
                let (ids, target) = masked(unit, 42, 0, feature);
                assert_eq!((ids[0], ids[201]), (100, 301));
                let predicted = target.ids.iter().filter(|&&id| id >= 0).count();
                let bounds = match unit {
                    MaskingUnit::Tokens => 30..=30,
                    MaskingUnit::Words => 28..=30,
                    MaskingUnit::Spans => 30..=32,
                };
                assert!(bounds.contains(&predicted), "{unit:?} {predicted}");
                all += predicted;
                for (place, (&id, &target)) in ids.iter().zip(&target.ids).enumerate() {
                    let right = 100 + place as u32;
                    assert!(target == NO_TARGET || target == right as i32);
                    match target {
                        NO_TARGET => assert_eq!(id, right),
                        _ if id == 7 => replaced_by_mask += 1,
                        _ if id == right => kept += 1,
                        _ => replaced += 1,
                    }
                }
            }
            let share = |count: i32| f64::from(count) / all as f64;
            assert!((share(replaced_by_mask) - 0.8).abs() < 0.03, "{unit:?} {replaced_by_mask}");
            assert!((share(kept) - 0.1).abs() < 0.02, "{unit:?} {kept}");
            assert!((share(replaced) - 0.1).abs() < 0.02, "{unit:?} {replaced}");
        }
    }

    #[test]
    fn words_and_spans_are_predicted_whole() {
        for (unit, shortest_mean, longest_mean) in
            [(MaskingUnit::Words, 1.9, 2.6), (MaskingUnit::Spans, 4.0, 12.0)]
        {
            let (mut runs, mut tokens) = (0, 0_usize);
            for feature in 0..100 {
                let (_, target) = masked(unit, 1, 0, feature);
                let is_predicted = |place: usize| target.ids[place] >= 0;
                for place in 1..201 {
                    if target.continues[place] && place > 1 {
                        assert_eq!(is_predicted(place), is_predicted(place - 1), "{unit:?} {place}");
                    }
                    tokens += usize::from(is_predicted(place));
                    runs += usize::from(is_predicted(place) && !is_predicted(place - 1));
                }
            }
            let mean = tokens as f64 / runs as f64;
            assert!((shortest_mean..longest_mean).contains(&mean), "{unit:?} {mean}");
        }
    }

    #[test]
    fn each_pass_and_each_feature_masks_others_and_the_same_draw_the_same() {
        let first = masked(MaskingUnit::Tokens, 42, 0, 0);
        assert_eq!(first, masked(MaskingUnit::Tokens, 42, 0, 0));
        for (seed, epoch, feature) in [(42, 1, 0), (42, 0, 1), (43, 0, 0)] {
            assert_ne!(first.1, masked(MaskingUnit::Tokens, seed, epoch, feature).1);
        }
        assert_eq!(
            [0, 1, 3, 10, 100].map(|tokens| masking(MaskingUnit::Tokens).count(tokens)),
            [0, 1, 1, 2, 15]
        );
    }

    #[test]
    fn a_model_records_how_its_texts_were_masked() {
        let made = Masking { probability: 0.3, ..masking(MaskingUnit::Spans) };
        assert_eq!(Masking::of_record(&made.record(), 1000), made);
        let foreign = Masking::of_record(&Map::new(), 1000);
        assert_eq!((foreign.mask, foreign.unit, foreign.probability), (NO_MASK, MaskingUnit::Tokens, 0.15));
    }
}
