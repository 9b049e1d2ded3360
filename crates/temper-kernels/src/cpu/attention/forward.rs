//! The forward pass of attention.

use std::cell::RefCell;

use super::{
    Dropout, one_query,
    panels::{PANEL, PanelBuffer, Panels, aligned},
    rows::Rows,
    scores::{Block, Head, row_stride},
    softmax::{cap_scores, drop_out, exponentials},
    tile::{Target, multiply},
};

/// Queries whose scores are held at once: they share the panels of keys and values that pass through
/// the first-level cache.
const BLOCK: usize = 24;

/// Memory of a thread.
#[derive(Default)]
struct Workspace {
    keys: PanelBuffer,
    values: PanelBuffer,
    scores: Vec<f32>,
    output: Vec<f32>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Writes the output, `[queries][head]`, and the logarithm of the sum of the exponentials of the scores,
/// `[queries][1]`, of one head on one sequence.
pub fn forward_head(
    head: &Head<'_>,
    dropout: Option<Dropout>,
    output: &mut [&mut [f32]],
    log_sum_exp: &mut [&mut [f32]],
) {
    WORKSPACE.with_borrow_mut(|workspace| {
        let Workspace { keys, values, scores, output: mixed } = workspace;
        let queries = head.query.count;
        if queries == 1 {
            let block = Block::new(head, 0..1, 0..head.key.count);
            let scores = aligned(scores, row_stride(block.width()));
            one_query::score(head, &block, scores);
            let [sum, ..] = softmax_block(head, &block, dropout, scores, log_sum_exp);
            return one_query::mix(head, &block, scores, inverse(sum), output[0]);
        }
        let keys = keys.pack_transposed(head.key, head.pattern.scale);
        let values = values.pack(head.value, 1.0);
        for start in (0..queries).step_by(BLOCK) {
            let rows = start..(start + BLOCK).min(queries);
            let block = Block::new(head, rows.clone(), 0..head.key.count);
            let scores = aligned(scores, rows.len() * row_stride(block.width()));
            block.multiply(head, &keys, scores, row_stride(block.width()));
            let sums = softmax_block(head, &block, dropout, scores, &mut log_sum_exp[rows.clone()]);

            let width = head.value.width.next_multiple_of(PANEL);
            let mixed = aligned(mixed, rows.len() * width); // [rows, width]
            mix(&block, scores, &values, Target { values: mixed, stride: width, accumulate: false });
            for (row, output) in output[rows].iter_mut().enumerate() {
                let factor = inverse(sums[row]);
                for (output, mixed) in output.iter_mut().zip(&mixed[row * width..]) {
                    *output = mixed * factor;
                }
            }
        }
    });
}

/// Zero for a query that sees no key.
fn inverse(sum: f32) -> f32 {
    if sum > 0.0 { 1.0 / sum } else { 0.0 }
}

/// Replaces the scores of a block by their dropped-out exponentials; gives the sums before dropout.
fn softmax_block(
    head: &Head<'_>,
    block: &Block,
    dropout: Option<Dropout>,
    scores: &mut [f32],
    log_sum_exp: &mut [&mut [f32]],
) -> [f32; BLOCK] {
    let stride = row_stride(block.width());
    let mut sums = [0.0; BLOCK];
    for (row, query) in block.queries.clone().enumerate() {
        let scores = &mut scores[row * stride..][..block.width()];
        if let Some(cap) = head.pattern.soft_cap {
            cap_scores(scores, cap);
        }
        if !block.hide(head, query, scores) {
            scores.fill(0.0);
            log_sum_exp[row][0] = f32::NEG_INFINITY;
            continue;
        }
        let statistics = exponentials(scores, block.bias(head, query));
        sums[row] = statistics.sum;
        log_sum_exp[row][0] = statistics.log_sum_exp();
        if let Some(dropout) = dropout {
            drop_out(scores, dropout.row(head.mask_row + query as u64), block.keys.start);
        }
    }
    sums
}

/// The weights of a block times the values.
fn mix(block: &Block, weights: &[f32], values: &Panels<'_>, target: Target<'_>) {
    let weights = Rows {
        values: weights,
        stride: row_stride(block.width()),
        count: block.queries.len(),
        width: block.keys.len(),
    };
    multiply(weights, values.rows(block.keys.clone()), target);
}
