use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use temper_kernels::{AttentionLayout, Sequences};

/// A packed batch on a device: the tokens of all sequences, one after the other, without padding.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Token ids, `[tokens]`.
    pub ids: Tensor<1, Int>,
    /// Segment ids (0 for the first text, 1 for the second), `[tokens]`.
    pub type_ids: Tensor<1, Int>,
    /// Each token's place in its sequence, from 0, `[tokens]`.
    pub positions: Tensor<1, Int>,
    /// Where each sequence begins and ends.
    pub sequences: Sequences,
}

/// Which tokens' hidden states are wanted of a model.
///
/// The last layer computes these alone: for a classifier that reads one token a sequence, that
/// spares nearly all of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every token's.
    All,
    /// The first token's of every sequence.
    First,
    /// The last token's of every sequence.
    Last,
}

/// The tokens that a layer computes, and what they see.
#[derive(Clone, Debug)]
pub struct LayerRows {
    /// `[rows]`: their rows in the batch; `None` for all of them.
    indices: Option<Tensor<1, Int>>,
    /// Where each sequence's queries and keys lie.
    pub layout: AttentionLayout,
}

impl LayerRows {
    /// # Shapes
    /// - x: `[tokens, width]`; output: `[rows, width]`
    pub fn select(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.indices {
            Some(indices) => x.select(0, indices.clone()),
            None => x,
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
        let device = &device.clone().inner();
        let lengths: Vec<usize> = lengths.iter().map(|&length| length as usize).collect();
        let sequences = Sequences::of_lengths(&lengths);
        assert_eq!(ids.len(), sequences.rows(), "the lengths do not add up to the number of ids");
        assert_eq!(ids.len(), type_ids.len(), "as many segment ids as ids");
        let tensor = |values: Vec<i32>| {
            let len = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [len]), device)
        };
        let signed = |values: &[u32]| values.iter().map(|&value| value as i32).collect();
        let positions = lengths.iter().flat_map(|&length| 0..length as i32).collect();
        Self {
            ids: tensor(signed(ids)),
            type_ids: tensor(signed(type_ids)),
            positions: tensor(positions),
            sequences,
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

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.sequences.rows()
    }

    /// The rows of a self-attention layer that computes these tokens.
    pub fn layer_rows(&self, rows: Rows) -> LayerRows {
        let pick = match rows {
            Rows::All => {
                return LayerRows { indices: None, layout: AttentionLayout::full(self.sequences.clone()) };
            }
            Rows::First => |range: std::ops::Range<usize>| range.start,
            Rows::Last => |range: std::ops::Range<usize>| range.end - 1,
        };
        let picked: Vec<usize> = self.sequences.ranges().map(pick).collect();
        let offsets: Arc<[usize]> =
            picked.iter().zip(self.sequences.ranges()).map(|(row, range)| row - range.start).collect();
        let layout = AttentionLayout {
            queries: Sequences::of_lengths(&vec![1; picked.len()]),
            keys: self.sequences.clone(),
            offsets,
        };
        let values: Vec<i32> = picked.iter().map(|&row| row as i32).collect();
        let indices = Tensor::from_data(TensorData::new(values, [picked.len()]), &self.ids.device());
        LayerRows { indices: Some(indices), layout }
    }
}
