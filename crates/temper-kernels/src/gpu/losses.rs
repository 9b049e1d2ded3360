//! Cross-entropy and its gradient by logits: a cube of units has a row of logits.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{UNITS, cubes, integers, vector_size};
use super::reduce::sum_over_cube;

/// Below every logit: where a row begins to look for its largest.
const LOWEST: f32 = -1e30;

/// What a kernel does, known when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    /// The gradient takes the place of the logits.
    writes_gradient: bool,
    caps: bool,
    units: usize,
}

/// What the units of a cube have found of their row together.
#[derive(CubeType, Clone, Copy)]
struct Row {
    largest: f32,
    /// Of `exp(logit - largest)`.
    exponentials: f32,
    /// Of the logits.
    sum: f32,
    /// The target's logit.
    wanted: f32,
}

#[cube(launch)]
fn losses_kernel<T: Float, N: Size>(
    logits: &mut Tensor<Vector<T, N>>,
    targets: &Tensor<i32>,
    scores: &mut Tensor<f32>,
    first: u32,
    rows: u32,
    vocab: u32,
    width: u32,
    smoothing: f32,
    cap: f32,
    #[comptime] form: Form,
    #[define(T)] _dtype: ElemType,
) {
    let row = first as usize + CUBE_POS;
    let target = targets[row];
    let start = CUBE_POS * width as usize;
    let found = over_row::<T, N>(logits, start, target, vocab, width, cap, form);
    let vocab_size = f32::cast_from(vocab);
    let log_sum = found.largest + found.exponentials.ln();
    // 0 where there is no target.
    let counts = select(target < 0, 0.0f32, 1.0f32);
    let mut better = 0.0f32;
    for place in range_stepped(UNIT_POS as usize, width as usize, form.units) {
        let x = capped::<T, N>(logits[start + place], cap, form);
        let mut gradient = (x - Vector::new(log_sum)).exp();
        #[unroll]
        for index in 0..N::value() {
            let id = (place * N::value() + index) as i32;
            let logit = x.extract(index);
            let is_known = id < vocab as i32;
            // Of equal logits the first is the best.
            let is_better = logit > found.wanted || (logit == found.wanted && id < target);
            better += select(is_known && is_better, 1.0f32, 0.0f32);
            let even = smoothing / vocab_size;
            let share = select(id == target, 1.0f32 - smoothing, 0.0f32) + even;
            let slope = (gradient.extract(index) - share) * counts;
            gradient.insert(index, select(is_known, slope, 0.0f32));
        }
        if comptime!(form.caps) {
            // cap tanh(x / cap) has the slope 1 - tanh(x / cap)².
            let share = x / Vector::new(cap);
            gradient *= Vector::new(1.0f32) - share * share;
        }
        if comptime!(form.writes_gradient) {
            logits[start + place] = Vector::cast_from(gradient);
        }
    }
    let better = sum_over_cube(better, form.units);
    if UNIT_POS == 0 {
        let mean = found.sum / vocab_size;
        let expected = found.wanted * (1.0f32 - smoothing) + mean * smoothing;
        scores[row] = select(target < 0, 0.0f32, log_sum - expected);
        scores[rows as usize + row] = select(better > 0.0, 0.0f32, counts);
    }
}

/// Logits in f32, capped where there is a cap.
#[cube]
fn capped<T: Float, N: Size>(logits: Vector<T, N>, cap: f32, #[comptime] form: Form) -> Vector<f32, N> {
    let mut x = Vector::<f32, N>::cast_from(logits);
    if comptime!(form.caps) {
        x = (x / Vector::new(cap)).tanh() * Vector::new(cap);
    }
    x
}

