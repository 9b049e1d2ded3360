//! The output of the frozen lowest layers for each example, computed once and kept.

mod statistics;
mod storage;

use std::ops::Range;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use temper_kernels::Sequences;
use temper_models::layers::Encoded;
use temper_models::{BackboneModule, Model, Precision, TrunkRows, TrunkState};

pub use statistics::TrunkStatistics;
pub use storage::{TrunkLimits, TrunkPlace};

use crate::FreezeError;
use storage::{Storage, bytes_of};

/// Batches whose kept state is compared with a fresh one.
const CHECKED_BATCHES: usize = 3;

/// The largest difference allowed then, relative to the largest value or 1.
///
/// States of other batches come from sums in another order. Where the next product rounds its factors, a last bit
/// may turn over, here and there one in each layer: eight times the largest error of one rounding.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::Tf32 | Precision::Bf16 | Precision::Int8 => 8.0 * precision.unit_roundoff(),
    }
}

/// The sizes of the states of a split's examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkLayout {
    /// Layers that the states are made by.
    pub depth: usize,
    /// Width of the hidden state.
    pub width: usize,
    /// Rows of each example's state.
    pub rows: Vec<TrunkRows>,
    /// What the layers compute in; the states are f32.
    pub precision: Precision,
}

impl TrunkLayout {
    /// The sizes that a model gives at a depth, for examples of these lengths in tokens.
    pub fn of<B: BackboneModule>(model: &Model<B>, depth: usize, lengths: &[u32]) -> Self {
        let rows = lengths.iter().map(|&length| model.trunk_rows(depth, length as usize));
        let (width, precision) = (model.backbone.hidden_size(), model.precision());
        Self { depth, width, rows: rows.collect(), precision }
    }

    /// Bytes of the states of all examples.
    pub fn bytes(&self) -> u64 {
        bytes_of(self.rows.iter().map(|rows| rows.total() * self.width).sum())
    }
}

/// The states of one split's examples, as a model's frozen lowest layers make them without dropout.
///
/// They are kept in memory if they fit there, else in a file that is mapped into memory, else not at all.
#[derive(Debug)]
pub struct TrunkCache {
    layout: TrunkLayout,
    /// Where each example's numbers are: the hidden state, after it the encoder's output.
    places: Sequences,
    present: Vec<bool>,
    storage: Storage,
    why_off: Option<String>,
    unchecked: usize,
    statistics: TrunkStatistics,
}

impl TrunkCache {
    /// An empty cache.
    pub fn new(layout: TrunkLayout, limits: &TrunkLimits) -> Self {
        let lengths: Vec<usize> = layout.rows.iter().map(|rows| rows.total() * layout.width).collect();
        let places = Sequences::of_lengths(&lengths);
        let (storage, why_off) = Storage::new(places.rows(), limits);
        Self {
            present: vec![false; lengths.len()],
            layout,
            places,
            storage,
            why_off,
            unchecked: CHECKED_BATCHES,
            statistics: TrunkStatistics::default(),
        }
    }

    /// Empties it for states of another depth; what was counted stays.
    #[must_use]
    pub fn replanned(self, layout: TrunkLayout, limits: &TrunkLimits) -> Self {
        let statistics = self.statistics;
        // The old states make room before the new ones are given any.
        drop((self.storage, self.present));
        Self { statistics, ..Self::new(layout, limits) }
    }

    /// Layers that the states are made by.
    pub fn depth(&self) -> usize {
        self.layout.depth
    }

    /// Bytes of all states together.
    pub fn bytes(&self) -> u64 {
        self.layout.bytes()
    }

    /// Where they are.
    pub fn place(&self) -> TrunkPlace {
        self.storage.place()
    }

    /// Why they are nowhere.
    pub fn why_off(&self) -> Option<&str> {
        self.why_off.as_deref()
    }

    /// What it did so far.
    pub fn statistics(&self) -> &TrunkStatistics {
        &self.statistics
    }

    /// The state of some examples as a batch, one after the other; `None` unless all of them are there.
    pub fn get(&self, examples: &[usize], device: &Device) -> Option<TrunkState> {
        if self.place() == TrunkPlace::Off || !examples.iter().all(|&example| self.present[example]) {
            return None;
        }
        let (width, device) = (self.layout.width, device.clone().without_autodiff());
        let rows = || examples.iter().map(|&example| self.layout.rows[example]);
        let (of_hidden, of_encoded): (usize, usize) =
            rows().fold((0, 0), |sum, rows| (sum.0 + rows.hidden, sum.1 + rows.encoded));
        let mut hidden = Vec::with_capacity(of_hidden * width);
        let mut encoded = Vec::with_capacity(of_encoded * width);
        for &example in examples {
            let values = self.storage.read(self.places.range(example));
            let (first, second) = values.split_at(self.layout.rows[example].hidden * width);
            hidden.extend_from_slice(first);
            encoded.extend_from_slice(second);
        }
        let tensor = |values, rows: usize| Tensor::from_data(TensorData::new(values, [rows, width]), &device);
        let lengths: Vec<usize> = rows().map(|rows| rows.encoded).collect();
        let encoded = (of_encoded > 0)
            .then(|| Encoded::new(tensor(encoded, of_encoded), Sequences::of_lengths(&lengths)));
        Some(TrunkState { depth: self.layout.depth, hidden: tensor(hidden, of_hidden), encoded })
    }

