//! Keys and values of the tokens that a model has read already.

use burn::tensor::{Int, Tensor};
use temper_kernels::Sequences;

use super::LayerRows;
use crate::batch::integers;
use crate::{Tape, TokenBatch};

/// An encoder's output for its input, for the decoder's cross-attention.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// `[tokens, hidden]`
    pub hidden: Tensor<2>,
    /// Where each sequence begins and ends.
    pub sequences: Sequences,
}

impl Encoded {
    /// An encoder's output for a batch: as the cache knows it, else computed and kept there.
    pub fn of(batch: &TokenBatch, cache: Option<&mut Cache>, encode: impl FnOnce() -> Tensor<2>) -> Self {
        if let Some(known) = cache.as_ref().and_then(|cache| cache.encoded.clone()) {
            return known;
        }
        let encoded = Self { hidden: encode(), sequences: batch.sequences.clone() };
        if let Some(cache) = cache {
            cache.encoded = Some(encoded.clone());
        }
        encoded
    }

    /// The same as a leaf of the layers that attend to it.
    pub(super) fn cut(&self, tape: &Tape) -> Self {
        Self { hidden: tape.cut(self.hidden.clone()), ..self.clone() }
    }

    pub(super) fn without_autodiff(&self) -> Self {
        Self { hidden: self.hidden.clone().without_autodiff(), ..self.clone() }
    }
}

/// Keys and values of one attention, `[rows, key heads * head]` each.
#[derive(Clone, Debug)]
struct KeyValues {
    key: Tensor<2>,
    value: Tensor<2>,
}

impl KeyValues {
    /// These with new ones after them, in an order; without one they are in order already.
    fn joined(self, new: Self, order: Option<&Tensor<1, Int>>) -> Self {
        let key = Tensor::cat(vec![self.key, new.key], 0);
        let joined = Self { key, value: Tensor::cat(vec![self.value, new.value], 0) };
        match order {
            Some(order) => joined.select(order),
            None => joined,
        }
    }

    fn select(self, rows: &Tensor<1, Int>) -> Self {
        Self { key: self.key.select(0, rows.clone()), value: self.value.select(0, rows.clone()) }
    }
}

/// One layer's part of a [`Cache`].
#[derive(Clone, Debug, Default)]
pub struct LayerCache {
    own: Option<KeyValues>,
    /// Of cross-attention: computed once.
    cross: Option<KeyValues>,
}

impl LayerCache {
    /// Adds the keys and values of new tokens; gives those of all tokens, sequence by sequence.
    pub(super) fn extend(&mut self, key: Tensor<2>, value: Tensor<2>, rows: &LayerRows) -> [Tensor<2>; 2] {
        let new = KeyValues { key, value };
        let joined = match self.own.take() {
            Some(past) => past.joined(new, rows.cache_order.as_ref()),
            None => new,
        };
        let all = [joined.key.clone(), joined.value.clone()];
        self.own = Some(joined);
        all
    }

    /// The keys and values of cross-attention, computed at the first call.
    pub(super) fn cross(&mut self, compute: impl FnOnce() -> [Tensor<2>; 2]) -> [Tensor<2>; 2] {
        let stored = self.cross.get_or_insert_with(|| {
            let [key, value] = compute();
            KeyValues { key, value }
        });
        [stored.key.clone(), stored.value.clone()]
    }
}

/// What a decoder remembers between the tokens that it generates.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<LayerCache>,
    /// Tokens of each sequence that were read.
    lengths: Vec<usize>,
    /// The encoder's output for its input, for encoder-decoder models.
    pub(crate) encoded: Option<Encoded>,
}

impl Cache {
    /// An empty memory for some sequences.
    pub fn new(sequences: usize) -> Self {
        Self { layers: Vec::new(), lengths: vec![0; sequences], encoded: None }
    }

    /// Tokens of each sequence that were read.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Notes that the tokens of a batch were read.
    pub(super) fn advance(&mut self, read: &Sequences) {
        self.lengths.iter_mut().zip(read.ranges()).for_each(|(length, range)| *length += range.len());
    }

    pub(super) fn layer(&mut self, index: usize) -> &mut LayerCache {
        if self.layers.len() <= index {
            self.layers.resize_with(index + 1, LayerCache::default);
        }
        &mut self.layers[index]
    }

    /// Keeps some sequences, in the given order; one may be named more than once, as beam search does.
    #[must_use]
    pub fn select(mut self, sequences: &[usize]) -> Self {
        let own = rows_of(&Sequences::of_lengths(&self.lengths), sequences);
        let encoded = self.encoded.as_ref().map(|encoded| rows_of(&encoded.sequences, sequences));
        for layer in &mut self.layers {
            layer.own = layer.own.take().map(|stored| {
                let rows = integers(own.clone(), &stored.key.device());
                stored.select(&rows)
            });
            layer.cross = layer.cross.take().zip(encoded.as_ref()).map(|(stored, rows)| {
                let rows = integers(rows.clone(), &stored.key.device());
                stored.select(&rows)
            });
        }
        let lengths = sequences.iter().map(|&sequence| self.lengths[sequence]).collect();
        let encoded = self.encoded.take().zip(encoded).map(|(stored, rows)| {
            let kept = sequences.iter().map(|&sequence| stored.sequences.range(sequence).len());
            Encoded {
                sequences: Sequences::of_lengths(&kept.collect::<Vec<_>>()),
                hidden: stored.hidden.clone().select(0, integers(rows, &stored.hidden.device())),
            }
        });
        Self { layers: self.layers, lengths, encoded }
    }
}

/// The rows of some sequences, in their order.
fn rows_of(all: &Sequences, sequences: &[usize]) -> Vec<i32> {
    sequences.iter().flat_map(|&sequence| all.range(sequence)).map(|row| row as i32).collect()
}
