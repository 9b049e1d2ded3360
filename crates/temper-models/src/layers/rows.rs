//! Which tokens a layer computes, and what they see.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Int, Tensor};
use temper_kernels::{AttentionLayout, RelativeBuckets, RowIndex};

use super::{Encoded, Rotary, Rotation};
use crate::{Rows, Tape, TokenBatch};

/// The tokens that a layer computes, and what they see.
#[derive(Clone, Debug)]
pub struct LayerRows {
    /// `[rows]`: their rows in the batch; `None` for all of them.
    indices: Option<RowIndex>,
    /// Where each sequence's queries and keys are.
    pub layout: AttentionLayout,
    /// Order of past and new keys, where there is a past.
    pub(super) cache_order: Option<Tensor<1, Int>>,
    /// Rotations of queries and keys, for families that have them; an attention names one of them.
    pub(super) rotations: Vec<[Rotation; 2]>,
    /// Relative positions, which all layers share: T5's biases, `[buckets, heads]`, or DeBERTa's vectors,
    /// `[buckets, hidden]`.
    pub(super) relative: Option<Tensor<2>>,
    /// The buckets of distances, where they are not those of the layer's pattern.
    pub(super) relative_buckets: Option<RelativeBuckets>,
    /// Where the queries and an encoder's tokens are, the same for all layers.
    cross: Arc<OnceLock<AttentionLayout>>,
}

impl LayerRows {
    pub(crate) fn new(
        indices: Option<RowIndex>,
        layout: AttentionLayout,
        cache_order: Option<Tensor<1, Int>>,
    ) -> Self {
        Self {
            indices,
            layout,
            cache_order,
            rotations: Vec::new(),
            relative: None,
            relative_buckets: None,
            cross: Arc::default(),
        }
    }

    /// Whether every token is a row.
    pub(super) fn are_all(&self) -> bool {
        self.indices.is_none()
    }

    /// # Shapes
    /// - x: `[tokens, width]`; output: `[rows, width]`
    pub fn select(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.indices {
            Some(indices) => temper_kernels::look_up(x, indices),
            None => x,
        }
    }

    /// Where these queries and an encoder's output are.
    pub(super) fn cross_layout(&self, encoded: &Encoded) -> AttentionLayout {
        let make = || {
            let (queries, keys) = (encoded.readers_of(&self.layout.queries), encoded.sequences.clone());
            // Where a query is does not matter: it sees everything.
            let offsets = vec![0; keys.count()];
            AttentionLayout::new(queries, keys, offsets)
        };
        self.cross.get_or_init(make).clone()
    }

    pub(super) fn without_autodiff(&self) -> Self {
        Self { relative: self.relative.clone().map(Tensor::without_autodiff), ..self.clone() }
    }

    fn rotated(self, keys: &[Rotation]) -> Self {
        let of_queries = |keys: &Rotation| match &self.indices {
            Some(indices) => keys.select(&indices.tensor()),
            None => keys.clone(),
        };
        Self { rotations: keys.iter().map(|keys| [of_queries(keys), keys.clone()]).collect(), ..self }
    }
}

/// The rows of all layers of a stack: the last one computes only what is wanted.
#[derive(Clone, Debug)]
pub struct StackRows {
    pub(super) all: LayerRows,
    pub(super) wanted: LayerRows,
}

impl StackRows {
    /// The rows of a batch.
    pub fn of(batch: &TokenBatch, wanted: Rows) -> Self {
        let all = batch.layer_rows(Rows::All);
        let wanted = if wanted == Rows::All { all.clone() } else { batch.layer_rows(wanted) };
        Self { all, wanted }
    }

    /// The same with rotations by the positions, of which an attention names one.
    #[must_use]
    pub fn rotated(self, rotary: &[Rotary], batch: &TokenBatch) -> Self {
        let at = |rotary: &Rotary| rotary.at(&batch.positions, &batch.sequences);
        let keys: Vec<Rotation> = rotary.iter().map(at).collect();
        Self { all: self.all.rotated(&keys), wanted: self.wanted.rotated(&keys) }
    }

    /// The same with relative biases from this table, `[buckets, heads]`.
    #[must_use]
    pub fn with_relative_biases(mut self, table: Tensor<2>) -> Self {
        self.all.relative = Some(table.clone());
        self.wanted.relative = Some(table);
        self
    }

    /// The same with a vector for each of these buckets of distances, `[buckets, hidden]`.
    #[must_use]
    pub fn with_relative_vectors(mut self, vectors: Tensor<2>, buckets: RelativeBuckets) -> Self {
        self.all.relative_buckets = Some(buckets.clone());
        self.wanted.relative_buckets = Some(buckets);
        self.with_relative_biases(vectors)
    }

    /// The same with what all layers share as a leaf of each.
    pub(super) fn cut(&self, tape: &Tape) -> Self {
        match &self.all.relative {
            Some(table) => self.clone().with_relative_biases(tape.cut(table.clone())),
            None => self.clone(),
        }
    }

    /// True when something that all layers share takes part in autodiff.
    pub(super) fn is_autodiff(&self) -> bool {
        self.all.relative.as_ref().is_some_and(Tensor::is_autodiff)
    }
}
