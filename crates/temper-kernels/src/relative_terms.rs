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

/// The product of each head of each left row with the same head of each right row: with a vector for each bucket on the
/// right, what [`RelativeTerms::Rows`] has. In f32 on a CPU, elsewhere in the given precision.
///
/// # Shapes
/// - left: `[rows, heads * head]`; right: `[columns, heads * head]`; output: `[rows, heads * columns]`
pub fn products_by_head(left: Tensor<2>, right: Tensor<2>, heads: usize, precision: Precision) -> Tensor<2> {
    let ([rows, width], count) = (left.dims(), right.dims()[0]);
    let precision = if lies_in_host_memory(&left.device()) { Precision::F32 } else { precision };
    // [rows, heads * head] -> [rows, heads, head] -> [heads, rows, head]
    let left = widen(left).reshape([rows, heads, width / heads]).swap_dims(0, 1);
    // [columns, heads * head] -> [columns, heads, head] -> [heads, head, columns]
    let right = widen(right).reshape([count, heads, width / heads]).permute([1, 2, 0]);
    // [heads, rows, head] x [heads, head, columns] -> [heads, rows, columns]
    let products = widen(precision.product(left, right));
    // [heads, rows, columns] -> [rows, heads, columns] -> [rows, heads * columns]
    products.swap_dims(0, 1).reshape([rows, heads * count])
}
