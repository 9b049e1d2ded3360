//! Heads, and which keys a query sees.

use std::{ops::Range, sync::Arc};

/// Numbers of heads. Query head `h` reads key head `h / (query_heads / key_heads)`: fewer key heads are
/// grouped-query attention (Ainslie et al. 2023), a single one multi-query attention (Shazeer 2019).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionHeads {
    /// Heads of the queries.
    pub query_heads: usize,
    /// Heads of the keys and values; divides `query_heads`.
    pub key_heads: usize,
    /// Numbers a head.
    pub head: usize,
}

/// Which keys a query sees, and what is done to its scores.
#[derive(Clone, Debug)]
pub struct AttentionPattern {
    /// A query sees no key after its own position.
    pub causal: bool,
    /// A query sees only keys that are fewer than `window` positions away: its own and the `window - 1` before it
    /// (GPT-Neo, Mistral) and, unless `causal`, the `window - 1` after it (ModernBERT).
    pub window: Option<usize>,
    /// ALiBi (Press et al. 2021): one slope a query head; adds `slope * (key position - query position)`.
    /// BLOOM adds `slope * key position`, which gives the same weights.
    pub alibi: Option<Arc<[f32]>>,
    /// Falcon's form of ALiBi: adds `scale * slope * key position`, where slope, position and product are
    /// rounded to bfloat16. It depends on more than the distance, then.
    pub alibi_in_bfloat16: bool,
    /// T5 (Raffel et al. 2020): adds a learned number that depends on head and distance.
    pub relative: Option<RelativeBuckets>,
    /// Multiplies the product of query and key, before anything is added.
    pub scale: f32,
    /// Gemma 2's cap: a scaled product `s` becomes `cap * tanh(s / cap)`, before anything is added.
    pub soft_cap: Option<f32>,
}

/// Row of the table of relative biases for each distance.
#[derive(Clone, Debug)]
pub struct RelativeBuckets {
    /// The row for `key position - query position` is at `key position - query position + zero_at`;
    /// distances beyond either end have the row at that end.
    pub buckets: Arc<[u32]>,
    /// Where distance zero is.
    pub zero_at: usize,
}

impl RelativeBuckets {
    /// The bucket of a key for a query at `position`.
    pub(super) fn bucket(&self, key: usize, position: usize) -> usize {
        let place = (self.zero_at + key).saturating_sub(position);
        self.buckets[place.min(self.buckets.len() - 1)] as usize
    }
}

impl AttentionPattern {
    /// Whether it matters where a query is.
    pub fn depends_on_position(&self) -> bool {
        self.causal || self.window.is_some() || self.alibi.is_some() || self.relative.is_some()
    }

    /// What ALiBi in bfloat16 adds for a key.
    pub(crate) fn bfloat16_alibi(&self, slope: f32, key: usize) -> f32 {
        self.scale * bfloat16(bfloat16(slope) * bfloat16(key as f32))
    }

    /// Keys, of `keys`, that the query at `position` sees.
    pub(super) fn visible(&self, position: usize, keys: usize) -> Range<usize> {
        let ahead = if self.causal { Some(1) } else { self.window };
        let end = ahead.map_or(keys, |ahead| position.saturating_add(ahead).min(keys));
        let start = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        start.min(end)..end
    }

    /// Smallest range of keys that holds all that the queries at `positions`, at least one, see.
    pub(super) fn visible_to_any(&self, positions: Range<usize>, keys: usize) -> Range<usize> {
        self.visible(positions.start, keys).start..self.visible(positions.end - 1, keys).end
    }
}

/// The nearest number with eight significant bits; of two, the even one. For finite numbers.
fn bfloat16(value: f32) -> f32 {
    let bits = value.to_bits();
    let half = 0x7fff + ((bits >> 16) & 1);
    f32::from_bits(bits.wrapping_add(half) & 0xffff_0000)
}
