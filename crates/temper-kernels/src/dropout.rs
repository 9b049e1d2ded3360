//! Dropout, alone or before a residual sum.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};
use crate::composed;
use crate::cpu::{self, Dropout};
use crate::extension::KernelOps;

/// `dropout(x)`, or `residual + dropout(x)`.
///
/// # Shapes
/// - x, residual and output: `[rows, width]`; `dropout(x)` alone is of the type of x, a sum is never bf16
pub fn dropout(x: Tensor<2>, residual: Option<Tensor<2>>, dropout: Dropout) -> Tensor<2> {
    if !is_fused(&x) {
        return composed::dropout(x, residual, dropout);
    }
    Tensor::from_dispatch(Dispatch::fused_dropout(x.into_dispatch(), residual.into(), dropout))
}

fn apply<B: CpuBackend>(
    x: &FloatTensor<B>,
    residual: Option<&FloatTensor<B>>,
    dropout: Dropout,
) -> FloatTensor<B> {
    let [_, width] = x.shape().dims();
    let values = match residual {
        Some(residual) => cpu::residual_dropout(&B::values(residual), &B::values(x), width, dropout),
        None => cpu::dropout(&B::values(x), width, dropout),
    };
    B::tensor(values, x.shape(), &x.device())
}

pub(crate) fn forward<B: CpuBackend>(
    x: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    dropout: Dropout,
) -> FloatTensor<B> {
    apply::<B>(&x, residual.as_ref(), dropout)
}

pub(crate) fn forward_tracked<B: CpuBackend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    residual: Option<FloatTensor<Autodiff<B, C>>>,
    dropout: Dropout,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, x_node) = x.into_parts();
    let (residual, residual_node) = residual.map(|residual| residual.into_parts()).unzip();
    let output = apply::<B>(&x, residual.as_ref(), dropout);
    match residual_node {
        Some(residual_node) => {
            record::<B, C, _, 2>(DropoutBackward, [x_node, residual_node], dropout, output)
        }
        None => record::<B, C, _, 1>(DropoutBackward, [x_node], dropout, output),
    }
}

/// Parents: x, and the residual where there is one.
#[derive(Debug)]
struct DropoutBackward;

impl<B: CpuBackend, const N: usize> Backward<B, N> for DropoutBackward {
    type State = Dropout;

    fn backward(self, ops: Ops<Dropout, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        for (index, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let gradient = match index {
                0 => apply::<B>(&gradient, None, ops.state),
                _ => gradient.clone(),
            };
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
