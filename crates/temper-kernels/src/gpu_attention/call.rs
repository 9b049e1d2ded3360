//! What the passes of attention on GPUs read and keep.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType};
use burn::tensor::{DType, Shape};

use crate::attention_call::Attention;
use crate::composed::rectangle_rows;
use crate::gpu::{Layout, Sight};
use crate::optional::{Optional, OptionalMetadata};
use crate::{Precision, Sequences};

/// What the passes have to know, but for tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(super) sight: Sight,
    pub(super) precision: Precision,
    pub(super) queries: Layout,
    pub(super) keys: Layout,
    /// By the kernels for tensor cores.
    pub(super) is_tiled: bool,
    /// Types of query, key and value, and so of their gradients.
    pub(super) dtypes: [DType; 3],
}

impl Call {
    pub(super) fn new(attention: &Attention, is_tiled: bool, dtypes: [DType; 3]) -> Self {
        let Attention { heads, pattern, layout, dropout, precision } = attention;
        let place = |sequences: &Sequences, group: usize| Layout {
            sequences: sequences.count(),
            longest: sequences.longest(),
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
            is_tiled,
            dtypes,
        }
    }

    /// What products give.
    pub(super) fn dtype(&self) -> DType {
        if self.precision == Precision::Bf16 { DType::BF16 } else { DType::F32 }
    }

    fn packed(layout: Layout, dtype: DType) -> TensorSpec {
        TensorSpec::new([layout.packed, layout.heads / layout.group * layout.head].into(), dtype)
    }

    fn rectangle(&self, layout: Layout) -> TensorSpec {
        let Layout { sequences, rows, heads, head, .. } = layout;
        TensorSpec::new(Shape::new([sequences, heads, rows, head]), self.dtype())
    }

    fn shares(&self) -> TensorSpec {
        let Layout { sequences, rows, heads, .. } = self.queries;
        TensorSpec::new(Shape::new([sequences, heads, rows, self.keys.rows]), self.dtype())
    }

    fn logarithms(&self) -> TensorSpec {
        TensorSpec::new([self.queries.heads, self.queries.packed].into(), DType::F32)
    }
}

/// What attention reads.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Operands<B: Backend> {
    pub(super) query: FloatTensor<B>,
    pub(super) key: FloatTensor<B>,
    pub(super) value: FloatTensor<B>,
    pub(super) query_bounds: IntTensor<B>,
    pub(super) key_bounds: IntTensor<B>,
    pub(super) offsets: IntTensor<B>,
    #[extension_type]
    pub(super) slopes: Optional<B>,
}

/// What the backward pass reads of the forward pass. Rows are packed for the kernels of tensor cores, else they are
/// laid out as rectangles.
#[derive(ExtensionType, Clone, Debug)]
#[extension_type(fusion)]
pub(crate) struct Kept<B: Backend> {
    /// Shares of the keys before dropout, `[sequences, heads, queries, keys]`; of the kernels for tensor cores the
    /// logarithms of sums, `[heads, query rows]`.
    pub(super) weights: FloatTensor<B>,
    /// `[query rows, heads * head]` or `[sequences, heads, queries, head]`
    pub(super) query: FloatTensor<B>,
    /// `[key rows, key heads * head]` or `[sequences, heads, keys, head]`
    pub(super) key: FloatTensor<B>,
    /// As key.
    pub(super) value: FloatTensor<B>,
    /// `[query rows, heads * head]`, for the kernels of tensor cores.
    #[extension_type]
    pub(super) output: Optional<B>,
    pub(super) query_bounds: IntTensor<B>,
    pub(super) key_bounds: IntTensor<B>,
    pub(super) offsets: IntTensor<B>,
    #[extension_type]
    pub(super) slopes: Optional<B>,
}

/// The output and what is kept.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Attended<B: Backend> {
    pub(super) output: FloatTensor<B>,
    #[extension_type]
    pub(super) kept: Kept<B>,
}

pub(super) fn attended_specs(operands: &OperandsMetadata, call: &Call) -> AttendedMetadata {
    let output = Call::packed(call.queries, call.dtype());
    let [weights, query, key] = match call.is_tiled {
        true => [call.logarithms(), output.clone(), Call::packed(call.keys, call.dtype())],
        false => [call.shares(), call.rectangle(call.queries), call.rectangle(call.keys)],
    };
    let kept = KeptMetadata {
        weights,
        query,
        value: key.clone(),
        key,
        output: match call.is_tiled {
            true => OptionalMetadata::Present(output.clone()),
            false => OptionalMetadata::Absent,
        },
        query_bounds: operands.query_bounds.clone(),
        key_bounds: operands.key_bounds.clone(),
        offsets: operands.offsets.clone(),
        slopes: operands.slopes.clone(),
    };
    AttendedMetadata { output, kept }
}

pub(super) fn gradient_specs(call: &Call) -> (TensorSpec, TensorSpec, TensorSpec) {
    let [of_query, of_key, of_value] = call.dtypes;
    (Call::packed(call.queries, of_query), Call::packed(call.keys, of_key), Call::packed(call.keys, of_value))
}
