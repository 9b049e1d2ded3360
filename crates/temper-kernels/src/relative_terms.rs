//! What attention adds to a score for the distance between query and key.

use burn::tensor::Tensor;

use crate::backend::lies_in_host_memory;
use crate::{Precision, widen};

/// What the buckets of a pattern choose from ([`RelativeBuckets`](crate::RelativeBuckets)).
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // One a layer: nothing to save.
pub enum RelativeTerms {
    /// A number for each bucket and head, `[buckets, query_heads]` (T5, Raffel et al. 2020).
    Table(Tensor<2>),
    /// What each query has for a bucket, and what each key has: the sum is added (DeBERTa, He et al. 2021).
    Rows {
        /// `[query rows, query_heads * buckets]`
        of_queries: Tensor<2>,
        /// `[key rows, query_heads * buckets]`
        of_keys: Tensor<2>,
    },
}

/// The product of each head of each row with the same head of each bucket, as [`RelativeTerms::Rows`] has them. In f32 on
/// a CPU, elsewhere in the given precision.
///
/// # Shapes
/// - states: `[rows, heads * head]`; buckets: `[buckets, heads * head]`; output: `[rows, heads * buckets]`
pub fn products_with_buckets(
    states: Tensor<2>,
    buckets: Tensor<2>,
    heads: usize,
    precision: Precision,
) -> Tensor<2> {
    let ([rows, width], count) = (states.dims(), buckets.dims()[0]);
    let precision = if lies_in_host_memory(&states.device()) { Precision::F32 } else { precision };
    // [rows, heads * head] -> [rows, heads, head] -> [heads, rows, head]
    let states = widen(states).reshape([rows, heads, width / heads]).swap_dims(0, 1);
    // [buckets, heads * head] -> [buckets, heads, head] -> [heads, head, buckets]
    let buckets = widen(buckets).reshape([count, heads, width / heads]).permute([1, 2, 0]);
    // [heads, rows, head] x [heads, head, buckets] -> [heads, rows, buckets]
    let products = widen(precision.product(states, buckets));
    // [heads, rows, buckets] -> [rows, heads, buckets] -> [rows, heads * buckets]
    products.swap_dims(0, 1).reshape([rows, heads * count])
}
