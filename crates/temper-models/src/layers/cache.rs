//! Keys and values of the tokens that a model has read already.

use burn::tensor::{Int, Tensor};
use temper_kernels::Sequences;

use super::{Encoded, LayerRows};
use crate::TokenBatch;
use crate::batch::integers;

/// Room for more rows at least, where memory is asked for.
const MORE_ROWS: usize = 32;

/// Keys and values of one attention, `[capacity, key heads * head]` each.
#[derive(Clone, Debug)]
struct KeyValues {
    key: Tensor<2>,
    value: Tensor<2>,
    /// Rows that are there; what comes after them is room for more.
    rows: usize,
}

impl KeyValues {
    fn new(key: Tensor<2>, value: Tensor<2>) -> Self {
        Self { rows: key.dims()[0], key, value }
    }

    /// These with new ones after them, in an order; without one they are in order already.
    fn joined(self, new: Self, order: Option<&Tensor<1, Int>>) -> Self {
        let Self { rows, .. } = self;
        let Some(order) = order else {
            let [key, value] =
                [(self.key, new.key), (self.value, new.value)].map(|(old, new)| appended(old, rows, new));
            return Self { key, value, rows: rows + new.rows };
        };
        let [key, value] = self.filled();
        let [key, value] =
            [(key, new.key), (value, new.value)].map(|(old, new)| Tensor::cat(vec![old, new], 0));
        Self::new(key, value).select(order)
    }

    fn select(self, rows: &Tensor<1, Int>) -> Self {
        Self::new(self.key.select(0, rows.clone()), self.value.select(0, rows.clone()))
    }

    /// The rows that are there, `[rows, key heads * head]`.
    fn filled(&self) -> [Tensor<2>; 2] {
        [&self.key, &self.value].map(|tensor| match tensor.dims()[0] == self.rows {
            true => tensor.clone(),
            false => tensor.clone().narrow(0, 0, self.rows),
        })
    }
}

/// A tensor with new rows after the `rows` that are there. It is written in place where there is room, and otherwise copied
/// with room for half as many rows again: a text grows by a row at a time.
///
/// # Shapes
/// - tensor: `[capacity, width]`, new: `[new rows, width]`; output: `[at least rows + new rows, width]`
fn appended(tensor: Tensor<2>, rows: usize, new: Tensor<2>) -> Tensor<2> {
    let ([capacity, width], [new_rows, _]) = (tensor.dims(), new.dims());
    let all = rows + new_rows;
    if all <= capacity {
        return tensor.slice_assign([rows..all, 0..width], new);
    }
    let room = Tensor::zeros([all / 2 + MORE_ROWS, width], (&new.device(), new.dtype()));
    Tensor::cat(vec![tensor.narrow(0, 0, rows), new, room], 0)
}

/// One layer's part of a [`Cache`].
#[derive(Clone, Debug, Default)]
pub struct LayerCache {
    own: Option<KeyValues>,
    /// Of cross-attention: computed once, for each sequence of the encoder's output.
    cross: Option<KeyValues>,
}

impl LayerCache {
    /// Adds the keys and values of new tokens; gives those of all tokens, sequence by sequence.
    pub(super) fn extend(&mut self, key: Tensor<2>, value: Tensor<2>, rows: &LayerRows) -> [Tensor<2>; 2] {
        let new = KeyValues::new(key, value);
        let joined = match self.own.take() {
            Some(past) => past.joined(new, rows.cache_order.as_ref()),
            None => new,
        };
        let all = joined.filled();
        self.own = Some(joined);
        all
    }

    /// The keys and values of cross-attention, computed at the first call.
    pub(super) fn cross(&mut self, compute: impl FnOnce() -> [Tensor<2>; 2]) -> [Tensor<2>; 2] {
        let stored = self.cross.get_or_insert_with(|| {
            let [key, value] = compute();
            KeyValues::new(key, value)
        });
        stored.filled()
    }
}

/// What a decoder remembers between the tokens that it generates.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<LayerCache>,
    /// Tokens of each sequence that were read.
    lengths: Vec<usize>,
    /// The encoder's output for its input, for encoder-decoder models.
    encoded: Option<Encoded>,
}

impl Cache {
    /// An empty memory for some sequences.
    pub fn new(sequences: usize) -> Self {
        Self { layers: Vec::new(), lengths: vec![0; sequences], encoded: None }
    }

