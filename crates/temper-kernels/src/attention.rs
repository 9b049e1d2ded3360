//! Scaled dot-product attention on packed sequences.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::attention_call::Attention;
use crate::autodiff::record;
use crate::backend::CpuBackend;
use crate::composed;
use crate::cpu::{
    AttentionGradients, AttentionInputs, AttentionOutput, AttentionResult, RelativeGradients, RelativeScores,
    attention_backward, attention_forward,
};
use crate::factor::as_factor;
use crate::optional::Optional;
use crate::{Precision, RelativeTerms};
#[cfg(feature = "gpu")]
use crate::{backend::has_gpu_kernels, gpu_attention};

/// `dropout(softmax(scale query keyᵀ + biases)) value` for every head and sequence
/// (Vaswani et al. 2017). A query that sees no key gives zeros.
///
/// # Shapes
/// - query: `[query rows, query_heads * head]`; key, value: `[key rows, key_heads * head]`
/// - relative: as [`RelativeTerms`] says, there if and only if the pattern has relative buckets
/// - output: `[query rows, query_heads * head]`, bf16 for [`Precision::Bf16`] on a GPU
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    relative: Option<RelativeTerms>,
    attention: Attention,
) -> Tensor<2> {
    let sees_all_alike = !attention.pattern.depends_on_position();
    assert!(sees_all_alike || !attention.layout.is_scattered, "scattered queries have no position");
    #[cfg(feature = "gpu")]
    if has_gpu_kernels(&query) && gpu_attention::serves(&attention) {
        return gpu_attention::attention(query, key, value, &attention);
    }
    if !attention.precision.is_fused(&query) {
        return composed::attention(query, key, value, relative, &attention);
    }
    // Where products round their factors, the backward pass needs the rounded ones only.
    let [query, key, value] = [query, key, value].map(|tensor| as_factor(tensor, attention.precision));
    let (relative, of_keys) = match relative {
        None => (None, None),
        Some(RelativeTerms::Table(table)) => (Some(table), None),
        Some(RelativeTerms::Rows { of_queries, of_keys }) => (Some(of_queries), Some(of_keys)),
    };
    Tensor::from_dispatch(Dispatch::fused_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        relative.into(),
        of_keys.into(),
        Arc::new(attention),
    ))
}

/// The tensors of one use; what the backward pass needs, too.
#[derive(Clone, Debug)]
struct Operands<B: CpuBackend> {
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    /// A table, or what the queries have for each bucket.
    relative: Option<FloatTensor<B>>,
    /// What the keys have for each bucket.
    of_keys: Option<FloatTensor<B>>,
    call: Arc<Attention>,
}

impl<B: CpuBackend> Operands<B> {
    fn with_inputs<R>(&self, compute: impl FnOnce(&AttentionInputs<'_>) -> R) -> R {
        let [query, key, value] = [&self.query, &self.key, &self.value].map(B::values);
        let [relative, of_keys] =
            [&self.relative, &self.of_keys].map(|tensor| tensor.as_ref().map(B::values));
        let Attention { heads, pattern, layout, dropout, precision: _ } = &*self.call;
        compute(&AttentionInputs {
            query: &query,
            key: &key,
            value: &value,
            query_bounds: layout.queries.bounds(),
            key_bounds: layout.keys.bounds(),
            query_offsets: &layout.offsets,
            heads: *heads,
            pattern,
            relative: match (relative.as_deref(), of_keys.as_deref()) {
                (Some(of_queries), Some(of_keys)) => Some(RelativeScores::Rows { of_queries, of_keys }),
                (table, _) => table.map(RelativeScores::Table),
            },
            dropout: *dropout,
        })
    }

    fn tensor_like(&self, values: Vec<f32>, model: &FloatTensor<B>) -> FloatTensor<B> {
        B::tensor(values, model.shape(), &model.device())
    }
}

/// Attention as one operation, with a backward pass of its own.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait AttentionOps: Backend {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        #[extension_type] relative: Optional<Self>,
        #[extension_type] of_keys: Optional<Self>,
        call: Arc<Attention>,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> AttentionOps for B {
    fn fused_attention(
        query: FloatTensor<B>,
        key: FloatTensor<B>,
        value: FloatTensor<B>,
        relative: Optional<B>,
        of_keys: Optional<B>,
        call: Arc<Attention>,
    ) -> FloatTensor<B> {
        let (relative, of_keys) = (relative.into_option(), of_keys.into_option());
        let operands = Operands::<B> { query, key, value, relative, of_keys, call };
        let computed = operands.with_inputs(attention_forward);
        operands.tensor_like(computed.output, &operands.query)
    }
}

impl<B: CpuBackend, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        relative: Optional<Self>,
        of_keys: Optional<Self>,
        call: Arc<Attention>,
    ) -> FloatTensor<Self> {
        let [(query, query_node), (key, key_node), (value, value_node)] =
            [query, key, value].map(|tensor| tensor.into_parts());
        let [(relative, relative_node), (of_keys, of_keys_node)] =
            [relative, of_keys].map(|tensor| tensor.into_option().map(|tensor| tensor.into_parts()).unzip());
        let operands = Operands::<B> { query, key, value, relative, of_keys, call };
        let AttentionOutput { output, log_sum_exp } = operands.with_inputs(attention_forward);
        let output = operands.tensor_like(output, &operands.query);
        let kept = match operands.call.precision {
            Precision::Bf16 => B::in_bfloat16(output.clone()),
            _ => output.clone(),
        };
        let state = State { operands, output: kept, log_sum_exp: log_sum_exp.into() };
        match (relative_node, of_keys_node) {
            (Some(relative), Some(of_keys)) => {
                let parents = [query_node, key_node, value_node, relative, of_keys];
                record::<B, C, _, 5>(AttentionBackward, parents, state, output)
            }
            (Some(relative), None) => {
                let parents = [query_node, key_node, value_node, relative];
                record::<B, C, _, 4>(AttentionBackward, parents, state, output)
            }
            _ => record::<B, C, _, 3>(AttentionBackward, [query_node, key_node, value_node], state, output),
        }
    }
}

#[derive(Clone, Debug)]
struct State<B: CpuBackend> {
    operands: Operands<B>,
    output: FloatTensor<B>,
    /// `[query rows, query_heads]`
    log_sum_exp: Arc<[f32]>,
}

/// Parents: query, key, value, and what is added for the buckets of distances, where there is anything.
#[derive(Debug)]
struct AttentionBackward;

impl<B: CpuBackend, const N: usize> Backward<B, N> for AttentionBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { operands, output, log_sum_exp } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (output, gradient) = (B::values(&output), B::values(&gradient));
        let result = AttentionResult { output: &output, log_sum_exp: &log_sum_exp, gradient: &gradient };
        let AttentionGradients { query, key, value, relative } =
            operands.with_inputs(|inputs| attention_backward(inputs, &result));
        let (relative, of_keys) = match relative {
            Some(RelativeGradients::Rows { of_queries, of_keys }) => (Some(of_queries), Some(of_keys)),
            Some(RelativeGradients::Table(table)) => (Some(table), None),
            None => (None, None),
        };
        let computed = [
            (Some(query), Some(&operands.query)),
            (Some(key), Some(&operands.key)),
            (Some(value), Some(&operands.value)),
            (relative, operands.relative.as_ref()),
            (of_keys, operands.of_keys.as_ref()),
        ];
        for (parent, (values, model)) in ops.parents.into_iter().zip(computed) {
            if let (Some(parent), Some(values), Some(model)) = (parent, values, model) {
                gradients.register::<B>(parent.id, operands.tensor_like(values, model));
            }
        }
    }
}
