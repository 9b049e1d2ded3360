//! Packed batches of tokens on a device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use temper_kernels::{AttentionLayout, RowIndex, Sequences};

use crate::layers::LayerRows;
use crate::{Tape, TrunkState};

/// A packed batch on a device: the tokens of all sequences, one after the other, without padding.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Token ids, `[tokens]`.
    pub ids: RowIndex,
    /// The ids that [`Rows`] are found by, `[tokens]`: of a decoder that reads its input shifted right, the
    /// input's.
    read_by: RowIndex,
    /// Segment ids (0 for the first text, 1 for the second), `[tokens]`.
    pub type_ids: RowIndex,
    /// Each token's place in its sequence, from 0 or from what a cache holds already, `[tokens]`.
    pub positions: RowIndex,
    /// Where each sequence begins and ends.
    pub sequences: Sequences,
    /// Tokens of each sequence that a cache holds already; `None` without a cache.
    past: Option<Sequences>,
    /// What the decoder of an encoder-decoder model reads; without it, the ids shifted right.
    pub decoder: Option<Box<TokenBatch>>,
    /// What [`Rows::Chosen`] are; none where all are.
    chosen: Option<Arc<[usize]>>,
    /// The output of the lowest layers for it, where that is known.
    trunk: Option<TrunkState>,
    /// Where a training pass notes what it computes again.
    tape: Option<Tape>,
}

/// Which tokens' hidden states are wanted of a model.
///
/// The last layer computes these alone: for a classifier that reads one token a sequence, that
/// saves nearly all of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every token's.
    All,
    /// The first token's of every sequence.
    First,
    /// The last token's of every sequence.
    Last,
    /// The last token's that is not this one, padding; the first token's of a sequence of nothing else.
    /// transformers' decoders classify there.
    LastExcept(u32),
    /// The last token's that is this one, an end of sequence; see [`Rows::place`]. T5 and BART classify there.
    LastOf(u32),
    /// Those that the batch names: [`TokenBatch::choosing`].
    Chosen,
}

impl Rows {
    /// The place of the token that is read in a sequence of ids; `None` where several are, for a sequence
    /// without tokens, and where [`Rows::LastOf`] does not find its token.
    ///
    /// ```
    /// use temper_models::Rows;
    ///
    /// assert_eq!(Rows::Last.place(&[5, 7, 0]), Some(2));
    /// assert_eq!(Rows::LastExcept(0).place(&[5, 7, 0]), Some(1));
    /// assert_eq!(Rows::LastExcept(0).place(&[0, 0]), Some(0));
    /// assert_eq!(Rows::LastOf(2).place(&[5, 2, 7, 2, 0]), Some(3));
    /// assert_eq!(Rows::LastOf(2).place(&[5, 7]), None);
    /// ```
    pub fn place(self, ids: &[i32]) -> Option<usize> {
        let is = |id: &i32, wanted: u32| u32::try_from(*id) == Ok(wanted);
        match self {
            Self::All | Self::Chosen => None,
            Self::First => (!ids.is_empty()).then_some(0),
            Self::Last => ids.len().checked_sub(1),
            Self::LastExcept(pad) => {
                ids.iter().rposition(|id| !is(id, pad)).or((!ids.is_empty()).then_some(0))
            }
            Self::LastOf(end) => ids.iter().rposition(|id| is(id, end)),
        }
    }
}

impl TokenBatch {
    /// Builds a batch from host data.
    ///
    /// The tensors never take part in autodiff, so that a frozen layer may run without it.
    ///
    /// # Shapes
    /// - `ids`, `type_ids`: `[tokens]`, one sequence after the other; `lengths`: `[sequences]`
    ///
    /// # Panics
    /// When the lengths do not add up to the number of values: a mistake of the caller, not of its
    /// input.
    pub fn new(ids: &[u32], type_ids: &[u32], lengths: &[u32], device: &Device) -> Self {
        assert_eq!(ids.len(), type_ids.len(), "as many segment ids as ids");
        let type_ids = RowIndex::new(type_ids.iter().map(|&id| id as i32).collect(), device);
        Self { type_ids, past: None, ..Self::build(ids, lengths, &vec![0; lengths.len()], device) }
    }

    /// Tokens that follow those in a cache.
    ///
    /// # Shapes
    /// - `ids`: `[tokens]`, one sequence after the other; `lengths`, `past`: `[sequences]`
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn following(ids: &[u32], lengths: &[u32], past: &[usize], device: &Device) -> Self {
        Self::build(ids, lengths, past, device)
    }

