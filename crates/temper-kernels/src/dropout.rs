//! Dropout, alone or before a residual sum.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
#[cfg(feature = "gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};

use crate::autodiff::record;
use crate::backend::{CpuBackend, has_gpu_kernels, is_fused};
use crate::composed;
use crate::cpu::{self, Dropout};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::optional::Optional;

/// `dropout(x)`, or `residual + dropout(x)`.
///
/// # Shapes
/// - x, residual and output: `[rows, width]`; `dropout(x)` alone is of the type of x, a sum is never bf16
pub fn dropout(x: Tensor<2>, residual: Option<Tensor<2>>, dropout: Dropout) -> Tensor<2> {
    let is_served = is_fused(&x) || has_gpu_kernels(&x);
    if !is_served {
        return composed::dropout(x, residual, dropout);
    }
    Tensor::from_dispatch(Dispatch::fused_dropout(x.into_dispatch(), residual.into(), dropout))
}

/// The operation, as a backend has it: it is its own backward pass.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub(crate) trait DropoutKernels: Backend {
    /// `dropout(x)`, or `residual + dropout(x)`, in the given type.
    #[fusion(meta = |x, _, _, dtype| TensorSpec::new(x.shape.clone(), *dtype))]
    fn drop_out(
        x: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        dropout: Dropout,
        dtype: DType,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> DropoutKernels for B {
    fn drop_out(x: FloatTensor<B>, residual: Optional<B>, dropout: Dropout, _: DType) -> FloatTensor<B> {
        let [_, width] = x.shape().dims();
        let values = match residual.into_option() {
            Some(residual) => cpu::residual_dropout(&B::values(&residual), &B::values(&x), width, dropout),
            None => cpu::dropout(&B::values(&x), width, dropout),
        };
        B::tensor(values, x.shape(), &x.device())
    }
}

#[cfg(feature = "gpu")]
impl DropoutKernels for burn_cubecl::CubeBackend {
    fn drop_out(
        x: FloatTensor<Self>,
        residual: Optional<Self>,
        dropout: Dropout,
        dtype: DType,
    ) -> FloatTensor<Self> {
        gpu::dropout(x, residual.into_option(), dropout, dtype)
    }
}

/// Dropout as one operation, with a backward pass of its own.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait DropoutOps: Backend {
    fn fused_dropout(
        x: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        dropout: Dropout,
    ) -> FloatTensor<Self>;
}

/// The type of the output: that of x, but a sum is never bfloat16.
fn output_dtype(x: DType, has_residual: bool) -> DType {
    if has_residual { DType::F32 } else { x }
}

fn forward<B: DropoutKernels>(
    x: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    dropout: Dropout,
) -> FloatTensor<B> {
    let dtype = output_dtype(x.dtype(), residual.is_some());
    B::drop_out(x, Optional::of(residual), dropout, dtype)
}

impl<B: CpuBackend> DropoutOps for B {
    fn fused_dropout(x: FloatTensor<B>, residual: Optional<B>, dropout: Dropout) -> FloatTensor<B> {
        forward::<B>(x, residual.into_option(), dropout)
    }
}

#[cfg(feature = "gpu")]
impl DropoutOps for burn::backend::Cube {
    fn fused_dropout(x: FloatTensor<Self>, residual: Optional<Self>, dropout: Dropout) -> FloatTensor<Self> {
        forward::<Self>(x, residual.into_option(), dropout)
    }
}

impl<B: DropoutKernels, C: CheckpointStrategy> DropoutOps for Autodiff<B, C> {
    fn fused_dropout(x: FloatTensor<Self>, residual: Optional<Self>, dropout: Dropout) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (residual, residual_node) = residual.into_option().map(|residual| residual.into_parts()).unzip();
        let state = (dropout, x.dtype());
        let output = forward::<B>(x, residual, dropout);
        match residual_node {
            Some(residual_node) => {
                record::<B, C, _, 2>(DropoutBackward, [x_node, residual_node], state, output)
            }
            None => record::<B, C, _, 1>(DropoutBackward, [x_node], state, output),
        }
    }
}

/// Parents: x, and the residual where there is one.
#[derive(Debug)]
struct DropoutBackward;

impl<B: DropoutKernels, const N: usize> Backward<B, N> for DropoutBackward {
    /// And the type of x.
    type State = (Dropout, DType);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (dropout, x_dtype) = ops.state;
        for (index, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let gradient = match index {
                0 => B::drop_out(gradient.clone(), Optional::Absent, dropout, x_dtype),
                _ => gradient.clone(),
            };
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