    /// Keeps the state of a batch of examples. A disk that is full turns the cache off.
    ///
    /// # Panics
    /// When the state has other sizes than the layout says.
    pub fn put(&mut self, examples: &[usize], state: &TrunkState) {
        self.put_numbers(examples, numbers(state));
    }

    fn put_numbers(&mut self, examples: &[usize], [hidden, encoded]: [Vec<f32>; 2]) {
        let width = self.layout.width;
        let (mut hidden_at, mut encoded_at) = (0, 0);
        for &example in examples {
            let rows = self.layout.rows[example];
            let first = next(&mut hidden_at, rows.hidden * width);
            let second = next(&mut encoded_at, rows.encoded * width);
            let start = self.places.range(example).start;
            let written = self
                .storage
                .write(start, &hidden[first.clone()])
                .and_then(|()| self.storage.write(start + first.len(), &encoded[second]));
            if let Err(error) = written {
                (self.storage, self.why_off) = (Storage::Off, Some(error.to_string()));
                return;
            }
            self.present[example] = true;
        }
        assert_eq!((hidden_at, encoded_at), (hidden.len(), encoded.len()), "a state of other examples");
    }

    /// The state of a batch of examples: as kept, else computed and kept.
    ///
    /// The first kept ones are compared with fresh ones: a parameter that should be frozen but is not, or
    /// dropout in a frozen layer, must not go unnoticed.
    ///
    /// # Errors
    /// [`FreezeError::StaleTrunk`] when they differ.
    pub fn state(
        &mut self,
        examples: &[usize],
        device: &Device,
        compute: impl FnOnce() -> TrunkState,
    ) -> Result<TrunkState, FreezeError> {
        let started = Instant::now();
        let Some(kept) = self.get(examples, device) else {
            let state = compute();
            let values = numbers(&state);
            self.statistics.missed(examples.len(), started.elapsed());
            let started = Instant::now();
            self.put_numbers(examples, values);
            self.statistics.storing_seconds += started.elapsed().as_secs_f64();
            return Ok(state);
        };
        self.statistics.hit(examples.len(), started.elapsed());
        if self.unchecked > 0 {
            self.unchecked -= 1;
            self.check(&kept, compute)?;
        }
        Ok(kept)
    }

    fn check(&mut self, kept: &TrunkState, compute: impl FnOnce() -> TrunkState) -> Result<(), FreezeError> {
        let started = Instant::now();
        let difference = difference(kept, &compute());
        self.statistics.checked(difference, started.elapsed());
        let tolerance = tolerance(self.layout.precision);
        if difference > tolerance {
            return Err(FreezeError::StaleTrunk { depth: self.layout.depth, difference, tolerance });
        }
        Ok(())
    }
}

fn next(at: &mut usize, len: usize) -> Range<usize> {
    let start = *at;
    *at += len;
    start..*at
}

/// A state's values on the host: the hidden state, the encoder's output.
fn numbers(state: &TrunkState) -> [Vec<f32>; 2] {
    let host = |tensor: &Tensor<2>| tensor.clone().into_data().iter::<f32>().collect();
    [host(&state.hidden), state.encoded.as_ref().map(|encoded| host(&encoded.hidden)).unwrap_or_default()]
}

/// The largest difference of two states, relative to the largest value or 1.
fn difference(kept: &TrunkState, fresh: &TrunkState) -> f64 {
    let parts = numbers(kept).into_iter().zip(numbers(fresh));
    parts.fold(0.0, |most, (kept, fresh)| most.max(difference_of_parts(&kept, &fresh)))
}

fn difference_of_parts(kept: &[f32], fresh: &[f32]) -> f64 {
    if kept.len() != fresh.len() {
        return f64::INFINITY;
    }
    let largest = fresh.iter().fold(1.0_f64, |most, &value| most.max(f64::from(value.abs())));
    let differences = kept.iter().zip(fresh).map(|(kept, fresh)| f64::from((kept - fresh).abs()));
    // A NaN must not hide behind max, which ignores it.
    differences.fold(0.0, |most, next| if next.is_nan() { f64::INFINITY } else { most.max(next) }) / largest
}