    fn build(ids: &[u32], lengths: &[u32], past: &[usize], device: &Device) -> Self {
        let lengths: Vec<usize> = lengths.iter().map(|&length| length as usize).collect();
        let sequences = Sequences::of_lengths(&lengths);
        assert_eq!(ids.len(), sequences.rows(), "the lengths do not add up to the number of ids");
        let positions = lengths.iter().zip(past).flat_map(|(&length, &past)| past..past + length);
        let ids = RowIndex::new(ids.iter().map(|&id| id as i32).collect(), device);
        Self {
            read_by: ids.clone(),
            type_ids: RowIndex::new(vec![0; ids.host().len()], device),
            ids,
            positions: RowIndex::new(positions.map(|position| position as i32).collect(), device),
            sequences,
            past: Some(Sequences::of_lengths(past)),
            decoder: None,
            chosen: None,
            trunk: None,
            tape: None,
        }
    }

    /// Packs a rectangle whose rows are padded on the right.
    ///
    /// # Shapes
    /// - `ids`, `type_ids`: `[sequences, seq]`, row-major; `lengths`: `[sequences]`, each at most seq
    ///
    /// # Panics
    /// When sizes contradict each other.
    pub fn from_padded(ids: &[u32], type_ids: &[u32], lengths: &[u32], seq: usize, device: &Device) -> Self {
        assert_eq!(ids.len(), lengths.len() * seq, "ids are [sequences, seq]");
        let pack = |values: &[u32]| -> Vec<u32> {
            let rows = values.chunks(seq.max(1)).zip(lengths);
            rows.flat_map(|(row, &length)| row[..length as usize].to_vec()).collect()
        };
        Self::new(&pack(ids), &pack(type_ids), lengths, device)
    }

    /// The same with what the decoder reads. Where that is as long as the input, [`Rows`] are found by the input's
    /// ids, as in transformers.
    #[must_use]
    pub fn with_decoder(self, decoder: TokenBatch) -> Self {
        let as_long = self.sequences.ranges().eq(decoder.sequences.ranges());
        let read_by = if as_long { self.read_by.clone() } else { decoder.read_by.clone() };
        Self { decoder: Some(Box::new(TokenBatch { read_by, ..decoder })), ..self }
    }

    /// The same, of which a language model's head reads these tokens alone: their numbers in the batch, ascending, one of
    /// each sequence at least. The last layer computes no others.
    ///
    /// Where a layer's attention depends on where a token is, the layer computes all of them.
    #[must_use]
    pub fn choosing(self, tokens: Vec<usize>) -> Self {
        Self { chosen: Some(tokens.into()), ..self }
    }

    /// [`Rows::Chosen`], or all of them.
    pub(crate) fn wanted(&self) -> Rows {
        if self.chosen.is_some() { Rows::Chosen } else { Rows::All }
    }

    /// Of the tokens that are chosen, the first of each sequence.
    pub(crate) fn first_of_chosen(&self) -> RowIndex {
        let starts: Vec<usize> = match &self.chosen {
            None => self.sequences.ranges().map(|range| range.start).collect(),
            Some(chosen) => {
                let place = |range: std::ops::Range<usize>| chosen.partition_point(|&row| row < range.start);
                self.sequences.ranges().map(place).collect()
            }
        };
        RowIndex::new(starts.into_iter().map(|row| row as i32).collect(), &self.device())
    }

    /// The same with the output of the lowest layers for it: a pass then starts from there.
    ///
    /// The state must be of this batch and of the model that reads it.
    #[must_use]
    pub fn with_trunk(self, trunk: TrunkState) -> Self {
        Self { trunk: Some(trunk), ..self }
    }

    /// The same, to be computed from the embeddings on.
    #[must_use]
    pub fn without_trunk(self) -> Self {
        Self { trunk: None, ..self }
    }

    /// The output of the lowest layers for it, where that is known.
    pub fn trunk(&self) -> Option<&TrunkState> {
        self.trunk.as_ref()
    }

    /// The same with a tape: layers that a training pass has to go back through are computed again there, instead
    /// of keeping what they compute inside. Gradients come from [`Tape::backward`].
    #[must_use]
    pub fn with_tape(self, tape: &Tape) -> Self {
        Self { tape: Some(tape.clone()), ..self }
    }

    /// Where a training pass notes what it computes again.
    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The ids moved one place to the right after `start`; the last one of each sequence falls away.
    /// transformers makes decoder inputs so, `shift_tokens_right`. [`Rows`] are found by the ids as they were.
    pub fn shifted_right(&self, start: u32) -> Self {
        let ids = self.ids.host();
        let place = |(row, &position): (usize, &i32)| match position {
            0 => start as i32,
            _ => ids[row - 1],
        };
        let shifted = self.positions.host().iter().enumerate().map(place).collect();
        Self { ids: RowIndex::new(shifted, &self.device()), decoder: None, trunk: None, ..self.clone() }
    }

