//! Scaled dot-product attention on packed sequences, forward and backward, that never holds more scores
//! than those of a few queries (FlashAttention, Dao et al. 2022; here the rows of scores are complete, so
//! that nothing is rescaled).

mod backward;
mod bias;
mod forward;
mod inputs;
mod one_query;
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

pub use inputs::AttentionInputs;
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
    /// `[buckets, query_heads]`, when there is a table of relative biases.
    pub table: Option<Vec<f32>>,
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
    let query = buffer(inputs.query.len(), |query| {
        key = buffer(inputs.key.len(), |key| {
            value = buffer(inputs.value.len(), |value| {
                columns = backward_sequences(inputs, result, [query, key, value]);
            });
        });
    });
    let table = inputs.table.map(|table| {
        let mut gradient = vec![0.0; table.len()]; // [buckets, query_heads]
        for (index, column) in columns.iter().enumerate() {
            let head = index % inputs.heads.query_heads;
            for (row, value) in gradient.chunks_exact_mut(inputs.heads.query_heads).zip(column) {
                row[head] += value;
            }
        }
        gradient
    });
    AttentionGradients { query, key, value, table }
}

/// Writes the gradients of query, key and value. Gives those of the columns of the table, when there is one:
/// `[sequences * query_heads][buckets]`.
fn backward_sequences(
    inputs: &AttentionInputs<'_>,
    result: &AttentionResult<'_>,
    [query, key, value]: [&mut [f32]; 3],
) -> Vec<Vec<f32>> {
    let AttentionHeads { query_heads, key_heads, head } = inputs.heads;
    let group = query_heads / key_heads;
    let buckets = inputs.table.map(|table| table.len() / query_heads);
    let (query_width, key_width) = inputs.widths();
    let queries = split::by_sequence(query, inputs.query_bounds, query_width);
    let keys = split::by_sequence(key, inputs.key_bounds, key_width);
    let values = split::by_sequence(value, inputs.key_bounds, key_width);
    let sequences = queries.into_par_iter().zip(keys).zip(values).with_min_len(least_tasks(inputs));
    let columns = sequences.enumerate().flat_map(|(sequence, ((query, key), value))| {
        let queries = split::by_head(query, key_heads, group * head);
        let keys = split::by_head(key, key_heads, head);
        let values = split::by_head(value, key_heads, head);
        let heads = queries.into_par_iter().zip(keys).zip(values).with_min_len(least_tasks(inputs));
        heads.enumerate().flat_map_iter(move |(key_head, ((query, key), value))| {
            let members = key_head * group..(key_head + 1) * group;
            let tasks: Vec<_> =
                members.map(|head| backward::HeadBackward::new(inputs, result, sequence, head)).collect();
            let gradients = backward::GroupGradients { query, key, value };
            backward::backward_group(&tasks, inputs.dropout, buckets, gradients)
        })
    });
    columns.collect()
}

/// Fewest tasks that are worth a thread: all of them when there is little to do.
fn least_tasks(inputs: &AttentionInputs<'_>) -> usize {
    let scores = inputs.pairs() * inputs.heads.query_heads;
    if scores * inputs.heads.head < 200_000 { usize::MAX } else { 1 }
}
