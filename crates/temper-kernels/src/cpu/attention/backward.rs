//! The backward pass of attention.

use std::{cell::RefCell, ops::Range};

use super::{
    AttentionInputs, AttentionResult, Dropout,
    bias::DistanceBias,
    pair_bias::PairBias,
    panels::{PANEL, PanelBuffer, Panels, aligned},
    rows::Rows,
    scores::{Block, Head, row_stride},
    softmax::{cap_scores_and_slopes, dot, score_gradients, weights},
    tile::{Target, multiply, multiply_transposed},
};

/// Queries whose scores are held at once.
const BLOCK: usize = 48;

/// Keys whose scores are held at once: with `BLOCK` queries, weights and their gradients take 200 KB, which
/// stay in the second-level cache. A multiple of `PANEL`.
const KEY_BLOCK: usize = 512;

/// One query head on one sequence, with what its forward pass gave and the gradient of its output.
pub struct HeadBackward<'a> {
    pub head: Head<'a>,
    /// `[queries, head]`
    pub output: Rows<'a>,
    /// `[queries, 1]`
    pub log_sum_exp: Rows<'a>,
    /// `[queries, head]`
    pub output_gradient: Rows<'a>,
}

/// Where the gradients of one key head on one sequence go.
pub struct GroupGradients<'a> {
    /// `[queries][group * head]`
    pub query: Vec<&'a mut [f32]>,
    /// `[keys][head]`
    pub key: Vec<&'a mut [f32]>,
    /// `[keys][head]`
    pub value: Vec<&'a mut [f32]>,
    /// What queries and keys have for each bucket, if they have it: `[queries][group * buckets]` and
    /// `[keys][group * buckets]`, zeros.
    pub rows: Option<[Vec<&'a mut [f32]>; 2]>,
}

/// Memory of a thread.
#[derive(Default)]
struct Workspace {
    keys: PanelBuffer,
    keys_transposed: PanelBuffer,
    values_transposed: PanelBuffer,
    queries: PanelBuffer,
    output_gradients: PanelBuffer,
    tile: TileBuffers,
    query_gradient: Vec<f32>,
    key_gradient: Vec<f32>,
    value_gradient: Vec<f32>,
}

/// Memory for the scores of a block.
#[derive(Default)]
struct TileBuffers {
    weights: Vec<f32>,
    score_gradients: Vec<f32>,
    slopes: Vec<f32>,
}

/// The right sides of the products of one query head.
struct Packed<'a> {
    /// `scale * key`
    keys: Panels<'a>,
    /// `scale * key^T`
    keys_transposed: Panels<'a>,
    /// `value^T`
    values_transposed: Panels<'a>,
    /// `scale * query`
    queries: Panels<'a>,
    output_gradients: Panels<'a>,
}

/// Sums of gradients, rows of `head` numbers padded to whole panels.
struct Sums<'a> {
    query: &'a mut [f32],
    key: &'a mut [f32],
    value: &'a mut [f32],
    bias: Option<BiasSums>,
}

/// The gradients of what is added to scores.
enum BiasSums {
    Distances(DistanceBias),
    Pairs(PairBias),
}