    /// An encoder's output for a batch: as the cache knows it, else computed and kept there.
    pub fn encoded(
        cache: Option<&mut Self>,
        batch: &TokenBatch,
        encode: impl FnOnce() -> Tensor<2>,
    ) -> Encoded {
        let compute = || Encoded::new(encode(), batch.sequences.clone());
        match cache {
            Some(cache) => cache.encoded.get_or_insert_with(compute).clone(),
            None => compute(),
        }
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

    /// Keeps some sequences, in the given order; one may be named more than once, as beam search does. What is known of an
    /// encoder's output is copied only where an input is left out.
    #[must_use]
    pub fn select(mut self, sequences: &[usize]) -> Self {
        let own = rows_of(&Sequences::of_lengths(&self.lengths), sequences);
        for layer in &mut self.layers {
            layer.own = layer.own.take().map(|stored| {
                let rows = integers(own.clone(), &stored.key.device());
                stored.select(&rows)
            });
        }
        if let Some(encoded) = self.encoded.take() {
            let runs = encoded.runs(sequences);
            let kept: Vec<usize> = runs.iter().map(|(source, _)| *source).collect();
            let readers = runs.iter().map(|(_, count)| *count).collect();
            let encoded = match kept.iter().copied().eq(0..encoded.sequences.count()) {
                true => encoded,
                false => self.select_encoded(encoded, &kept),
            };
            self.encoded = Some(encoded.read_by(readers));
        }
        let lengths = sequences.iter().map(|&sequence| self.lengths[sequence]).collect();
        Self { lengths, ..self }
    }

    /// Keeps some sequences of an encoder's output, and of the keys and values that were computed from it.
    fn select_encoded(&mut self, encoded: Encoded, kept: &[usize]) -> Encoded {
        let rows = integers(rows_of(&encoded.sequences, kept), &encoded.hidden.device());
        for layer in &mut self.layers {
            layer.cross = layer.cross.take().map(|stored| stored.select(&rows));
        }
        let lengths: Vec<usize> =
            kept.iter().map(|&sequence| encoded.sequences.range(sequence).len()).collect();
        Encoded::new(encoded.hidden.select(0, rows), Sequences::of_lengths(&lengths))
    }
}

/// The rows of some sequences, in their order.
fn rows_of(all: &Sequences, sequences: &[usize]) -> Vec<i32> {
    sequences.iter().flat_map(|&sequence| all.range(sequence)).map(|row| row as i32).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use temper_kernels::AttentionLayout;

    use super::*;

    /// A row for each number, `[numbers, 2]`.
    fn rows(numbers: std::ops::Range<usize>) -> Tensor<2> {
        let values: Vec<f32> = numbers.clone().flat_map(|number| [number as f32, -(number as f32)]).collect();
        Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape([numbers.len(), 2])
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_text_grows_row_by_row() {
        let sequences = Sequences::of_lengths(&[1]);
        let of_one = LayerRows::new(None, AttentionLayout::full(sequences), None);
        let mut cache = LayerCache::default();
        let mut read = 0;
        for new in [5].into_iter().chain(std::iter::repeat_n(1, 200)).chain([300, 1]) {
            let new = read..read + new;
            let [key, value] = cache.extend(rows(new.clone()), rows(new.clone()) * 3.0, &of_one);
            read = new.end;
            assert_eq!(values(key), values(rows(0..read)));
            assert_eq!(values(value), values(rows(0..read) * 3.0));
        }
    }

    #[test]
    fn an_encoders_output_is_copied_only_where_an_input_is_left_out() {
        let hidden = rows(0..5);
        let encoded = Encoded::new(hidden.clone(), Sequences::of_lengths(&[2, 3]));
        let cross = KeyValues::new(hidden.clone(), hidden);
        let layers = vec![LayerCache { own: None, cross: Some(cross) }];
        let cache = Cache { layers, lengths: vec![1, 1], encoded: Some(encoded) };
        // Three beams each, which then change places.
        let beams = cache.select(&[0, 0, 0, 1, 1, 1]).select(&[2, 0, 1, 5, 5, 3]);
        let encoded = beams.encoded.clone().unwrap();
        assert_eq!(encoded.sequences, Sequences::of_lengths(&[2, 3]));
        let queries = Sequences::of_lengths(&[1, 2, 1, 1, 1, 1]);
        assert_eq!(encoded.readers_of(&queries), Sequences::of_lengths(&[4, 3]));
        assert_eq!(beams.lengths, [1; 6]);
        // The first input is done.
        let mut rest = beams.select(&[4, 3, 3]);
        let encoded = rest.encoded.clone().unwrap();
        assert_eq!((values(encoded.hidden.clone()), encoded.sequences.count()), (values(rows(2..5)), 1));
        assert_eq!(encoded.readers_of(&Sequences::of_lengths(&[1; 3])), Sequences::of_lengths(&[3]));
        let [key, value] = rest.layer(0).cross(|| unreachable!("it is there"));
        assert_eq!((values(key), values(value)), (values(rows(2..5)), values(rows(2..5))));
        // In any order, also apart.
        let apart = rest.select(&[0, 1]);
        assert_eq!(apart.encoded.unwrap().runs(&[1, 0]), [(0, 2)]);
    }
}
