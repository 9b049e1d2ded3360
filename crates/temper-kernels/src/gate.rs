//! The gate of gated feed-forward layers.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, has_gpu_kernels, is_fused};
use crate::cpu::{self, buffer, gate_backward};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::{Activation, composed};

/// `activation(gate) * up`, element by element (Shazeer 2020, arXiv 2002.05202).
///
/// # Shapes
/// - gate, up and output: `[rows, width]`, the output of the inputs' type
pub fn gate(gate: Tensor<2>, up: Tensor<2>, activation: Activation) -> Tensor<2> {
    let is_served = is_fused(&gate) || has_gpu_kernels(&gate);
    if !is_served {
        return composed::gate(gate, up, activation);
    }
    Tensor::from_dispatch(Dispatch::fused_gate(gate.into_dispatch(), up.into_dispatch(), activation))
}

/// The two passes, as a backend has them.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub(crate) trait GateKernels: Backend {
    #[fusion(meta = |gate, _, _| gate.clone())]
    fn gate_forward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The gradients of gate and up.
    #[fusion(meta = |gate, up, _, _| (gate.clone(), up.clone()))]
    fn gate_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl<B: CpuBackend> GateKernels for B {
    fn gate_forward(gate: FloatTensor<B>, up: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
        let (gates, ups) = (B::values(&gate), B::values(&up));
        let values = buffer(gates.len(), |out| cpu::gate(activation, &gates, &ups, out));
        B::tensor(values, gate.shape(), &gate.device())
    }

    fn gate_backward(
        gate: FloatTensor<B>,
        up: FloatTensor<B>,
        gradient: FloatTensor<B>,
        activation: Activation,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (gates, ups, gradient) = (B::values(&gate), B::values(&up), B::values(&gradient));
        let mut of_up = Vec::new();
        let of_gate = buffer(gates.len(), |of_gate| {
            of_up = buffer(gates.len(), |of_up| {
                gate_backward(activation, &gates, &ups, &gradient, of_gate, of_up);
            });
        });
        let tensor = |values| B::tensor(values, gate.shape(), &gate.device());
        (tensor(of_gate), tensor(of_up))
    }
}

#[cfg(feature = "gpu")]
impl GateKernels for burn_cubecl::CubeBackend {
    fn gate_forward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        gpu::gate(gate, up, activation)
    }

    fn gate_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [of_gate, of_up] = gpu::gate_backward([gate, up, gradient], activation);
        (of_gate, of_up)
    }
}

/// The gate as one operation, with a backward pass of its own.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait GateOps: Backend {
    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> GateOps for B {
    fn fused_gate(gate: FloatTensor<B>, up: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
        B::gate_forward(gate, up, activation)
    }
}

#[cfg(feature = "gpu")]
impl GateOps for burn::backend::Cube {
    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        Self::gate_forward(gate, up, activation)
    }
}

impl<B: GateKernels, C: CheckpointStrategy> GateOps for Autodiff<B, C> {
    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let [(gate, gate_node), (up, up_node)] = [gate, up].map(|tensor| tensor.into_parts());
        let output = B::gate_forward(gate.clone(), up.clone(), activation);
        record::<B, C, _, 2>(GateBackward, [gate_node, up_node], State { gate, up, activation }, output)
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend> {
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    activation: Activation,
}

/// Parents: gate, up.
#[derive(Debug)]
struct GateBackward;

impl<B: GateKernels> Backward<B, 2> for GateBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { gate, up, activation } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (of_gate, of_up) = B::gate_backward(gate, up, gradient, activation);
        for (parent, gradient) in ops.parents.into_iter().zip([of_gate, of_up]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
