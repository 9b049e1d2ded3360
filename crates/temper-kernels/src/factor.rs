//! A tensor in the type in which products read it.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
#[cfg(feature = "gpu")]
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, FloatDType, Tensor};

use crate::Precision;
use crate::autodiff::record;
use crate::backend::{CpuBackend, has_kernels};

/// The same values for products in a precision: rounded to bfloat16 for [`Precision::Bf16`], so that several linear maps
/// round them once, and keep what their backward passes read once and in half the memory. On a GPU the gradients of such
/// maps are bf16, too, as under PyTorch's autocast.
///
/// # Shapes
/// - x and output: `[rows, width]`
pub fn as_factor(x: Tensor<2>, precision: Precision) -> Tensor<2> {
    if precision != Precision::Bf16 || !has_kernels(&x) {
        return x;
    }
    Tensor::from_dispatch(Dispatch::rounded_to_bfloat16(x.into_dispatch()))
}

/// Rounding, with a backward pass that leaves the gradient's values as they are.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait FactorOps: Backend {
    fn rounded_to_bfloat16(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> FactorOps for B {
    fn rounded_to_bfloat16(x: FloatTensor<B>) -> FloatTensor<B> {
        B::in_bfloat16(x)
    }
}

#[cfg(feature = "gpu")]
impl FactorOps for burn::backend::Cube {
    fn rounded_to_bfloat16(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_cast(x, FloatDType::BF16)
    }
}

impl<B: FactorOps, C: CheckpointStrategy> FactorOps for Autodiff<B, C> {
    fn rounded_to_bfloat16(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<B, C, _, 1>(FactorBackward, [node], (), B::rounded_to_bfloat16(x))
    }
}

#[derive(Debug)]
struct FactorBackward;

impl<B: Backend> Backward<B, 1> for FactorBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let mut gradient = gradients.consume::<B>(&ops.node);
        if gradient.dtype() != DType::F32 {
            gradient = B::float_cast(gradient, FloatDType::F32);
        }
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
