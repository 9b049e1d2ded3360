//! The gate of gated feed-forward layers.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};
use crate::cpu::{self, buffer, gate_backward};
use crate::extension::KernelOps;
use crate::{Activation, composed};

/// `activation(gate) * up`, element by element (Shazeer 2020, arXiv 2002.05202).
///
/// # Shapes
/// - gate, up and output: `[rows, width]`, the output of the inputs' type
pub fn gate(gate: Tensor<2>, up: Tensor<2>, activation: Activation) -> Tensor<2> {
    if !is_fused(&gate) {
        return composed::gate(gate, up, activation);
    }
    Tensor::from_dispatch(Dispatch::fused_gate(gate.into_dispatch(), up.into_dispatch(), activation))
}

pub(crate) fn forward<B: CpuBackend>(
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let (gates, ups) = (B::values(&gate), B::values(&up));
    let values = buffer(gates.len(), |out| cpu::gate(activation, &gates, &ups, out));
    B::tensor(values, gate.shape(), &gate.device())
}

pub(crate) fn forward_tracked<B: CpuBackend, C: CheckpointStrategy>(
    gate: FloatTensor<Autodiff<B, C>>,
    up: FloatTensor<Autodiff<B, C>>,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>> {
    let [(gate, gate_node), (up, up_node)] = [gate, up].map(|tensor| tensor.into_parts());
    let output = forward::<B>(gate.clone(), up.clone(), activation);
    record::<B, C, _, 2>(GateBackward, [gate_node, up_node], State { gate, up, activation }, output)
}

#[derive(Clone, Debug)]
struct State<B: CpuBackend> {
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    activation: Activation,
}

/// Parents: gate, up.
#[derive(Debug)]
struct GateBackward;

impl<B: CpuBackend> Backward<B, 2> for GateBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { gate, up, activation } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (gates, ups, gradient) = (B::values(&gate), B::values(&up), B::values(&gradient));
        let mut of_up = Vec::new();
        let of_gate = buffer(gates.len(), |of_gate| {
            of_up = buffer(gates.len(), |of_up| {
                gate_backward(activation, &gates, &ups, &gradient, of_gate, of_up);
            });
        });
        for (parent, values) in ops.parents.into_iter().zip([of_gate, of_up]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, B::tensor(values, gate.shape(), &gate.device()));
            }
        }
    }
}
