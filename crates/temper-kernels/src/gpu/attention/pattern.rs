//! Which keys a query sees.

use cubecl::prelude::*;

use super::Form;
use crate::gpu::tensor_cores::Window;

/// Rows of a sequence, and what is known of its attention.
#[derive(CubeType, Clone, Copy)]
pub(super) struct SequenceRows {
    /// First row of the queries.
    pub(super) query_start: u32,
    /// Queries.
    pub(super) queries: u32,
    /// First row of the keys.
    pub(super) key_start: u32,
    /// Keys.
    pub(super) keys: u32,
    /// Position of the first query among the keys.
    pub(super) offset: u32,
    /// How many positions away the nearest key is that a query does not see.
    pub(super) window: u32,
}

#[cube]
pub(super) fn sequence(
    number: usize,
    query_bounds: &Tensor<i32>,
    key_bounds: &Tensor<i32>,
    offsets: &Tensor<i32>,
    window: u32,
) -> SequenceRows {
    let query_start = query_bounds[number] as u32;
    let key_start = key_bounds[number] as u32;
    SequenceRows {
        query_start,
        queries: query_bounds[number + 1] as u32 - query_start,
        key_start,
        keys: key_bounds[number + 1] as u32 - key_start,
        offset: offsets[number] as u32,
        window,
    }
}

/// The keys that a query sees: from first to before end.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Seen {
    pub(super) first: u32,
    pub(super) end: u32,
}

/// What the query with that number in its sequence sees: nothing if there is no such query.
#[cube]
pub(super) fn seen(of: &SequenceRows, query: u32, #[comptime] form: Form) -> Seen {
    let position = of.offset + query;
    let mut first = 0u32;
    let mut end = of.keys;
    if comptime!(form.causal) {
        end = min(of.keys, position + 1);
    }
    if comptime!(form.has_window) {
        first = select(position + 1 > of.window, position + 1 - of.window, 0u32);
        if comptime!(!form.causal) {
            end = min(of.keys, position + of.window);
        }
    }
    Seen { first, end: select(query < of.queries, end, 0u32) }
}

/// The queries that see any of the keys from first to before end: from first to before end.
#[cube]
pub(super) fn seeing(of: &SequenceRows, first_key: u32, end_key: u32, #[comptime] form: Form) -> Seen {
    let mut first = 0u32;
    let mut end = of.queries;
    if comptime!(form.causal) {
        first = select(first_key > of.offset, first_key - of.offset, 0u32);
    }
    if comptime!(form.has_window) {
        // The last one has the last key at the beginning of its window.
        let last = end_key + of.window - 1;
        end = min(of.queries, select(last > of.offset, last - of.offset, 0u32));
        if comptime!(!form.causal) {
            // The first one has the first key at the end of its window.
            let before = of.offset + of.window;
            first = select(first_key + 1 > before, first_key + 1 - before, 0u32);
        }
    }
    Seen { first, end }
}

/// The rows of a head's queries from one of them on.
#[cube]
pub(super) fn query_rows(of: &SequenceRows, first: u32, head: u32, #[comptime] form: Form) -> Window {
    let chunks = comptime!(form.chunks() as u32);
    Window {
        line: of.query_start + first,
        chunk: head * chunks,
        end_line: of.query_start + of.queries,
        end_chunk: (head + 1) * chunks,
        pitch: comptime!(form.heads as u32) * chunks,
    }
}

/// The rows of a head's keys, or values, from one of them on; the head is one of the keys.
#[cube]
pub(super) fn key_rows(of: &SequenceRows, first: u32, head: u32, #[comptime] form: Form) -> Window {
    let chunks = comptime!(form.chunks() as u32);
    Window {
        line: of.key_start + first,
        chunk: head * chunks,
        end_line: of.key_start + of.keys,
        end_chunk: (head + 1) * chunks,
        pitch: comptime!((form.heads / form.group) as u32) * chunks,
    }
}

/// A score: a product of query and key with its scale and ALiBi.
#[cube]
pub(super) fn score(
    product: f32,
    scale: f32,
    slope: f32,
    key: u32,
    position: u32,
    #[comptime] form: Form,
) -> f32 {
    let mut score = product * scale;
    if comptime!(form.has_slopes) {
        score += slope * (f32::cast_from(key) - f32::cast_from(position));
    }
    score
}

#[cube]
pub(super) fn is_seen(seen: &Seen, key: u32) -> bool {
    key >= seen.first && key < seen.end
}
