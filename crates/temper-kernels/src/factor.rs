//! A tensor in the type in which products read it.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::Precision;
use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};

/// The same values for products in a precision. On a CPU they are rounded to bfloat16 for [`Precision::Bf16`], so that what
/// the backward passes of several linear maps read is kept once and in half the memory. Elsewhere nothing changes.
///
/// # Shapes
/// - x and output: `[rows, width]`
pub fn as_factor(x: Tensor<2>, precision: Precision) -> Tensor<2> {
    if precision != Precision::Bf16 || !is_fused(&x) {
        return x;
    }
    Tensor::from_dispatch(Dispatch::rounded_to_bfloat16(x.into_dispatch()))
}

/// Rounding, with a backward pass that leaves the gradient as it is.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait FactorOps: Backend {
    fn rounded_to_bfloat16(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> FactorOps for B {
    fn rounded_to_bfloat16(x: FloatTensor<B>) -> FloatTensor<B> {
        B::in_bfloat16(x)
    }
}

impl<B: CpuBackend, C: CheckpointStrategy> FactorOps for Autodiff<B, C> {
    fn rounded_to_bfloat16(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<B, C, _, 1>(FactorBackward, [node], (), B::in_bfloat16(x))
    }
}

#[derive(Debug)]
struct FactorBackward;

impl<B: CpuBackend> Backward<B, 1> for FactorBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
