//! Decides if a run keeps the output of frozen layers for its examples, and how much space that may take.

use std::path::Path;

use sysinfo::Disks;
use temper_freeze::{FreezePlan, TrunkLimits, trunk_depth};
use temper_models::{Backbone, Model};

use super::job::Job;
use crate::TrainError;
use crate::device::memory::free_memory;
use crate::examples::Features;
use crate::settings::{Settings, TrunkCacheMode, bytes};
use crate::training::{Schedule, SplitTrunk, Trunks};

impl Job {
    /// Which splits keep the output of frozen layers for them.
    ///
    /// # Errors
    /// [`TrainError::Usage`] where that would not be sound.
    pub(super) fn trunk_decision(
        &self,
        model: &Model,
        plan: &FreezePlan,
    ) -> Result<CacheDecision, TrainError> {
        let Schedule { total_steps, steps_per_epoch, eval_every, .. } = self.schedule;
        let longest = longest_stretch(plan, total_steps);
        let situation = Situation {
            depth: if self.splits.task.has_decoder() { 0 } else { trunk_depth(plan, 0) },
            redraws: self.splits.task.redraws(),
            drops_out: model.backbone.drops_out(),
            trains_again: longest > steps_per_epoch,
            evaluates_again: longest > eval_every,
        };
        decide(&self.request.settings, situation)
    }

    /// The caches that were decided on, empty; files of theirs are made in `dir`.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a size that cannot be read.
    pub(super) fn trunks(&self, decision: &CacheDecision, dir: &Path) -> Result<Trunks, TrainError> {
        let cache = |wanted: bool, split: &Features| wanted.then(|| SplitTrunk::new(split.lengths()));
        Ok(Trunks {
            training: cache(decision.training, &self.splits.train),
            validation: cache(decision.validation, &self.splits.validation),
            limits: limits(&self.request.settings, dir, self.ranks.place().local_size as u64)?,
        })
    }
}

/// What the decision depends on besides the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Lowest layers that are frozen at first.
    pub(super) depth: usize,
    /// True if the input of the layers is drawn again for each pass over the data.
    pub(super) redraws: bool,
    /// True if the model applies dropout in training.
    pub(super) drops_out: bool,
    /// True if an example is trained on more than once while the same layers are frozen.
    pub(super) trains_again: bool,
    /// True if the validation split is evaluated more than once during that time.
    pub(super) evaluates_again: bool,
}

/// The most steps during which the same lowest layers are frozen; 0 when none ever are.
fn longest_stretch(plan: &FreezePlan, total_steps: usize) -> usize {
    let begins = plan.rows.iter().filter_map(|row| row.unfreezes).filter(|&step| step < total_steps);
    let mut bounds: Vec<usize> = begins.chain([0, total_steps]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let stretches = bounds.windows(2).filter(|bounds| trunk_depth(plan, bounds[0]) > 0);
    stretches.map(|bounds| bounds[1] - bounds[0]).max().unwrap_or(0)
}

/// Which splits get a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CacheDecision {
    pub(super) training: bool,
    pub(super) validation: bool,
    /// A hint for the user.
    pub(super) hint: Option<String>,
}

/// Decides; nothing is kept where it would never be read again, unless it was asked for.
///
/// # Errors
/// [`TrainError::Usage`] if `--trunk-cache` demands a cache, but frozen layers apply dropout.
pub(super) fn decide(settings: &Settings, situation: Situation) -> Result<CacheDecision, TrainError> {
    let Situation { depth, redraws, drops_out, trains_again, evaluates_again } = situation;
    let (mode, drops_out) = (settings.trunk_cache, drops_out && settings.frozen_dropout);
    let is_asked_for = matches!(mode, TrunkCacheMode::Memory | TrunkCacheMode::File);
    if is_asked_for && drops_out {
        return Err(TrainError::Usage(
            "--trunk-cache keeps what frozen layers give, but they drop out in training, as in transformers, \
             and give something else each time; add --frozen-dropout false, or leave --trunk-cache at auto"
                .into(),
        ));
    }
    if is_asked_for && redraws {
        return Err(TrainError::Usage(
            "--trunk-cache keeps what frozen layers give, and this task hides other tokens in each epoch; leave it at \
             auto"
                .into(),
        ));
    }
    if mode == TrunkCacheMode::Off || depth == 0 {
        let hint = is_asked_for
            .then(|| format!("trunk cache: off, strategy {} freezes no lowest layer", settings.strategy));
        return Ok(CacheDecision { hint, ..CacheDecision::default() });
    }
    let hint = (drops_out && trains_again).then(|| {
        format!(
            "the {depth} lowest layers are frozen, but drop out, as in transformers; with --frozen-dropout false \
             they would be computed once an example"
        )
    });
    let training = !drops_out && !redraws && (trains_again || is_asked_for);
    Ok(CacheDecision { training, validation: evaluates_again, hint })
}

