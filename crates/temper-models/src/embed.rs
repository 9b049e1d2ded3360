//! One vector a text.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{IndexingUpdateOp, Tensor, TensorData};
use temper_kernels::Sequences;

use crate::batch::integers;
use crate::{Backbone, Mode, Rows, TokenBatch};

/// What of a text's hidden states stands for the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextPooling {
    /// The mean over its tokens, special tokens included, as sentence-transformers has it.
    #[default]
    Mean,
    /// The first token's: `[CLS]` of an encoder.
    Cls,
    /// The last token's: the one of a decoder that has seen the whole text.
    Last,
}

impl TextPooling {
    const ALL: [Self; 3] = [Self::Mean, Self::Cls, Self::Last];

    fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
        }
    }
}

impl fmt::Display for TextPooling {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for TextPooling {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|pooling| pooling.name() == name);
        found.ok_or_else(|| format!("{name} is not one of mean, cls, last"))
    }
}

/// One vector a sequence, without dropout; of an encoder-decoder model, from the encoder's output.
///
/// # Shapes
/// - batch: `[tokens]`; output: `[sequences, hidden]`
pub fn embed(backbone: &impl Backbone, batch: &TokenBatch, pooling: TextPooling) -> Tensor<2> {
    if let Some(encoded) = backbone.encode(batch, Mode::Evaluate) {
        return match pooling {
            TextPooling::Mean => means(encoded, &batch.sequences),
            TextPooling::Cls => batch.layer_rows(Rows::First).select(encoded),
            TextPooling::Last => batch.layer_rows(Rows::Last).select(encoded),
        };
    }
    match pooling {
        TextPooling::Mean => means(backbone.forward(batch, Rows::All, Mode::Evaluate), &batch.sequences),
        TextPooling::Cls => backbone.forward(batch, Rows::First, Mode::Evaluate),
        TextPooling::Last => backbone.forward(batch, Rows::Last, Mode::Evaluate),
    }
}

/// The mean of each sequence's rows; a sequence without rows has zeros.
///
/// # Shapes
/// - hidden: `[tokens, width]`; output: `[sequences, width]`
fn means(hidden: Tensor<2>, sequences: &Sequences) -> Tensor<2> {
    let ([_, width], device) = (hidden.dims(), hidden.device());
    let lengths: Vec<usize> = sequences.ranges().map(|range| range.len()).collect();
    let owners = lengths.iter().enumerate();
    let owners =
        owners.flat_map(|(sequence, &length)| std::iter::repeat_n(sequence as i32, length)).collect();
    let counts: Vec<f32> = lengths.iter().map(|&length| length.max(1) as f32).collect();
    let counts = Tensor::<2>::from_data(TensorData::new(counts, [lengths.len(), 1]), &device);
    let sums = Tensor::zeros([lengths.len(), width], &device);
    sums.select_assign(0, integers(owners, &device), hidden, IndexingUpdateOp::Add) / counts
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn means_are_taken_within_a_sequence() {
        let device = Device::flex();
        let hidden = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0], [5.0, 8.0], [7.0, 0.0]], &device);
        let means = means(hidden, &Sequences::of_lengths(&[1, 2, 0, 1]));
        let values: Vec<f32> = means.into_data().iter::<f32>().collect();
        assert_eq!(values, [1.0, 2.0, 4.0, 6.0, 0.0, 0.0, 7.0, 0.0]);
    }

    #[test]
    fn poolings_are_read_by_name() {
        for pooling in TextPooling::ALL {
            assert_eq!(pooling.to_string().parse(), Ok(pooling));
        }
        assert!("median".parse::<TextPooling>().unwrap_err().contains("mean, cls, last"));
    }
}
