//! Attention on GPUs as one operation: on tensor cores in tiles where these serve, else as a rectangle.

mod call;
mod kernels;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Device, Tensor};

use call::{Attended, Call, Kept, Operands};
use kernels::AttentionKernels;

use crate::Precision;
use crate::attention_call::Attention;
use crate::autodiff::record;
use crate::gpu::serves_head;
use crate::optional::Optional;

/// Whether these kernels compute such attention: they know no biases but ALiBi's, and no cap.
pub(crate) fn serves(attention: &Attention) -> bool {
    let pattern = &attention.pattern;
    pattern.relative.is_none() && !pattern.alibi_in_bfloat16 && pattern.soft_cap.is_none()
}

/// Whether the kernels for tensor cores do.
fn is_tiled(attention: &Attention, device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => {
            attention.precision == Precision::Bf16 && serves_head(&device.client(), attention.heads.head)
        }
        #[allow(unreachable_patterns)] // Which devices there are depends on Burn's features.
        _ => false,
    }
}

/// [`crate::attention()`].
///
/// # Shapes
/// As [`crate::attention()`].
pub(crate) fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    attention: &Attention,
) -> Tensor<2> {
    let layout = &attention.layout;
    if query.dims()[0] == 0 || layout.keys.rows() == 0 {
        return query.zeros_like();
    }
    let device = query.device();
    let [query_bounds, key_bounds, offsets] = layout.places.lists(layout, &device);
    let slopes = attention.pattern.alibi.as_ref().map(|slopes| layout.places.slopes(slopes, &device));
    let is_tiled = is_tiled(attention, &device);
    let call = Call::new(attention, is_tiled, [query.dtype(), key.dtype(), value.dtype()]);
    let operands = Operands {
        query: query.into_dispatch(),
        key: key.into_dispatch(),
        value: value.into_dispatch(),
        query_bounds: query_bounds.into_dispatch(),
        key_bounds: key_bounds.into_dispatch(),
        offsets: offsets.into_dispatch(),
        slopes: slopes.into(),
    };
    Tensor::from_dispatch(Dispatch::gpu_attention(operands, call))
}

/// Attention as one operation, with a backward pass of its own.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait AttentionOps: Backend {
    fn gpu_attention(#[extension_type] operands: Operands<Self>, call: Call) -> FloatTensor<Self>;
}

impl AttentionOps for burn::backend::Cube {
    fn gpu_attention(operands: Operands<Self>, call: Call) -> FloatTensor<Self> {
        Self::attention_forward(operands, call).output
    }
}

impl<B: AttentionKernels, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn gpu_attention(operands: Operands<Self>, call: Call) -> FloatTensor<Self> {
        let Operands { query, key, value, query_bounds, key_bounds, offsets, slopes } = operands;
        let [(query, query_node), (key, key_node), (value, value_node)] =
            [query, key, value].map(|tensor| tensor.into_parts());
        let slopes = Optional::of(slopes.into_option().map(|slopes| slopes.into_parts().0));
        let operands = Operands { query, key, value, query_bounds, key_bounds, offsets, slopes };
        let Attended { output, kept } = B::attention_forward(operands, call);
        let state = State { kept, call };
        record::<B, C, _, 3>(AttentionBackward, [query_node, key_node, value_node], state, output)
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend> {
    kept: Kept<B>,
    call: Call,
}

/// Parents: query, key, value.
#[derive(Debug)]
struct AttentionBackward;

impl<B: AttentionKernels> Backward<B, 3> for AttentionBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { kept, call } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (query, key, value) = B::attention_backward(gradient, kept, call);
        for (parent, gradient) in ops.parents.into_iter().zip([query, key, value]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
