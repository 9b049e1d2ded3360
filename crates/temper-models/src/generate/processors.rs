//! What settings do to the scores of the next token, in the order of transformers.
//!
//! A token that must not come gets the score minus infinity.

use super::sampling::{best, softmax};
use super::{GenerateSettings, Limits};

const NEVER: f32 = f32::NEG_INFINITY;

/// Where a text is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// All tokens that the decoder has, first to last.
    pub ids: &'a [u32],
    /// How many of them are new.
    pub new: usize,
    /// How many are to come.
    pub limits: Limits,
}

/// Applies everything that the settings ask for.
pub fn process(scores: &mut [f32], settings: &GenerateSettings, progress: Progress<'_>) {
    let Progress { ids, new, limits } = progress;
    if settings.repetition_penalty != 1.0 {
        penalise_repetition(scores, ids, settings.repetition_penalty as f32);
    }
    if settings.no_repeat_ngram_size > 0 {
        forbid_repeated_ngrams(scores, ids, settings.no_repeat_ngram_size);
    }
    if new < limits.min_new {
        forbid(scores, &settings.eos_token_id);
    }
    if let (1, Some(id)) = (ids.len(), settings.forced_bos_token_id) {
        force(scores, &[id]);
    }
    if new + 1 == limits.max_new && !settings.forced_eos_token_id.is_empty() {
        force(scores, &settings.forced_eos_token_id);
    }
    if settings.do_sample {
        narrow(scores, settings);
    }
}

/// What only sampling asks for: temperature, top-k, top-p.
fn narrow(scores: &mut [f32], settings: &GenerateSettings) {
    // A search with beams needs something to continue when a text ends.
    let keep = if settings.num_beams > 1 { settings.eos_token_id.len() + 1 } else { 1 };
    if settings.temperature != 1.0 {
        scores.iter_mut().for_each(|score| *score /= settings.temperature as f32);
    }
    if settings.top_k > 0 {
        keep_best(scores, settings.top_k.max(keep));
    }
    if settings.top_p < 1.0 {
        keep_nucleus(scores, settings.top_p, keep);
    }
}

/// Makes tokens that are there already less probable: a positive score is divided, a negative one
/// multiplied, once a token. Keskar et al. 2019, arXiv 1909.05858.
pub fn penalise_repetition(scores: &mut [f32], ids: &[u32], penalty: f32) {
    let mut seen: Vec<usize> = ids.iter().map(|&id| id as usize).filter(|&id| id < scores.len()).collect();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        let score = &mut scores[id];
        *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
    }
}

/// Rules out tokens that would complete a run of `size` tokens that is there already.
pub fn forbid_repeated_ngrams(scores: &mut [f32], ids: &[u32], size: usize) {
    if size == 0 || ids.len() < size {
        return;
    }
    let begun = &ids[ids.len() + 1 - size..];
    for run in ids.windows(size).filter(|run| run.starts_with(begun)) {
        forbid(scores, &run[size - 1..]);
    }
}

/// Rules out tokens.
pub fn forbid(scores: &mut [f32], ids: &[u32]) {
    for &id in ids {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = NEVER;
        }
    }
}

/// Rules out every other token.
pub fn force(scores: &mut [f32], ids: &[u32]) {
    scores.fill(NEVER);
    for &id in ids {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = 0.0;
        }
    }
}

/// Rules out what is worse than the `count` best. Scores that equal the last of these stay.
pub fn keep_best(scores: &mut [f32], count: usize) {
    let places = best(scores, count.min(scores.len()));
    let Some(last) = places.last().map(|&place| scores[place]) else { return };
    scores.iter_mut().filter(|score| **score < last).for_each(|score| *score = NEVER);
}

/// Rules out the least probable tokens that together have no more than a probability of `1 - top_p`, but
/// leaves `least` of the best. Holtzman et al. 2019, arXiv 1904.09751.
pub fn keep_nucleus(scores: &mut [f32], top_p: f64, least: usize) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&left, &right| scores[left].total_cmp(&scores[right]));
    let ascending: Vec<f32> = order.iter().map(|&place| scores[place]).collect();
    let outside = (1.0 - top_p) as f32;
    let mut sum = 0.0_f64;
    let removable = scores.len().saturating_sub(least);
    for (place, probability) in order.iter().zip(softmax(&ascending)).take(removable) {
        sum += f64::from(probability);
        if sum as f32 > outside {
            break;
        }
        scores[*place] = NEVER;
    }
}
