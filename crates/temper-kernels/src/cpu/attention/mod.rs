//! Scaled dot-product attention on packed sequences, forward and backward, that never holds more scores
//! than those of a few queries (FlashAttention, Dao et al. 2022; here the rows of scores are complete, so
//! that nothing is rescaled).

mod backward;
mod bias;
mod forward;
mod inputs;
mod one_query;
mod pair_bias;
mod panels;
mod pattern;
mod rows;
mod scores;
mod softmax;
mod split;
mod tile;

#[cfg(test)]
mod tests;

use rayon::prelude::*;

pub use inputs::{AttentionInputs, RelativeScores};
pub use pattern::{AttentionHeads, AttentionPattern, RelativeBuckets};

use super::{Dropout, DropoutRow, buffer, exp};

/// What attention gives.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[query rows, query_heads * head]`; zeros for a query that sees no key.
    pub output: Vec<f32>,
    /// `[query rows, query_heads]`: logarithm of the sum of the exponentials of the scores, scaled and with
    /// all that is added to them; minus infinity for a query that sees no key. The backward pass needs it.
    pub log_sum_exp: Vec<f32>,
}

/// `softmax(scale * query * key^T + biases) * value` of every head and sequence.
///
/// # Panics
/// If the sizes of the inputs do not fit each other.
pub fn attention_forward(inputs: &AttentionInputs<'_>) -> AttentionOutput {
    inputs.check();
    let AttentionHeads { query_heads, head, .. } = inputs.heads;
    let mut log_sum_exp = vec![0.0; inputs.query_rows() * query_heads];
    let output = buffer(inputs.query_rows() * query_heads * head, |output| {
        let outputs = split::by_sequence(output, inputs.query_bounds, query_heads * head);
        let sums = split::by_sequence(&mut log_sum_exp, inputs.query_bounds, query_heads);
        let pairs = outputs.into_par_iter().zip(sums).with_min_len(least_tasks(inputs));
        pairs.enumerate().for_each(|(sequence, (output, sums))| {
            let outputs = split::by_head(output, query_heads, head);
            let sums = split::by_head(sums, query_heads, 1);
            let heads = outputs.into_par_iter().zip(sums).with_min_len(least_tasks(inputs));
            heads.enumerate().for_each(|(head, (mut output, mut sums))| {
                forward::forward_head(&inputs.head(sequence, head), inputs.dropout, &mut output, &mut sums);
            });
        });
    });
    AttentionOutput { output, log_sum_exp }
}

/// Gradients of the inputs of attention.
#[derive(Clone, Debug)]
pub struct AttentionGradients {
    /// `[query rows, query_heads * head]`
    pub query: Vec<f32>,
    /// `[key rows, key_heads * head]`
    pub key: Vec<f32>,
    /// `[key rows, key_heads * head]`
    pub value: Vec<f32>,
    /// Of what is added for the buckets of distances, where there are any.
    pub relative: Option<RelativeGradients>,
}

/// Gradients of [`RelativeScores`].
#[derive(Clone, Debug, PartialEq)]
pub enum RelativeGradients {
    /// `[buckets, query_heads]`
    Table(Vec<f32>),
    /// Of each query and each key.
    Rows {
        /// `[query rows, query_heads * buckets]`
        of_queries: Vec<f32>,
        /// `[key rows, query_heads * buckets]`
        of_keys: Vec<f32>,
    },
}

/// What [`attention_forward`] gave, and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct AttentionResult<'a> {
    /// `[query rows, query_heads * head]`
    pub output: &'a [f32],
    /// `[query rows, query_heads]`
    pub log_sum_exp: &'a [f32],
    /// `[query rows, query_heads * head]`
    pub gradient: &'a [f32],
}

