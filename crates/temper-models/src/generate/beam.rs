//! Search with beams, as transformers 5.23 does it (`generation/utils.py`, `_beam_search`).
//!
//! Each prompt has so many texts that are continued in parallel. A step scores every token after
//! every text and takes the best candidates, more than there are beams, so that enough of them continue. Of
//! the candidates that end, only those among the best `num_beams` count as finished.

use super::processors::{Progress, process};
use super::reader::Reader;
use super::sampling::{Sampler, best, log_softmax};
use super::{EarlyStopping, GenerateSettings, Hooks, Start, StopRule, check_scores};
use crate::{BackboneModule, ModelError};

/// The score of what does not count, as transformers has it.
const OUT: f32 = -1e9;

/// A text that is continued or finished.
#[derive(Clone, Debug)]
struct Beam {
    ids: Vec<u32>,
    /// Sum of log probabilities; of a finished text, by its length to the length penalty.
    score: f32,
    finished: bool,
}

/// A text with one more token.
struct Candidate {
    parent: usize,
    token: u32,
    score: f32,
    /// Ends with a stop token, at the most tokens, or where the caller stops.
    ends: bool,
}

/// The search of one prompt.
struct Search {
    start: Start,
    sampler: Sampler,
    running: Vec<Beam>,
    finished: Vec<Beam>,
    /// New tokens of each running text.
    new: usize,
    /// Whether a running text may still become better than a finished one.
    is_promising: bool,
    is_over: bool,
}

/// The best text of every prompt: its new tokens.
pub(super) fn search<B: BackboneModule>(
    reader: &mut Reader<'_, B>,
    starts: Vec<Start>,
    settings: &GenerateSettings,
    hooks: &mut Hooks<'_>,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let mut searches: Vec<Search> = starts.into_iter().map(|start| Search::new(start, settings)).collect();
    let mut rows_each = 1;
    loop {
        let active: Vec<usize> = (0..searches.len()).filter(|&each| !searches[each].is_over).collect();
        if active.is_empty() {
            return Ok(searches.into_iter().map(Search::result).collect());
        }
        // At first all beams of a prompt are the same: one is read.
        let rows = active.iter().flat_map(|&each| searches[each].running.iter().take(rows_each));
        let scores = reader.read(&rows.map(|beam| beam.ids.as_slice()).collect::<Vec<_>>());
        let mut kept = Vec::new();
        for (place, &each) in active.iter().enumerate() {
            let search = &mut searches[each];
            let first = place * rows_each;
            let row = |beam: usize| first + beam.min(rows_each - 1);
            let parents = search.step(|beam| scores.of(row(beam)), settings, hooks.stop)?;
            if search.is_over {
                search.start.show(search.best(), hooks);
            } else {
                kept.extend(parents.into_iter().map(row));
            }
        }
        rows_each = settings.num_beams;
        reader.keep(&kept);
    }
}

impl Search {
    fn new(start: Start, settings: &GenerateSettings) -> Self {
        // Only the first of the equal beams counts at first.
        let beam = |index: usize| Beam {
            ids: start.ids.clone(),
            score: if index == 0 { 0.0 } else { OUT },
            finished: false,
        };
        Self {
            sampler: start.sampler(settings),
            running: (0..settings.num_beams).map(beam).collect(),
            finished: vec![Beam { ids: start.ids.clone(), score: OUT, finished: false }; settings.num_beams],
            start,
            new: 0,
            is_promising: true,
            is_over: false,
        }
    }

