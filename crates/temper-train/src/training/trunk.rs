//! The trunk caches of a run: the output of frozen layers for each example, shared by the batches of a split.

use std::sync::{Arc, Mutex, MutexGuard};

use burn::tensor::Device;
use indicatif::DecimalBytes;
use serde::{Deserialize, Serialize};
use temper_freeze::{FreezeError, TrunkCache, TrunkLayout, TrunkLimits, TrunkPlace};
use temper_models::{Model, TokenBatch};

use crate::TrainError;

/// The cache of one split, shared by its batches.
#[derive(Clone, Debug)]
pub struct SplitTrunk {
    /// Tokens of each example.
    lengths: Arc<Vec<u32>>,
    content: Arc<Mutex<CacheState>>,
}

#[derive(Debug, Default)]
struct CacheState {
    /// None as long as no layer is frozen.
    cache: Option<TrunkCache>,
    /// Depth, place and bytes when it was largest.
    largest: Option<(usize, TrunkPlace, u64)>,
    /// What a comparison found; the loop asks for it after every step.
    failure: Option<FreezeError>,
}

impl SplitTrunk {
    /// A cache for examples of these lengths, without a depth.
    pub fn new(lengths: Vec<u32>) -> Self {
        Self { lengths: Arc::new(lengths), content: Arc::default() }
    }

    fn content(&self) -> MutexGuard<'_, CacheState> {
        self.content.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Empties the cache for another depth; 0 is none.
    fn plan(&self, model: &Model, depth: usize, limits: &TrunkLimits) {
        let lengths = if depth > 0 { self.lengths.as_slice() } else { &[] };
        let layout = TrunkLayout::of(model, depth, lengths);
        let mut content = self.content();
        content.cache = match content.cache.take() {
            Some(cache) => Some(cache.replanned(layout, limits)),
            None if depth > 0 => Some(TrunkCache::new(layout, limits)),
            None => None,
        };
        let planned = content.cache.as_ref().map(|cache| (cache.depth(), cache.place(), cache.bytes()));
        content.largest = content.largest.into_iter().chain(planned).max_by_key(|&(_, _, bytes)| bytes);
    }

    /// The batch of some examples with the output of the frozen layers for it, if it is cached.
    pub(super) fn attach(
        &self,
        model: &Model,
        batch: TokenBatch,
        examples: &[usize],
        device: &Device,
    ) -> TokenBatch {
        let mut content = self.content();
        let Some(cache) = content.cache.as_mut().filter(|cache| is_used(cache)) else { return batch };
        let depth = cache.depth();
        match cache.state(examples, device, || model.trunk(&batch, depth)) {
            Ok(state) => batch.with_trunk(state),
            Err(error) => {
                content.failure = Some(error);
                batch
            }
        }
    }

    /// The cache's statistics; `None` if there was none.
    fn report(&self) -> Option<TrunkReport> {
        let content = self.content();
        let (depth, place, bytes) = content.largest?;
        let statistics = content.cache.as_ref()?.statistics();
        Some(TrunkReport {
            depth,
            place,
            bytes,
            hits: statistics.hits,
            misses: statistics.misses,
            hit_rate: statistics.hit_rate(),
            seconds_saved: statistics.seconds_saved(),
            largest_difference: statistics.largest_difference,
        })
    }
}

fn is_used(cache: &TrunkCache) -> bool {
    cache.depth() > 0 && cache.place() != TrunkPlace::Off
}

/// Statistics of one cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrunkReport {
    /// Number of lowest layers whose output was cached, when the cache was largest.
    pub depth: usize,
    /// Its place then.
    pub place: TrunkPlace,
    /// Bytes of a state of every example then.
    pub bytes: u64,
    /// Examples whose state was cached.
    pub hits: u64,
    /// Examples whose state was computed.
    pub misses: u64,
    /// Share of hits.
    pub hit_rate: f64,
    /// Seconds saved, as the misses were measured, less what the cache itself took.
    pub seconds_saved: f64,
    /// The largest difference between a kept state and a fresh one, relative to the largest value or 1.
    pub largest_difference: f64,
}

impl std::fmt::Display for TrunkReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self.place {
            TrunkPlace::Memory => "in memory",
            TrunkPlace::File => "in a file",
            TrunkPlace::Off => "not kept",
        };
        let (bytes, percent) = (DecimalBytes(self.bytes), 100.0 * self.hit_rate);
        let examples = self.hits + self.misses;
        write!(
            out,
            "{} lowest layers, {bytes} {place}, {percent:.1} % of {examples} states were cached, about {:.1} s saved",
            self.depth, self.seconds_saved
        )
    }
}

/// Statistics of the caches of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrunkReports {
    /// For the training examples.
    pub training: Option<TrunkReport>,
    /// For the validation examples.
    pub validation: Option<TrunkReport>,
}

impl TrunkReports {
    /// Each with the name of its split.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &TrunkReport)> {
        let named = [("training", &self.training), ("validation", &self.validation)];
        named.into_iter().filter_map(|(name, report)| Some((name, report.as_ref()?)))
    }
}

/// The caches of a run.
#[derive(Clone, Debug)]
pub struct Trunks {
    /// For the training examples, if it is used.
    pub training: Option<SplitTrunk>,
    /// For the validation examples.
    pub validation: Option<SplitTrunk>,
    /// Limits of both.
    pub limits: TrunkLimits,
}

