//! Checks before a run whether memory will suffice.

use burn::train::TrainStep;
use temper_data::Step;
use temper_freeze::FreezePlan;
use temper_models::Loaded;

use super::job::Job;
use super::measure::{MOMENTS, PARAMETER};
use crate::device::backend::Backend;
use crate::device::{OutOfMemory, advice, memory};
use crate::settings::Settings;
use crate::training::{TaskModel, TrainingStep};
use crate::{TrainError, device::allocator};

/// What an estimated peak may be off by: measured ones were up to a quarter too low or too high.
const UNCERTAIN: f64 = 1.25;
/// The part of the largest micro-batch that is tried first.
const TRIED_PART: usize = 8;
/// Token budgets are suggested in such steps.
const ROUND: usize = 64;

/// What training needs: some bytes whatever it computes, and some for each token of a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Need {
    /// Weights, gradients, moments, and all else that is there.
    fixed: u64,
    /// What the backward pass needs of the forward pass.
    per_token: f64,
}

/// What is to be done about a need.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fits,
    MayNotFit,
    Impossible,
}

impl Need {
    fn of(self, tokens: usize) -> u64 {
        self.fixed + (self.per_token * tokens as f64) as u64
    }

    /// The most tokens that fit, with some room for error; nothing where not even the `longest` example does.
    fn largest(self, available: u64, longest: usize) -> Option<usize> {
        let room = (available as f64 / UNCERTAIN - self.fixed as f64).max(0.0);
        let tokens = (room / self.per_token.max(1.0)) as usize / ROUND * ROUND;
        (tokens >= longest).then_some(tokens)
    }
}

fn judge(needed: u64, available: u64) -> Verdict {
    match needed as f64 / available.max(1) as f64 {
        ratio if ratio > UNCERTAIN => Verdict::Impossible,
        ratio if ratio * UNCERTAIN > 1.0 => Verdict::MayNotFit,
        _ => Verdict::Fits,
    }
}

