//! Lookup of rows.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
#[cfg(feature = "gpu")]
use burn::backend::{fusion::custom::TensorSpec, ops::IntTensorOps};
#[cfg(feature = "gpu")]
use burn::tensor::DType;
use burn::tensor::{Shape, Tensor, TensorData};

use crate::RowIndex;
use crate::autodiff::record;
use crate::backend::is_fused;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::row_index::FAN;
#[cfg(feature = "gpu")]
use crate::row_index::Segments;

/// The rows of a matrix with the given numbers.
///
/// # Shapes
/// - table: `[entries, width]`, rows: `[rows]`; output: `[rows, width]`
///
/// # Panics
/// When a number is not below `entries`.
pub fn look_up(table: Tensor<2>, rows: &RowIndex) -> Tensor<2> {
    if is_fused(&table) { table.select(0, rows.tensor()) } else { composed(table, rows) }
}

/// [`look_up`].
///
/// # Shapes
/// As [`look_up`].
pub fn composed(table: Tensor<2>, rows: &RowIndex) -> Tensor<2> {
    if rows.is_empty() {
        return table.select(0, rows.tensor());
    }
    let tensor = rows.tensor().into_dispatch();
    Tensor::from_dispatch(Dispatch::look_up_rows(table.into_dispatch(), tensor, rows.clone()))
}

/// Lookups whose backward pass is made of lookups and sums.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait LookUpOps: Backend {
    fn look_up_rows(table: FloatTensor<Self>, rows: IntTensor<Self>, index: RowIndex) -> FloatTensor<Self>;
}

fn select<B: Backend>(table: FloatTensor<B>, rows: IntTensor<B>) -> FloatTensor<B> {
    B::float_select(table, 0, rows)
}

#[cfg(feature = "flex")]
impl LookUpOps for burn::backend::Flex {
    fn look_up_rows(table: FloatTensor<Self>, rows: IntTensor<Self>, _: RowIndex) -> FloatTensor<Self> {
        select::<Self>(table, rows)
    }
}

#[cfg(feature = "ndarray")]
impl LookUpOps for burn::backend::NdArray {
    fn look_up_rows(table: FloatTensor<Self>, rows: IntTensor<Self>, _: RowIndex) -> FloatTensor<Self> {
        select::<Self>(table, rows)
    }
}

#[cfg(feature = "gpu")]
impl LookUpOps for burn::backend::Cube {
    fn look_up_rows(table: FloatTensor<Self>, rows: IntTensor<Self>, _: RowIndex) -> FloatTensor<Self> {
        select::<Self>(table, rows)
    }
}

/// Sums of the gradients of rows that were looked up.
pub(crate) trait RowSums: Backend {
    /// `[rows, width]` -> `[entries, width]`
    fn sums_of_rows(gradient: FloatTensor<Self>, index: &RowIndex, entries: usize) -> FloatTensor<Self> {
        sums_by_levels::<Self>(gradient, index, entries)
    }
}

#[cfg(feature = "flex")]
impl RowSums for burn::backend::Flex {}

#[cfg(feature = "ndarray")]
impl RowSums for burn::backend::NdArray {}

#[cfg(feature = "gpu")]
impl RowSums for burn::backend::Cube {
    fn sums_of_rows(gradient: FloatTensor<Self>, index: &RowIndex, entries: usize) -> FloatTensor<Self> {
        let Segments { order, bounds, entries } = index.segments(entries);
        let device = gradient.device();
        let list =
            |values: &[i32]| Self::int_from_data(TensorData::new(values.to_vec(), [values.len()]), &device);
        Self::segment_sums(gradient, list(&order), list(&bounds), list(&entries))
    }
}

/// The same in two launches, with a loop over few rows in each.
#[cfg(feature = "gpu")]
#[backend_extension(Cube, Fusion)]
pub(crate) trait SegmentKernels: Backend {
    #[fusion(meta = |gradient, _, _, entries| {
        TensorSpec::new([entries.shape[0] - 1, gradient.shape[1]].into(), gradient.dtype)
    })]
    fn segment_sums(
        gradient: FloatTensor<Self>,
        order: IntTensor<Self>,
        bounds: IntTensor<Self>,
        entries: IntTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "gpu")]
impl SegmentKernels for burn_cubecl::CubeBackend {
    fn segment_sums(
        gradient: FloatTensor<Self>,
        order: IntTensor<Self>,
        bounds: IntTensor<Self>,
        entries: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let dtype = gradient.dtype();
        let segments = gpu::sum_picked(gradient, bounds, Some(order), DType::F32);
        gpu::sum_picked(segments, entries, None, dtype)
    }
}

impl<B: LookUpOps + RowSums, C: CheckpointStrategy> LookUpOps for Autodiff<B, C> {
    fn look_up_rows(table: FloatTensor<Self>, rows: IntTensor<Self>, index: RowIndex) -> FloatTensor<Self> {
        let (table, node) = table.into_parts();
        let [entries, _] = table.shape().dims();
        record::<B, C, _, 1>(LookUpBackward, [node], (index, entries), select::<B>(table, rows))
    }
}

/// Parent: the table.
#[derive(Debug)]
struct LookUpBackward;

impl<B: RowSums> Backward<B, 1> for LookUpBackward {
    /// The rows, and the entries of the table.
    type State = (RowIndex, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [Some(parent)] = ops.parents else { return };
        let (index, entries) = ops.state;
        gradients.register::<B>(parent.id, B::sums_of_rows(gradient, &index, entries));
    }
}

fn sums_by_levels<B: Backend>(
    mut gradient: FloatTensor<B>,
    index: &RowIndex,
    entries: usize,
) -> FloatTensor<B> {
    let sums = index.gradient_sums(entries);
    let [_, width] = gradient.shape().dims();
    for level in sums.levels.iter() {
        let picked = with_zeros::<B>(gradient, &level.rows);
        // [groups * FAN, width] -> [groups, FAN, width] -> [groups, 1, width] -> [groups, width]
        let groups = B::float_reshape(picked, Shape::new([level.groups(), FAN, width]));
        gradient = B::float_reshape(B::float_sum_dim(groups, 1), Shape::new([level.groups(), width]));
    }
    with_zeros::<B>(gradient, &sums.last)
}

/// The rows with the given numbers; zeros for the number after the last row.
///
/// # Shapes
/// - x: `[rows, width]`; output: `[picked, width]`
fn with_zeros<B: Backend>(x: FloatTensor<B>, picked: &[i32]) -> FloatTensor<B> {
    let ([rows, _], device, dtype) = (x.shape().dims::<2>(), x.device(), x.dtype());
    let places: Vec<i32> = picked.iter().map(|&row| row.min(rows as i32 - 1)).collect();
    let places = B::int_from_data(TensorData::new(places, [picked.len()]), &device);
    let found = B::float_select(x, 0, places);
    if picked.iter().all(|&row| row < rows as i32) {
        return found;
    }
    // A factor is fused with the lookup; a row of zeros after the others would cost a copy of them all.
    let is_there = picked.iter().map(|&row| if row < rows as i32 { 1.0_f32 } else { 0.0 }).collect();
    let is_there = B::float_from_data(TensorData::new::<f32, _>(is_there, [picked.len(), 1]), &device);
    B::float_mul(found, B::float_cast(is_there, dtype.into()))
}