impl Trunks {
    fn each(&self) -> impl Iterator<Item = &SplitTrunk> {
        self.training.iter().chain(&self.validation)
    }

    /// Prepares the caches for a depth, unless they are for it already; says where they are.
    pub fn at_depth(&self, model: &Model, depth: usize) -> Vec<String> {
        let mut limits = self.limits.clone();
        let mut lines = Vec::new();
        for (name, split) in [("training", &self.training), ("validation", &self.validation)] {
            let Some(split) = split else { continue };
            let before = split.content().cache.as_ref().map_or(0, TrunkCache::depth);
            if before != depth {
                split.plan(model, depth, &limits);
                lines.extend(split.content().cache.as_ref().map(|cache| planned(name, cache)));
            }
            if let Some(cache) = &split.content().cache {
                match cache.place() {
                    TrunkPlace::Memory => limits.memory_bytes -= cache.bytes().min(limits.memory_bytes),
                    TrunkPlace::File => limits.file_bytes -= cache.bytes().min(limits.file_bytes),
                    TrunkPlace::Off => {}
                }
            }
        }
        lines
    }

    /// # Errors
    /// [`TrainError::Verification`] when a kept state was not what the layers give now.
    pub(super) fn check(&self) -> Result<(), TrainError> {
        match self.each().find_map(|split| split.content().failure.take()) {
            None => Ok(()),
            Some(FreezeError::StaleTrunk { depth, difference, tolerance }) => Err(TrainError::Verification {
                what: format!(
                    "the cached output of the lowest {depth} layers (--trunk-cache off disables the cache)"
                ),
                difference,
                tolerance,
            }),
            Some(other) => Err(other.into()),
        }
    }

    /// Their statistics; `None` without a cache.
    pub fn report(&self) -> Option<TrunkReports> {
        let report = |split: &Option<SplitTrunk>| split.as_ref().and_then(SplitTrunk::report);
        let reports = TrunkReports { training: report(&self.training), validation: report(&self.validation) };
        (reports.training.is_some() || reports.validation.is_some()).then_some(reports)
    }
}

fn planned(name: &str, cache: &TrunkCache) -> String {
    let (depth, bytes) = (cache.depth(), DecimalBytes(cache.bytes()));
    match (cache.place(), cache.why_off()) {
        _ if depth == 0 => format!("trunk cache, {name}: emptied, no layer is frozen any more"),
        (TrunkPlace::Memory, _) => format!("trunk cache, {name}: {depth} lowest layers, {bytes} in memory"),
        (TrunkPlace::File, _) => format!("trunk cache, {name}: {depth} lowest layers, {bytes} in a file"),
        (TrunkPlace::Off, why) => format!("trunk cache, {name}: off, {}", why.unwrap_or("no room")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use temper_models::{HeadRequest, ModelConfig};

    use super::*;

    fn fixture() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert")
    }

    #[test]
    fn layers_that_changed_after_all_end_the_run_with_exit_code_7() {
        let device = Device::flex();
        let model = Model::load(&fixture(), &HeadRequest::FromConfig, &device).unwrap().model;
        let other = Model::random(&ModelConfig::read(&fixture()).unwrap(), 7, &device).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let limits = TrunkLimits { memory_bytes: 1 << 20, file_bytes: 0, dir: dir.path().into() };
        let split = SplitTrunk::new(vec![3, 2]);
        let trunks = Trunks { training: Some(split.clone()), validation: None, limits };
        assert_eq!(trunks.at_depth(&model, 1).len(), 1);
        assert!(trunks.at_depth(&model, 1).is_empty(), "said once");
        let batch = || TokenBatch::new(&[2, 5, 3, 2, 3], &[0; 5], &[3, 2], &device);
        for _ in 0..2 {
            assert!(split.attach(&model, batch(), &[0, 1], &device).trunk().is_some());
            trunks.check().unwrap();
        }
        split.attach(&other, batch(), &[0, 1], &device);
        let error = trunks.check().unwrap_err();
        assert_eq!(error.exit_code(), 7);
        assert!(error.to_string().contains("lowest 1 layers"), "{error}");
    }

    #[test]
    fn gradual_unfreezing_empties_the_cache_and_makes_it_smaller() {
        let device = Device::flex();
        let model = Model::load(&fixture(), &HeadRequest::FromConfig, &device).unwrap().model;
        let dir = tempfile::tempdir().unwrap();
        let limits = TrunkLimits { memory_bytes: 1 << 20, file_bytes: 0, dir: dir.path().into() };
        let split = SplitTrunk::new(vec![3]);
        let trunks = Trunks { training: Some(split.clone()), validation: None, limits };
        let batch = || TokenBatch::new(&[2, 5, 3], &[0; 3], &[3], &device);
        for (depth, attached) in [(2, true), (1, true), (0, false)] {
            trunks.at_depth(&model, depth);
            let trunk = split.attach(&model, batch(), &[0], &device).trunk().map(|trunk| trunk.depth);
            assert_eq!(trunk, attached.then_some(depth));
        }
        let report = trunks.report().unwrap().training.unwrap();
        assert_eq!((report.hits, report.misses, report.depth), (0, 2, 1));
    }
}