/// Gradients of [`attention_forward`], given what it gave for the same inputs.
///
/// # Panics
/// If the sizes of the inputs do not fit each other.
pub fn attention_backward(inputs: &AttentionInputs<'_>, result: &AttentionResult<'_>) -> AttentionGradients {
    inputs.check();
    assert_eq!(result.output.len(), inputs.query.len(), "size of the output");
    assert_eq!(result.log_sum_exp.len() * inputs.heads.head, inputs.query.len(), "size of the sums");
    assert_eq!(result.gradient.len(), inputs.query.len(), "size of the gradient of the output");
    let (mut key, mut value, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = match inputs.relative {
        Some(RelativeScores::Rows { of_queries, of_keys }) => {
            Some([of_queries, of_keys].map(|values| vec![0.0; values.len()]))
        }
        _ => None,
    };
    let query = buffer(inputs.query.len(), |query| {
        key = buffer(inputs.key.len(), |key| {
            value = buffer(inputs.value.len(), |value| {
                let rows = rows.as_mut().map(|rows| rows.each_mut().map(Vec::as_mut_slice));
                columns = backward_sequences(inputs, result, [query, key, value], rows);
            });
        });
    });
    let relative = match (inputs.relative, rows) {
        (_, Some([of_queries, of_keys])) => Some(RelativeGradients::Rows { of_queries, of_keys }),
        (Some(_), None) => Some(RelativeGradients::Table(table_gradient(inputs, &columns))),
        (None, None) => None,
    };
    AttentionGradients { query, key, value, relative }
}

/// `[buckets, query_heads]`: the sums of the columns, which are `[sequences * query_heads][buckets]`.
fn table_gradient(inputs: &AttentionInputs<'_>, columns: &[Vec<f32>]) -> Vec<f32> {
    let heads = inputs.heads.query_heads;
    let mut gradient = vec![0.0; inputs.buckets() * heads];
    for (index, column) in columns.iter().enumerate() {
        for (row, value) in gradient.chunks_exact_mut(heads).zip(column) {
            row[index % heads] += value;
        }
    }
    gradient
}

/// Writes the gradients of query, key and value, and adds those of what queries and keys have for each bucket. Gives
/// those of the columns of the table, when there is one: `[sequences * query_heads][buckets]`.
fn backward_sequences(
    inputs: &AttentionInputs<'_>,
    result: &AttentionResult<'_>,
    [query, key, value]: [&mut [f32]; 3],
    rows: Option<[&mut [f32]; 2]>,
) -> Vec<Vec<f32>> {
    let AttentionHeads { query_heads, key_heads, head } = inputs.heads;
    let group = query_heads / key_heads;
    let buckets = inputs.relative.map(|_| inputs.buckets());
    let (query_width, key_width) = inputs.widths();
    let queries = split::by_sequence(query, inputs.query_bounds, query_width);
    let keys = split::by_sequence(key, inputs.key_bounds, key_width);
    let values = split::by_sequence(value, inputs.key_bounds, key_width);
    let rows = rows_by_sequence(inputs, rows);
    let sequences = queries.into_par_iter().zip(keys).zip(values).zip(rows).with_min_len(least_tasks(inputs));
    let columns = sequences.enumerate().flat_map(|(sequence, (((query, key), value), rows))| {
        let queries = split::by_head(query, key_heads, group * head);
        let keys = split::by_head(key, key_heads, head);
        let values = split::by_head(value, key_heads, head);
        let rows = rows_by_head(rows, key_heads, group * inputs.buckets());
        let heads = queries.into_par_iter().zip(keys).zip(values).zip(rows).with_min_len(least_tasks(inputs));
        heads.enumerate().flat_map_iter(move |(key_head, (((query, key), value), rows))| {
            let members = key_head * group..(key_head + 1) * group;
            let tasks: Vec<_> =
                members.map(|head| backward::HeadBackward::new(inputs, result, sequence, head)).collect();
            let gradients = backward::GroupGradients { query, key, value, rows };
            backward::backward_group(&tasks, inputs.dropout, buckets, gradients)
        })
    });
    columns.collect()
}

/// What queries and keys have for each bucket, cut into sequences; as many times nothing if they have nothing.
fn rows_by_sequence<'a>(
    inputs: &AttentionInputs<'_>,
    rows: Option<[&'a mut [f32]; 2]>,
) -> Vec<Option<[&'a mut [f32]; 2]>> {
    let Some([of_queries, of_keys]) = rows else {
        return (0..inputs.sequences()).map(|_| None).collect();
    };
    let width = inputs.heads.query_heads * inputs.buckets();
    let of_queries = split::by_sequence(of_queries, inputs.query_bounds, width);
    let of_keys = split::by_sequence(of_keys, inputs.key_bounds, width);
    of_queries.into_iter().zip(of_keys).map(|(of_queries, of_keys)| Some([of_queries, of_keys])).collect()
}

/// The same of one sequence, cut into the columns of each key head.
fn rows_by_head(
    rows: Option<[&mut [f32]; 2]>,
    key_heads: usize,
    width: usize,
) -> Vec<Option<[Vec<&mut [f32]>; 2]>> {
    let Some(rows) = rows.filter(|_| width > 0) else { return (0..key_heads).map(|_| None).collect() };
    let [of_queries, of_keys] = rows.map(|rows| split::by_head(rows, key_heads, width));
    of_queries.into_iter().zip(of_keys).map(|(of_queries, of_keys)| Some([of_queries, of_keys])).collect()
}

/// Fewest tasks that are worth a thread: all of them when there is little to do.
fn least_tasks(inputs: &AttentionInputs<'_>) -> usize {
    let scores = inputs.pairs() * inputs.heads.query_heads;
    if scores * inputs.heads.head < 100_000 { usize::MAX } else { 1 }
}