/// What every unit has to know of the row.
#[cube]
fn over_row<T: Float, N: Size>(
    logits: &mut Tensor<Vector<T, N>>,
    start: usize,
    target: i32,
    vocab: u32,
    width: u32,
    cap: f32,
    #[comptime] form: Form,
) -> Row {
    let mut largest = LOWEST.runtime();
    let mut exponentials = 0.0f32;
    let mut sum = 0.0f32;
    let mut wanted = 0.0f32;
    for place in range_stepped(UNIT_POS as usize, width as usize, form.units) {
        let mut x = capped::<T, N>(logits[start + place], cap, form);
        let before = largest;
        #[unroll]
        for index in 0..N::value() {
            let id = (place * N::value() + index) as i32;
            let is_known = id < vocab as i32;
            let logit = x.extract(index);
            sum += select(is_known, logit, 0.0f32);
            wanted += select(id == target, logit, 0.0f32);
            x.insert(index, select(is_known, logit, LOWEST.runtime()));
            largest = max(largest, x.extract(index));
        }
        exponentials *= (before - largest).exp();
        let shares = (x - Vector::new(largest)).exp();
        #[unroll]
        for index in 0..N::value() {
            let id = (place * N::value() + index) as i32;
            exponentials += select(id < vocab as i32, shares.extract(index), 0.0f32);
        }
    }
    together(Row { largest, exponentials, sum, wanted }, form.units)
}

/// What all units of a cube have, for each of them; added up in an order that depends on nothing.
#[cube]
fn together(own: Row, #[comptime] units: usize) -> Row {
    let unit = UNIT_POS as usize;
    let mut largest = Shared::<[f32]>::new_slice(units);
    let mut exponentials = Shared::<[f32]>::new_slice(units);
    let mut sum = Shared::<[f32]>::new_slice(units);
    let mut wanted = Shared::<[f32]>::new_slice(units);
    largest[unit] = own.largest;
    exponentials[unit] = own.exponentials;
    sum[unit] = own.sum;
    wanted[unit] = own.wanted;
    #[unroll]
    for level in 1..comptime!(units.ilog2() + 1) {
        let half = units >> level as usize;
        sync_cube();
        if unit < half {
            let (left, right) = (largest[unit], largest[unit + half]);
            let larger = max(left, right);
            let of_left = exponentials[unit] * (left - larger).exp();
            exponentials[unit] = of_left + exponentials[unit + half] * (right - larger).exp();
            largest[unit] = larger;
            let (others, other) = (sum[unit + half], wanted[unit + half]);
            sum[unit] += others;
            wanted[unit] += other;
        }
    }
    sync_cube();
    Row { largest: largest[0], exponentials: exponentials[0], sum: sum[0], wanted: wanted[0] }
}

/// Rows of logits, and where their scores go.
pub(crate) struct Losses<'a> {
    /// `[rows of all blocks]`; negative where there is none
    pub(crate) targets: &'a CubeTensor,
    /// `[2, rows of all blocks]`: the loss, and 1 where no logit is better than the target's
    pub(crate) scores: &'a CubeTensor,
    /// Columns of logits that are there; the others are padding.
    pub(crate) vocab: usize,
    pub(crate) smoothing: f32,
    pub(crate) soft_cap: Option<f32>,
}

impl Losses<'_> {
    /// The scores of a block of rows from the `first` on. If asked for, the gradient of the sum of losses takes the place
    /// of the logits, with zeros in the padding.
    ///
    /// # Shapes
    /// - logits: `[rows, padded vocabulary]`
    pub(crate) fn score(&self, logits: &CubeTensor, first: usize, writes_gradient: bool) {
        let [rows, width] = logits.shape().dims();
        let size = vector_size(logits, width);
        losses_kernel::launch(
            &logits.client,
            cubes(rows),
            CubeDim::new_1d(UNITS),
            size,
            logits.clone().into_tensor_arg(),
            integers(self.targets.clone()).into_tensor_arg(),
            self.scores.clone().into_tensor_arg(),
            first as u32,
            self.scores.shape().dims::<2>()[1] as u32,
            self.vocab as u32,
            (width / size) as u32,
            self.smoothing,
            self.soft_cap.unwrap_or(1.0),
            Form { writes_gradient, caps: self.soft_cap.is_some(), units: UNITS as usize },
            dtype_to_elem_type(logits.dtype),
        );
    }
}