    /// The device that the batch is on.
    pub fn device(&self) -> Device {
        self.ids.tensor().device()
    }

    /// Each token's row in a table of positions whose first ones are set aside, as BART's are.
    pub fn positions_from(&self, first: usize) -> RowIndex {
        if first == 0 {
            return self.positions.clone();
        }
        let moved = self.positions.host().iter().map(|position| position + first as i32);
        RowIndex::new(moved.collect(), &self.device())
    }

    /// Each token's row in RoBERTa's table of positions: tokens that are not padding are counted, after its id;
    /// padding inside a text has the row of its own id.
    pub fn positions_behind_padding(&self, pad: u32) -> RowIndex {
        let (ids, pad) = (self.ids.host(), pad as i32);
        let mut rows = Vec::with_capacity(ids.len());
        for (range, past) in self.sequences.ranges().zip(self.past_lengths()) {
            let mut last = pad + past as i32;
            for &id in &ids[range] {
                last += i32::from(id != pad);
                rows.push(if id == pad { pad } else { last });
            }
        }
        RowIndex::new(rows, &self.device())
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.sequences.rows()
    }

    /// Tokens of each sequence that a cache holds already; zeros without one.
    fn past_lengths(&self) -> Vec<usize> {
        match &self.past {
            Some(past) => past.ranges().map(|range| range.len()).collect(),
            None => vec![0; self.sequences.count()],
        }
    }

    /// The rows of a self-attention layer that computes these tokens.
    pub fn layer_rows(&self, rows: Rows) -> LayerRows {
        let past = self.past_lengths();
        let lengths = self.sequences.ranges().map(|range| range.len());
        let keys: Vec<usize> = lengths.zip(&past).map(|(length, past)| past + length).collect();
        let keys = Sequences::of_lengths(&keys);
        if rows == Rows::All {
            let layout = AttentionLayout::new(self.sequences.clone(), keys, past);
            return LayerRows::new(None, layout, self.cache_order());
        }
        if rows == Rows::Chosen {
            return self.chosen_rows(keys);
        }
        let ids = self.read_by.host();
        // A missing end is refused where texts become ids.
        let pick = |range: std::ops::Range<usize>| {
            let place = rows.place(&ids[range.clone()]).or(Rows::Last.place(&ids[range.clone()]));
            range.start + place.unwrap_or_default()
        };
        let picked: Vec<usize> = self.sequences.ranges().map(pick).collect();
        let places = picked.iter().zip(self.sequences.ranges()).map(|(row, range)| row - range.start);
        let offsets: Arc<[usize]> = places.zip(&past).map(|(place, past)| place + past).collect();
        let queries = Sequences::of_lengths(&vec![1; picked.len()]);
        let picked = picked.iter().map(|&row| row as i32).collect();
        let indices = RowIndex::new(picked, &self.device());
        LayerRows::new(Some(indices), AttentionLayout::new(queries, keys, offsets), self.cache_order())
    }

    /// The rows of a layer that computes the chosen tokens.
    fn chosen_rows(&self, keys: Sequences) -> LayerRows {
        let chosen = self.chosen.as_deref().unwrap_or_default();
        let place = |row: usize| chosen.partition_point(|&other| other < row);
        let counts: Vec<usize> =
            self.sequences.ranges().map(|range| place(range.end) - place(range.start)).collect();
        let indices = RowIndex::new(chosen.iter().map(|&row| row as i32).collect(), &self.device());
        let layout = AttentionLayout::scattered(Sequences::of_lengths(&counts), keys);
        LayerRows::new(Some(indices), layout, self.cache_order())
    }

    /// Where each row of past and new keys together is among the past ones with the new ones after
    /// them: by sequence, first the past, then the new. `None` if they are in this order already: without a past,
    /// and of a single sequence.
    fn cache_order(&self) -> Option<Tensor<1, Int>> {
        let past = self.past.as_ref().filter(|past| past.rows() > 0 && past.count() > 1)?;
        let sequences = past.ranges().zip(self.sequences.ranges());
        let order =
            sequences.flat_map(|(old, new)| old.chain(past.rows() + new.start..past.rows() + new.end));
        Some(integers(order.map(|row| row as i32).collect(), &self.device()))
    }
}

/// Whole numbers on a device, outside of autodiff.
pub(crate) fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), &device.clone().inner())
}
