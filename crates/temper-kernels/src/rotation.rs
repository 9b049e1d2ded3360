//! Rotary positions.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, has_gpu_kernels, is_fused};
use crate::composed;
use crate::cpu::{self, Turn};
#[cfg(feature = "gpu")]
use crate::gpu;

/// Turns every head of every row by angles whose cosines and sines are given: number `i` of a head together with number
/// `i + pairs`, as GPT-NeoX and LLaMA do (Su et al. 2021, arXiv 2104.09864). What is behind `2 pairs` stays.
///
/// # Shapes
/// - x and output: `[rows, heads * head]`, the output of the type of x; cosine and sine: `[rows, pairs]`, without
///   gradients
pub fn rotate(x: Tensor<2>, cosine: &Tensor<2>, sine: &Tensor<2>, head: usize) -> Tensor<2> {
    let is_served = is_fused(&x) || has_gpu_kernels(&x);
    if !is_served {
        return composed::rotate(x, cosine, sine, head);
    }
    let [_, width] = x.dims();
    let [cosine, sine] = [cosine, sine].map(|table| table.clone().into_dispatch());
    let turn = Turn { width, head, is_backwards: false };
    Tensor::from_dispatch(Dispatch::fused_rotation(x.into_dispatch(), cosine, sine, turn))
}

/// The pass, as a backend has it; the backward pass turns back.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub(crate) trait RotationKernels: Backend {
    #[fusion(meta = |x, _, _, _| x.clone())]
    fn rotation(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        turn: Turn,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> RotationKernels for B {
    fn rotation(
        x: FloatTensor<B>,
        cosine: FloatTensor<B>,
        sine: FloatTensor<B>,
        turn: Turn,
    ) -> FloatTensor<B> {
        let (shape, device) = (x.shape(), x.device());
        let mut values = B::into_values(x);
        cpu::rotate(&mut values, &B::values(&cosine), &B::values(&sine), turn);
        B::tensor(values, shape, &device)
    }
}

#[cfg(feature = "gpu")]
impl RotationKernels for burn_cubecl::CubeBackend {
    fn rotation(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        turn: Turn,
    ) -> FloatTensor<Self> {
        gpu::rotate(x, cosine, sine, turn)
    }
}

/// The rotation as one operation, with a backward pass of its own.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait RotationOps: Backend {
    fn fused_rotation(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        turn: Turn,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> RotationOps for B {
    fn fused_rotation(
        x: FloatTensor<B>,
        cosine: FloatTensor<B>,
        sine: FloatTensor<B>,
        turn: Turn,
    ) -> FloatTensor<B> {
        B::rotation(x, cosine, sine, turn)
    }
}

#[cfg(feature = "gpu")]
impl RotationOps for burn::backend::Cube {
    fn fused_rotation(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        turn: Turn,
    ) -> FloatTensor<Self> {
        Self::rotation(x, cosine, sine, turn)
    }
}

impl<B: RotationKernels, C: CheckpointStrategy> RotationOps for Autodiff<B, C> {
    fn fused_rotation(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        turn: Turn,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let [cosine, sine] = [cosine, sine].map(|table| table.into_parts().0);
        let output = B::rotation(x, cosine.clone(), sine.clone(), turn);
        record::<B, C, _, 1>(RotationBackward, [node], State { cosine, sine, turn }, output)
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend> {
    /// `[rows, pairs]`, as the next
    cosine: FloatTensor<B>,
    sine: FloatTensor<B>,
    turn: Turn,
}

/// Parent: x.
#[derive(Debug)]
struct RotationBackward;

impl<B: RotationKernels> Backward<B, 1> for RotationBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { cosine, sine, turn } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            let turn = Turn { is_backwards: true, ..turn };
            gradients.register::<B>(parent.id, B::rotation(gradient, cosine, sine, turn));
        }
    }
}
