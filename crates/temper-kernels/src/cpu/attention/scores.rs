//! The scores of a block of queries.

use std::ops::Range;

use super::{
    bias::Bias,
    panels::{PANEL, Panels},
    pattern::AttentionPattern,
    rows::Rows,
    tile::{Target, multiply},
};

/// Columns from one row of scores to the next: an odd number of cache lines, so that a column of scores
/// spreads over all sets of the first-level cache.
pub fn row_stride(width: usize) -> usize {
    ((width / PANEL) | 1) * PANEL
}

/// One query head on one sequence.
pub struct Head<'a> {
    /// `[queries, head]`
    pub query: Rows<'a>,
    /// `[keys, head]`
    pub key: Rows<'a>,
    /// `[keys, head]`
    pub value: Rows<'a>,
    /// Positions of the queries among the keys.
    pub positions: Range<usize>,
    /// What is added to the scores.
    pub bias: Option<Bias>,
    /// Row of the dropout mask of the first query.
    pub mask_row: u64,
    pub pattern: &'a AttentionPattern,
}

/// The scores of a few queries for the panels of keys that one of them at least sees.
#[derive(Clone)]
pub struct Block {
    /// Queries of the block.
    pub queries: Range<usize>,
    /// Panels of keys, counted from the first key of the sequence.
    pub panels: Range<usize>,
    /// The keys of those panels.
    pub keys: Range<usize>,
}

impl Block {
    /// The part of the scores of `queries`, at least one, for the keys of `among`, which begins at a panel.
    pub fn new(head: &Head<'_>, queries: Range<usize>, among: Range<usize>) -> Self {
        let first = head.positions.start;
        let seen = head.pattern.visible_to_any(first + queries.start..first + queries.end, head.key.count);
        let (start, end) = (seen.start.max(among.start), seen.end.min(among.end));
        if start >= end {
            return Self { queries, panels: 0..0, keys: 0..0 };
        }
        let panels = start / PANEL..end.div_ceil(PANEL);
        let keys = panels.start * PANEL..(panels.end * PANEL).min(head.key.count);
        Self { queries, panels, keys }
    }

    /// Numbers a row of scores: whole panels.
    pub fn width(&self) -> usize {
        self.panels.len() * PANEL
    }

    /// Writes `scale * query * key^T`, where `keys` holds all keys of the sequence, scaled.
    pub fn multiply(&self, head: &Head<'_>, keys: &Panels<'_>, scores: &mut [f32], stride: usize) {
        let query = head.query.slice(self.queries.clone());
        let target = Target { values: scores, stride, accumulate: false };
        multiply(query, keys.panels(self.panels.clone()), target);
    }

    /// Writes minus infinity where the query does not see the key; whether it sees one of the block.
    pub fn hide(&self, head: &Head<'_>, query: usize, scores: &mut [f32]) -> bool {
        let seen = head.pattern.visible(head.positions.start + query, head.key.count);
        let place = |key: usize| key.clamp(self.keys.start, self.keys.end) - self.keys.start;
        let (start, end) = (place(seen.start), place(seen.end));
        scores[..start].fill(f32::NEG_INFINITY);
        scores[end..].fill(f32::NEG_INFINITY);
        start < end
    }

    /// The bias of a query for the keys of the block.
    pub fn bias<'a>(&self, head: &'a Head<'_>, query: usize) -> Option<&'a [f32]> {
        let start = self.panels.start * PANEL;
        head.bias.as_ref().map(|bias| bias.row(head.positions.start + query, start..start + self.width()))
    }
}