impl BiasSums {
    fn row_mut(&mut self, position: usize, keys: Range<usize>) -> &mut [f32] {
        match self {
            Self::Distances(bias) => bias.row_mut(position, keys),
            Self::Pairs(bias) => bias.row_mut(position, keys),
        }
    }
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Writes the gradients of one key head, and of the query heads that read it, on one sequence. Gives, for
/// each of those heads, the gradient of its column of the table of relative biases, if there is one.
pub fn backward_group(
    group: &[HeadBackward<'_>],
    dropout: Option<Dropout>,
    buckets: Option<usize>,
    mut gradients: GroupGradients<'_>,
) -> Vec<Vec<f32>> {
    WORKSPACE.with_borrow_mut(|workspace| {
        let Rows { count: keys, width: head, .. } = group[0].head.key;
        let width = head.next_multiple_of(PANEL);
        let key = zeroed(&mut workspace.key_gradient, keys * width);
        let value = zeroed(&mut workspace.value_gradient, keys * width);
        let mut columns = Vec::new();
        for (member, task) in group.iter().enumerate() {
            let Head { query: Rows { count: queries, .. }, key: keys, pattern, .. } = task.head;
            let packed = Packed {
                keys: workspace.keys.pack(keys, pattern.scale),
                keys_transposed: workspace.keys_transposed.pack_transposed(keys, pattern.scale),
                values_transposed: workspace.values_transposed.pack_transposed(task.head.value, 1.0),
                queries: workspace.queries.pack(task.head.query, pattern.scale),
                output_gradients: workspace.output_gradients.pack(task.output_gradient, 1.0),
            };
            let bias = (buckets.is_some() && queries > 0).then(|| task.bias_sums(gradients.rows.is_some()));
            let query = zeroed(&mut workspace.query_gradient, queries * width);
            let mut sums = Sums { query, key, value, bias };
            backward_head(task, dropout, &packed, &mut workspace.tile, &mut sums);

            let columns_of_member = member * head..(member + 1) * head;
            write_rows(sums.query, width, &mut gradients.query, columns_of_member);
            let Some(buckets) = buckets else { continue };
            match &mut gradients.rows {
                Some(rows) => {
                    task.add_row_gradients(sums.bias, rows, member * buckets..(member + 1) * buckets)
                }
                None => columns.push(task.column_gradient(sums.bias, buckets)),
            }
        }
        write_rows(key, width, &mut gradients.key, 0..head);
        write_rows(value, width, &mut gradients.value, 0..head);
        columns
    })
}

impl<'a> HeadBackward<'a> {
    pub fn new(
        inputs: &AttentionInputs<'a>,
        result: &AttentionResult<'a>,
        sequence: usize,
        head: usize,
    ) -> Self {
        let heads = inputs.heads.query_heads;
        let rows = |matrix| inputs.head_rows(matrix, inputs.query_bounds, sequence, (head, heads));
        let (first, last) = (inputs.query_bounds[sequence], inputs.query_bounds[sequence + 1]);
        // [query rows, heads], of which this head has one column.
        let sums = result.log_sum_exp.get(first * heads + head..).unwrap_or_default();
        Self {
            head: inputs.head(sequence, head),
            output: rows(result.output),
            log_sum_exp: Rows { values: sums, stride: heads, count: last - first, width: 1 },
            output_gradient: rows(result.gradient),
        }
    }

    fn bias_sums(&self, of_pairs: bool) -> BiasSums {
        let (positions, keys) = (self.head.positions.clone(), self.head.key.count);
        match of_pairs {
            true => BiasSums::Pairs(PairBias::zeros(positions, keys)),
            false => BiasSums::Distances(DistanceBias::zeros(positions, keys)),
        }
    }

    /// Adds the gradients of what queries and keys have for each bucket to these columns.
    fn add_row_gradients(
        &self,
        bias: Option<BiasSums>,
        [of_queries, of_keys]: &mut [Vec<&mut [f32]>; 2],
        columns: Range<usize>,
    ) {
        if let (Some(BiasSums::Pairs(bias)), Some(relative)) = (bias, &self.head.pattern.relative) {
            bias.add_to_rows(relative, of_queries, of_keys, columns);
        }
    }

    /// `[buckets]`: the sums over all pairs of query and key.
    fn column_gradient(&self, bias: Option<BiasSums>, buckets: usize) -> Vec<f32> {
        let mut column = vec![0.0; buckets];
        if let Some(BiasSums::Distances(bias)) = bias {
            bias.add_to_buckets(
                self.head.pattern,
                self.head.positions.clone(),
                self.head.key.count,
                &mut column,
            );
        }
        column
    }
}

/// Adds the gradients of one query head to the sums.
fn backward_head(
    task: &HeadBackward<'_>,
    dropout: Option<Dropout>,
    packed: &Packed<'_>,
    buffers: &mut TileBuffers,
    sums: &mut Sums<'_>,
) {
    let (queries, keys) = (task.head.query.count, task.head.key.count);
    // The sum of weight * gradient of weight over the keys is that of output * gradient of output over
    // the head (Dao et al. 2022, appendix B).
    let totals: Vec<f32> =
        (0..queries).map(|query| dot(task.output.row(query), task.output_gradient.row(query))).collect();
    for first_key in (0..keys).step_by(KEY_BLOCK) {
        for first_query in (0..queries).step_by(BLOCK) {
            let rows = first_query..(first_query + BLOCK).min(queries);
            let among = first_key..(first_key + KEY_BLOCK).min(keys);
            let block = Block::new(&task.head, rows, among);
            if !block.keys.is_empty() {
                backward_block(task, dropout, &totals, packed, &block, buffers, sums);
            }
        }
    }
}

/// Adds what the pairs of one block contribute.
fn backward_block(
    task: &HeadBackward<'_>,
    dropout: Option<Dropout>,
    totals: &[f32],
    packed: &Packed<'_>,
    block: &Block,
    buffers: &mut TileBuffers,
    sums: &mut Sums<'_>,
) {
    let Block { queries, panels, keys } = block.clone();
    let stride = row_stride(block.width());
    let weights = aligned(&mut buffers.weights, queries.len() * stride); // [queries, stride]
    let score_gradients = aligned(&mut buffers.score_gradients, queries.len() * stride); // [queries, stride]
    block.multiply(&task.head, &packed.keys_transposed, weights, stride);
    multiply(
        task.output_gradient.slice(queries.clone()),
        packed.values_transposed.panels(panels),
        Target { values: score_gradients, stride, accumulate: false },
    );
    let rows = weights.chunks_exact_mut(stride).zip(score_gradients.chunks_exact_mut(stride));
    for (query, (weights, score_gradients)) in queries.clone().zip(rows) {
        let weights = &mut weights[..block.width()];
        let score_gradients = &mut score_gradients[..block.width()];
        let slopes = task.head.pattern.soft_cap.map(|cap| {
            let slopes = aligned(&mut buffers.slopes, block.width());
            cap_scores_and_slopes(weights, slopes, cap);
            slopes
        });
        backward_row(task, dropout, totals[query], block, query, weights, score_gradients);
        if let Some(bias) = &mut sums.bias {
            let row = bias.row_mut(task.head.positions.start + query, keys.clone());
            for (sum, gradient) in row.iter_mut().zip(score_gradients.iter()) {
                *sum += *gradient;
            }
        }
        // What is added to scores is added to the capped ones.
        for (gradient, slope) in score_gradients.iter_mut().zip(slopes.into_iter().flatten()) {
            *gradient *= *slope;
        }
    }

    let width = packed.keys.width(); // of the sums
    let weights = Rows { values: weights, stride, count: queries.len(), width: keys.len() };
    let score_gradients = Rows { values: score_gradients, ..weights };
    let target = |values| Target { values, stride: width, accumulate: true };
    let key_sums = keys.start * width..keys.end * width;
    let output_gradients = packed.output_gradients.rows(queries.clone());
    multiply_transposed(weights, output_gradients, target(&mut sums.value[key_sums.clone()]));
    multiply_transposed(
        score_gradients,
        packed.queries.rows(queries.clone()),
        target(&mut sums.key[key_sums]),
    );
    multiply(score_gradients, packed.keys.rows(keys), target(&mut sums.query[queries.start * width..]));
}

/// Turns the scores of one query into its dropped-out weights, and the gradient of those into that of the
/// scores.
fn backward_row(
    task: &HeadBackward<'_>,
    dropout: Option<Dropout>,
    total: f32,
    block: &Block,
    query: usize,
    scores: &mut [f32],
    gradient: &mut [f32],
) {
    if !block.hide(&task.head, query, scores) {
        scores.fill(0.0);
        gradient.fill(0.0);
        return;
    }
    weights(scores, block.bias(&task.head, query), task.log_sum_exp.row(query)[0]);
    let mask = dropout.map(|dropout| dropout.row(task.head.mask_row + query as u64));
    score_gradients(gradient, scores, total, mask, block.keys.start);
}

fn zeroed(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    let values = aligned(buffer, len);
    values.fill(0.0);
    values
}

/// Copies rows of `width` numbers to these columns of the rows.
fn write_rows(sums: &[f32], width: usize, rows: &mut [&mut [f32]], columns: Range<usize>) {
    for (row, sums) in rows.iter_mut().zip(sums.chunks_exact(width)) {
        row[columns.clone()].copy_from_slice(&sums[..columns.len()]);
    }
}