impl Job {
    /// Refuses a run whose memory clearly does not suffice, and warns of one where that is uncertain.
    ///
    /// An eighth of the largest micro-batch is computed, and the rest worked out from that.
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`] with what would fit.
    pub(super) fn check_memory(&self, loaded: &Loaded, plan: &FreezePlan) -> Result<(), TrainError> {
        // If the attempt itself finds no memory.
        allocator::advise(advice(&fits(&self.request.settings, None)));
        let backend: Backend = self.request.backend.parse().map_err(TrainError::Usage)?;
        let Some(holds) = memory::held(&self.devices[0]) else { return Ok(()) };
        let Some(available) = memory::available(backend, holds) else { return Ok(()) };
        // Each rank of a machine needs as much.
        let sharers = if backend.is_cpu() { self.ranks.place().local_size } else { 1 };
        let available = available / sharers as u64;
        let (steps, lengths) = (self.steps.plan(0), self.steps.lengths());
        let largest =
            steps.iter().flat_map(|step| &step.batches).map(|batch| tokens_of(&lengths, batch)).max();
        let largest = largest.unwrap_or_default();
        let fixed = holds + (PARAMETER + MOMENTS) * plan.trainable() as u64;
        let known = Need { fixed, per_token: 0.0 };
        self.act_on(known, largest, available)?;
        let (clip, _) = self.optimizer(plan);
        let model = self.task_model(loaded.model.clone(), plan, 0, &clip);
        let per_token = self.bytes_per_token(&model, plan, largest / TRIED_PART, fixed);
        let need = Need { per_token, ..known };
        self.act_on(need, largest, available)
    }

    fn act_on(&self, need: Need, tokens: usize, available: u64) -> Result<(), TrainError> {
        let needed = need.of(tokens);
        let longest = self.steps.lengths().into_iter().max().unwrap_or_default() as usize;
        let error = || OutOfMemory {
            needed_bytes: Some(needed),
            available_bytes: Some(available),
            fits: fits(&self.request.settings, need.largest(available, longest)),
            ..OutOfMemory::of(&format!("training on micro-batches of {tokens} tokens"))
        };
        match judge(needed, available) {
            Verdict::Impossible => Err(error().into()),
            Verdict::MayNotFit if need.per_token > 0.0 => {
                self.progress.line(&format!("warning: memory may not suffice: {}", error()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Bytes that a token needs, from a step on about so many; `fixed` is what it needs besides.
    fn bytes_per_token(&self, model: &TaskModel, plan: &FreezePlan, tokens: usize, fixed: u64) -> f64 {
        let small = self.steps.clone().with_tokens_per_batch(tokens);
        let Some(batch) = small.plan(0).into_iter().next().and_then(|step| step.batches.into_iter().next())
        else {
            return 0.0;
        };
        let size = tokens_of(&self.steps.lengths(), &batch);
        // Loading the model may have taken more than this step does: then nothing is known of it.
        let before = memory::peak(&self.devices[0]).unwrap_or(fixed).max(fixed);
        let (_, mut optimizer) = self.optimizer(plan);
        let step: TrainingStep = small.step(&Step { batches: vec![batch] }, 0);
        let gradients = TrainStep::step(model, step).grads;
        let rate = self.request.settings.learning_rate.into();
        let _ = model.clone().optimize(&mut optimizer, rate, gradients);
        let after = memory::peak(&self.devices[0]).unwrap_or(before);
        after.saturating_sub(before) as f64 / size.max(1) as f64
    }
}

fn tokens_of(lengths: &[u32], batch: &[usize]) -> usize {
    batch.iter().map(|&example| lengths[example] as usize).sum()
}

/// What needs less memory than these settings, the largest token budget that fits first where it is known.
pub(super) fn fits(settings: &Settings, tokens: Option<usize>) -> Vec<String> {
    let budget = settings.tokens_per_batch();
    let tokens = tokens.unwrap_or(budget / 2).min(budget);
    let mut fits = Vec::new();
    if tokens < budget && tokens >= settings.max_seq_length {
        fits.push(format!(
            "--max-tokens-per-batch {tokens} (now {budget}): the same steps, computed in smaller parts"
        ));
    }
    if !settings.gradient_checkpointing {
        fits.push("--gradient-checkpointing: layers are computed again in the backward pass".into());
    }
    fits.push(format!("a --max-seq-length below {}", settings.max_seq_length));
    if settings.strategy == "all" {
        fits.push("--strategy lora or last:2: no gradients and moments of the other weights".into());
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Need = Need { fixed: 1000 << 20, per_token: (1 << 20) as f64 };

    #[test]
    fn only_what_is_clearly_impossible_is_refused() {
        assert_eq!(judge(100, 100), Verdict::MayNotFit);
        assert_eq!(judge(126, 100), Verdict::Impossible);
        assert_eq!(judge(124, 100), Verdict::MayNotFit);
        assert_eq!(judge(79, 100), Verdict::Fits);
        assert_eq!(judge(1, 0), Verdict::MayNotFit);
    }

    #[test]
    fn the_largest_budget_leaves_room_for_error() {
        let tokens = NEED.largest(2500 << 20, 512).unwrap();
        assert_eq!(tokens, 960);
        assert_eq!(judge(NEED.of(tokens), 2500 << 20), Verdict::Fits);
        assert_eq!(NEED.largest(1500 << 20, 512), None);
        assert_eq!(NEED.largest(0, 0), Some(0));
    }

    #[test]
    fn what_would_fit_is_less_than_what_there_is() {
        let settings =
            Settings { max_tokens_per_batch: Some(4096), max_seq_length: 128, ..Settings::default() };
        let told = fits(&settings, Some(960)).join("\n");
        assert!(told.contains("--max-tokens-per-batch 960 (now 4096)"), "{told}");
        assert!(told.contains("--strategy lora") && told.contains("below 128"), "{told}");
        assert!(fits(&settings, None).join("\n").contains("--max-tokens-per-batch 2048"));
        // No budget below the longest example.
        assert!(!fits(&settings, Some(64)).join("\n").contains("--max-tokens-per-batch"));
        let lora = Settings { strategy: "lora".into(), ..settings };
        assert!(!fits(&lora, Some(960)).join("\n").contains("--strategy"));
    }
}
