//! Attention on GPUs: sequences as a rectangle, products of batches, and one kernel for everything between them.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, backend_extension};
use burn::tensor::{DType, Shape, Tensor};

use crate::attention_call::Attention;
use crate::autodiff::record;
use crate::composed::rectangle_rows;
use crate::gpu::{self, Layout, Sight};
use crate::optional::Optional;
use crate::{Precision, Sequences};

/// Whether these kernels compute such attention: they know no biases but ALiBi's.
pub(crate) fn serves(attention: &Attention) -> bool {
    let pattern = &attention.pattern;
    pattern.relative.is_none() && !pattern.alibi_in_bfloat16
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
    let call = Call::new(attention, [query.dtype(), key.dtype(), value.dtype()]);
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

/// What the passes have to know, but for tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    sight: Sight,
    precision: Precision,
    queries: Layout,
    keys: Layout,
    /// Types of query, key and value, and so of their gradients.
    dtypes: [DType; 3],
}

impl Call {
    fn new(attention: &Attention, dtypes: [DType; 3]) -> Self {
        let Attention { heads, pattern, layout, dropout, precision } = attention;
        let place = |sequences: &Sequences, group: usize| Layout {
            sequences: sequences.count(),
            rows: rectangle_rows(sequences.longest()),
            packed: sequences.rows(),
            heads: heads.query_heads,
            group,
            head: heads.head,
        };
        Self {
            sight: Sight {
                causal: pattern.causal,
                window: pattern.window,
                scale: pattern.scale,
                dropout: *dropout,
                packed: layout.queries.rows(),
            },
            precision: *precision,
            queries: place(&layout.queries, 1),
            keys: place(&layout.keys, heads.query_heads / heads.key_heads),
            dtypes,
        }
    }

    /// What products give.
    fn dtype(&self) -> DType {
        if self.precision == Precision::Bf16 { DType::BF16 } else { DType::F32 }
    }

    fn output(&self) -> TensorSpec {
        let Layout { packed, heads, head, .. } = self.queries;
        TensorSpec::new([packed, heads * head].into(), self.dtype())
    }

    fn rectangle(&self, layout: Layout) -> TensorSpec {
        let Layout { sequences, rows, heads, head, .. } = layout;
        TensorSpec::new(Shape::new([sequences, heads, rows, head]), self.dtype())
    }

    fn shares(&self) -> TensorSpec {
        let Layout { sequences, rows, heads, .. } = self.queries;
        TensorSpec::new(Shape::new([sequences, heads, rows, self.keys.rows]), self.dtype())
    }
}

/// What attention reads.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Operands<B: Backend> {
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    query_bounds: IntTensor<B>,
    key_bounds: IntTensor<B>,
    offsets: IntTensor<B>,
    #[extension_type]
    slopes: Optional<B>,
}

/// What the backward pass reads of the forward pass.
#[derive(ExtensionType, Clone, Debug)]
#[extension_type(fusion)]
pub(crate) struct Kept<B: Backend> {
    /// Shares of the keys before dropout, `[sequences, heads, queries, keys]`
    shares: FloatTensor<B>,
    /// `[sequences, heads, queries, head]`
    query: FloatTensor<B>,
    /// `[sequences, heads, keys, head]`
    key: FloatTensor<B>,
    /// `[sequences, heads, keys, head]`
    value: FloatTensor<B>,
    query_bounds: IntTensor<B>,
    key_bounds: IntTensor<B>,
}

/// The output and what is kept.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Attended<B: Backend> {
    output: FloatTensor<B>,
    #[extension_type]
    kept: Kept<B>,
}

/// The two passes.
#[backend_extension(Cube, Fusion)]
pub(crate) trait AttentionKernels: Backend {
    #[fusion(meta = |operands, call| attended_specs(operands, call))]
    fn attention_forward(#[extension_type] operands: Operands<Self>, call: Call) -> Attended<Self>;

    /// The gradients of query, key and value.
    #[fusion(meta = |_, _, call| gradient_specs(call))]
    fn attention_backward(
        gradient: FloatTensor<Self>,
        #[extension_type] kept: Kept<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn attended_specs(operands: &OperandsMetadata, call: &Call) -> AttendedMetadata {
    let kept = KeptMetadata {
        shares: call.shares(),
        query: call.rectangle(call.queries),
        key: call.rectangle(call.keys),
        value: call.rectangle(call.keys),
        query_bounds: operands.query_bounds.clone(),
        key_bounds: operands.key_bounds.clone(),
    };
    AttendedMetadata { output: call.output(), kept }
}

fn gradient_specs(call: &Call) -> (TensorSpec, TensorSpec, TensorSpec) {
    let spec = |layout: Layout, dtype| {
        TensorSpec::new([layout.packed, layout.heads / layout.group * layout.head].into(), dtype)
    };
    let [of_query, of_key, of_value] = call.dtypes;
    (spec(call.queries, of_query), spec(call.keys, of_key), spec(call.keys, of_value))
}

impl AttentionKernels for burn_cubecl::CubeBackend {
    fn attention_forward(operands: Operands<Self>, call: Call) -> Attended<Self> {
        let Operands { query, key, value, query_bounds, key_bounds, offsets, slopes } = operands;
        let Call { sight, precision, queries, keys, .. } = call;
        let dtype = call.dtype();
        let query = gpu::spread(query, query_bounds.clone(), queries, dtype);
        let [key, value] = [key, value].map(|x| gpu::spread(x, key_bounds.clone(), keys, dtype));
        // [.., queries, head], [.., head, keys] -> [.., queries, keys]
        let scores = gpu::product(query.clone(), gpu::transposed(key.clone()), precision, dtype);
        let lists = [query_bounds.clone(), key_bounds.clone(), offsets];
        let [shares, dropped] = gpu::softmax(scores, lists, slopes.into_option(), sight);
        // [.., queries, keys], [.., keys, head] -> [.., queries, head]
        let mixed = gpu::product(dropped, value.clone(), precision, dtype);
        let output = gpu::gather(mixed, query_bounds.clone(), queries, dtype);
        Attended { output, kept: Kept { shares, query, key, value, query_bounds, key_bounds } }
    }

    fn attention_backward(
        gradient: FloatTensor<Self>,
        kept: Kept<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let Kept { shares, query, key, value, query_bounds, key_bounds } = kept;
        let Call { sight, precision, queries, keys, dtypes: [of_query, of_key, of_value] } = call;
        let product = |left, right| gpu::product(left, right, precision, call.dtype());
        let gradient = gpu::spread(gradient, query_bounds.clone(), queries, call.dtype());
        // [.., queries, head], [.., head, keys] -> [.., queries, keys]
        let of_dropped = product(gradient.clone(), gpu::transposed(value));
        let [of_scores, dropped] = gpu::softmax_backward(shares, of_dropped, query_bounds.clone(), sight);
        // [.., keys, queries], [.., queries, head] -> [.., keys, head]
        let value = product(gpu::transposed(dropped), gradient);
        let query_gradient = product(of_scores.clone(), key);
        let key = product(gpu::transposed(of_scores), query);
        (
            gpu::gather(query_gradient, query_bounds, queries, of_query),
            gpu::gather(key, key_bounds.clone(), keys, of_key),
            gpu::gather(value, key_bounds, keys, of_value),
        )
    }
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