/// The room for caches: as set, else the part of a rank in half of what is free.
///
/// # Errors
/// [`TrainError::Usage`] for a size that cannot be read.
pub(super) fn limits(settings: &Settings, dir: &Path, sharers: u64) -> Result<TrunkLimits, TrainError> {
    let set = |text: &Option<String>| text.as_deref().map(bytes).transpose().map_err(TrainError::Usage);
    let memory = set(&settings.trunk_cache_memory)?.unwrap_or_else(|| free_memory() / 2 / sharers);
    let disk = set(&settings.trunk_cache_disk)?.unwrap_or_else(|| free_disk(dir) / 2 / sharers);
    let mode = settings.trunk_cache;
    Ok(TrunkLimits {
        memory_bytes: if mode == TrunkCacheMode::File { 0 } else { memory },
        file_bytes: if mode == TrunkCacheMode::Memory { 0 } else { disk },
        dir: dir.into(),
    })
}

/// Free bytes on the disk of a folder; 0 where that is unknown.
fn free_disk(dir: &Path) -> u64 {
    let Ok(dir) = dir.canonicalize() else { return 0 };
    let disks = Disks::new_with_refreshed_list();
    let holding = disks.iter().filter(|disk| dir.starts_with(disk.mount_point()));
    let nearest = holding.max_by_key(|disk| disk.mount_point().components().count());
    nearest.map_or(0, |disk| disk.available_space())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITUATION: Situation =
        Situation { depth: 5, redraws: false, drops_out: true, trains_again: true, evaluates_again: true };

    fn settings(mode: TrunkCacheMode, frozen_dropout: bool) -> Settings {
        Settings { trunk_cache: mode, frozen_dropout, ..Settings::default() }
    }

    fn splits(settings: &Settings, situation: Situation) -> (bool, bool) {
        let decision = decide(settings, situation).unwrap();
        (decision.training, decision.validation)
    }

    #[test]
    fn a_cache_is_used_where_it_is_sound_and_read_again() {
        let auto = settings(TrunkCacheMode::Auto, false);
        assert_eq!(splits(&auto, SITUATION), (true, true));
        assert_eq!(splits(&auto, Situation { trains_again: false, ..SITUATION }), (false, true));
        assert_eq!(splits(&auto, Situation { evaluates_again: false, ..SITUATION }), (true, false));
        assert_eq!(splits(&auto, Situation { depth: 0, ..SITUATION }), (false, false));
        assert_eq!(splits(&settings(TrunkCacheMode::Off, false), SITUATION), (false, false));
        let file = settings(TrunkCacheMode::File, false);
        assert_eq!(splits(&file, Situation { trains_again: false, ..SITUATION }), (true, true));
    }

    #[test]
    fn frozen_dropout_prevents_it_in_training_alone() {
        let auto = settings(TrunkCacheMode::Auto, true);
        let decision = decide(&auto, SITUATION).unwrap();
        assert_eq!((decision.training, decision.validation), (false, true));
        assert!(decision.hint.unwrap().contains("--frozen-dropout false"));
        // A model without dropout is another matter.
        assert_eq!(splits(&auto, Situation { drops_out: false, ..SITUATION }), (true, true));
        let error = decide(&settings(TrunkCacheMode::Memory, true), SITUATION).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--frozen-dropout false"), "{error}");
    }

    #[test]
    fn room_is_what_was_set_or_half_of_what_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let set = Settings {
            trunk_cache_memory: Some("2GB".into()),
            trunk_cache_disk: Some("1 MiB".into()),
            ..Settings::default()
        };
        let found = limits(&set, dir.path(), 2).unwrap();
        assert_eq!((found.memory_bytes, found.file_bytes), (2_000_000_000, 1 << 20));
        let found = limits(&settings(TrunkCacheMode::File, false), dir.path(), 1).unwrap();
        assert_eq!(found.memory_bytes, 0);
        let found = limits(&settings(TrunkCacheMode::Memory, false), dir.path(), 1).unwrap();
        assert!(found.memory_bytes > 0 && found.file_bytes == 0);
    }
}