    /// Continues every text by one token; gives for each the place of the one that it continues.
    fn step<'a>(
        &mut self,
        scores_of: impl Fn(usize) -> &'a [f32],
        settings: &GenerateSettings,
        stop: Option<StopRule<'_>>,
    ) -> Result<Vec<usize>, ModelError> {
        let candidates = self.candidates(scores_of, settings, stop)?;
        let next = self.next(&candidates, settings);
        self.finish(&candidates, settings);
        let parents = next.iter().map(|beam| candidates[*beam].parent).collect();
        let continued = next.iter().map(|&place| {
            let candidate = &candidates[place];
            let score = candidate.score + if candidate.ends { OUT } else { 0.0 };
            Beam { ids: self.text(candidate), score, finished: false }
        });
        self.running = continued.collect();
        self.new += 1;
        self.is_promising &= self.can_improve(settings);
        let is_full = self.is_full(settings);
        self.is_over = !self.is_promising || is_full || candidates.iter().all(|candidate| candidate.ends);
        Ok(parents)
    }

    fn text(&self, candidate: &Candidate) -> Vec<u32> {
        let mut ids = self.running[candidate.parent].ids.clone();
        ids.push(candidate.token);
        ids
    }

    /// The best continuations, or drawn ones, best or first drawn first.
    fn candidates<'a>(
        &mut self,
        scores_of: impl Fn(usize) -> &'a [f32],
        settings: &GenerateSettings,
        stop: Option<StopRule<'_>>,
    ) -> Result<Vec<Candidate>, ModelError> {
        let mut sums = Vec::new();
        for (index, beam) in self.running.iter().enumerate() {
            let mut scores = scores_of(index).to_vec();
            check_scores(&scores, self.start.prompt)?;
            log_softmax(&mut scores);
            process(
                &mut scores,
                settings,
                Progress { ids: &beam.ids, new: self.new, limits: self.start.limits },
            );
            sums.extend(scores.into_iter().map(|score| score + beam.score));
        }
        let vocab = sums.len() / self.running.len();
        let count = settings.num_beams * (1 + settings.eos_token_id.len()).max(2);
        let places = match settings.do_sample {
            true => self.sampler.draw_distinct(&sums, count),
            false => best(&sums, count),
        };
        let candidate = |place: usize| {
            let (parent, token) = (place / vocab, (place % vocab) as u32);
            let mut candidate = Candidate { parent, token, score: sums[place], ends: false };
            candidate.ends = self.new + 1 >= self.start.limits.max_new
                || settings.eos_token_id.contains(&token)
                || stop.is_some_and(|stop| stop(self.start.new_tokens(&self.text(&candidate))));
            candidate
        };
        Ok(places.into_iter().map(candidate).collect())
    }

    /// Places of the candidates to continue: the best of those that do not end.
    fn next(&self, candidates: &[Candidate], settings: &GenerateSettings) -> Vec<usize> {
        let out = |candidate: &Candidate| candidate.score + if candidate.ends { OUT } else { 0.0 };
        best(&candidates.iter().map(out).collect::<Vec<_>>(), settings.num_beams)
    }

    /// Keeps the best finished texts, old and new.
    fn finish(&mut self, candidates: &[Candidate], settings: &GenerateSettings) {
        let length = by_length(self.new + 1, settings);
        let closed = if self.is_full(settings) { OUT } else { 0.0 };
        let hopeless = if self.is_promising { 0.0 } else { OUT };
        let new = candidates.iter().enumerate().map(|(place, candidate)| {
            let finished = candidate.ends && place < settings.num_beams;
            let unfinished = if finished { 0.0 } else { OUT };
            let score = candidate.score / length + closed + hopeless + unfinished;
            Beam { ids: self.text(candidate), score, finished }
        });
        let all: Vec<Beam> = self.finished.iter().cloned().chain(new).collect();
        let scores: Vec<f32> = all.iter().map(|beam| beam.score).collect();
        self.finished =
            best(&scores, settings.num_beams).into_iter().map(|place| all[place].clone()).collect();
    }

    /// Whether enough texts are finished, and that ends the search.
    fn is_full(&self, settings: &GenerateSettings) -> bool {
        settings.early_stopping == EarlyStopping::Always && self.finished.iter().all(|beam| beam.finished)
    }

    /// Whether the best running text, at a length that is assumed, is better than a finished one.
    fn can_improve(&self, settings: &GenerateSettings) -> bool {
        let Some(best) = self.running.first() else { return false };
        let length = match settings.early_stopping {
            EarlyStopping::Never if settings.length_penalty > 0.0 => self.start.limits.max_new,
            _ => self.new,
        };
        let reachable = best.score / by_length(length, settings);
        let worst = self.finished.iter().map(|beam| beam.score).fold(f32::INFINITY, f32::min);
        self.finished.iter().any(|beam| reachable > if beam.finished { worst } else { OUT })
    }

    fn best(&self) -> &[u32] {
        self.start.new_tokens(&self.finished[0].ids)
    }

    fn result(self) -> Vec<u32> {
        self.best().to_vec()
    }
}

/// What the score of a text of so many new tokens is divided by.
fn by_length(new: usize, settings: &GenerateSettings) -> f32 {
    (new as f64).powf(settings.length_penalty) as f32
}
