//! One vector a text.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use burn::tensor::{IndexingUpdateOp, Tensor, TensorData};

use crate::batch::integers;
use crate::{Backbone, Mode, Rows, TokenBatch};

/// What of a text's hidden states stands for the text: the poolings of sentence-transformers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextPooling {
    /// The mean over its tokens, special tokens included, as sentence-transformers has it.
    #[default]
    Mean,
    /// The first token's: `[CLS]` of an encoder.
    Cls,
    /// The last token's: the one of a decoder that has seen the whole text.
    Last,
    /// The largest value of each column over its tokens.
    Max,
    /// The sum over its tokens, divided by the square root of their number.
    MeanSqrtLen,
    /// The mean over its tokens, in which the first counts once, the second twice and so on.
    WeightedMean,
}

impl TextPooling {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Mean, Self::Cls, Self::Last, Self::Max, Self::MeanSqrtLen, Self::WeightedMean];

    fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
            Self::MeanSqrtLen => "mean-sqrt-len",
            Self::WeightedMean => "weighted-mean",
        }
    }

    /// The only tokens that it reads, where it reads one a sequence.
    fn rows(self) -> Rows {
        match self {
            Self::Cls => Rows::First,
            Self::Last => Rows::Last,
            _ => Rows::All,
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
        found.ok_or_else(|| format!("{name} is not one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// One vector a sequence, without dropout; of an encoder-decoder model, from the encoder's output.
/// The vectors of several poolings follow each other. The first `skipped` tokens of each sequence
/// (a prompt that does not count) are left out, though the last token always counts.
///
/// # Shapes
/// - batch: `[tokens]`; output: `[sequences, poolings * hidden]`
pub fn embed(
    backbone: &impl Backbone,
    batch: &TokenBatch,
    poolings: &[TextPooling],
    skipped: usize,
) -> Tensor<2> {
    let encoded = backbone.encode(batch, Mode::Evaluate);
    if let ([pooling @ (TextPooling::Cls | TextPooling::Last)], None, 0) = (poolings, &encoded, skipped) {
        // The last layer computes the rows that are read, alone.
        return backbone.forward(batch, pooling.rows(), Mode::Evaluate);
    }
    let hidden = encoded.unwrap_or_else(|| backbone.forward(batch, Rows::All, Mode::Evaluate));
    let spans: Vec<Span> = batch.sequences.ranges().map(|rows| Span::new(rows, skipped)).collect();
    let pooled = poolings.iter().map(|&pooling| pool(hidden.clone(), &spans, pooling));
    Tensor::cat(pooled.collect(), 1)
}

/// The mean over each sequence's tokens.
///
/// # Shapes
/// - hidden: `[tokens, hidden]`; output: `[sequences, hidden]`
pub(crate) fn mean_of_tokens(hidden: Tensor<2>, batch: &TokenBatch) -> Tensor<2> {
    let spans: Vec<Span> = batch.sequences.ranges().map(|rows| Span::new(rows, 0)).collect();
    pool(hidden, &spans, TextPooling::Mean)
}

/// The rows of a sequence.
struct Span {
    rows: Range<usize>,
    /// The first that counts.
    first: usize,
}

impl Span {
    fn new(rows: Range<usize>, skipped: usize) -> Self {
        let first = (rows.start + skipped).min(rows.end.saturating_sub(1)).max(rows.start);
        Self { rows, first }
    }

    fn counted(&self) -> Range<usize> {
        self.first..self.rows.end
    }
}

/// # Shapes
/// - hidden: `[tokens, width]`; output: `[sequences, width]`
fn pool(hidden: Tensor<2>, spans: &[Span], pooling: TextPooling) -> Tensor<2> {
    let device = hidden.device();
    let rows =
        |row: fn(&Span) -> usize| integers(spans.iter().map(|span| row(span) as i32).collect(), &device);
    match pooling {
        TextPooling::Cls => hidden.clone().select(0, rows(|span| span.first)),
        TextPooling::Last => hidden.clone().select(0, rows(|span| span.rows.end - 1)),
        TextPooling::Max => Tensor::cat(
            spans.iter().map(|span| hidden.clone().slice([span.counted()]).max_dim(0)).collect(),
            0,
        ),
        TextPooling::Mean => mean(hidden, spans, |_| 1.0, |sum| sum),
        TextPooling::MeanSqrtLen => mean(hidden, spans, |_| 1.0, f32::sqrt),
        TextPooling::WeightedMean => mean(hidden, spans, |place| (place + 1) as f32, |sum| sum),
    }
}

/// The weighted sum of each sequence's rows, divided by what becomes of the sum of its weights; zeros
/// for a sequence without rows. A row's weight depends on its place in the sequence.
///
/// # Shapes
/// - hidden: `[tokens, width]`; output: `[sequences, width]`
fn mean(
    hidden: Tensor<2>,
    spans: &[Span],
    weight: impl Fn(usize) -> f32,
    divisor: impl Fn(f32) -> f32,
) -> Tensor<2> {
    let ([tokens, width], device) = (hidden.dims(), hidden.device());
    let (mut owners, mut weights) = (vec![0; tokens], vec![0.0_f32; tokens]);
    let mut divisors = Vec::with_capacity(spans.len());
    for (sequence, span) in spans.iter().enumerate() {
        owners[span.rows.clone()].fill(sequence as i32);
        for row in span.counted() {
            weights[row] = weight(row - span.rows.start);
        }
        let sum: f32 = weights[span.counted()].iter().sum();
        divisors.push(divisor(if sum > 0.0 { sum } else { 1.0 }));
    }
    let column = |values: Vec<f32>| {
        let rows = values.len();
        Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &device)
    };
    let sums = Tensor::zeros([spans.len(), width], &device);
    let weighted = hidden * column(weights);
    sums.select_assign(0, integers(owners, &device), weighted, IndexingUpdateOp::Add) / column(divisors)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn pooled(pooling: TextPooling, spans: &[(Range<usize>, usize)]) -> Vec<f32> {
        let device = Device::flex();
        let hidden = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0], [5.0, 8.0], [7.0, 0.0]], &device);
        let spans: Vec<Span> =
            spans.iter().map(|(rows, skipped)| Span::new(rows.clone(), *skipped)).collect();
        pool(hidden, &spans, pooling).into_data().iter::<f32>().collect()
    }

    #[test]
    fn means_are_taken_within_a_sequence() {
        let spans = [(0..1, 0), (1..3, 0), (3..3, 0), (3..4, 0)];
        assert_eq!(pooled(TextPooling::Mean, &spans), [1.0, 2.0, 4.0, 6.0, 0.0, 0.0, 7.0, 0.0]);
    }

    #[test]
    fn a_prompt_is_left_out_and_the_last_token_never() {
        let spans = [(0..3, 1), (3..4, 5)];
        assert_eq!(pooled(TextPooling::Mean, &spans), [4.0, 6.0, 7.0, 0.0]);
        assert_eq!(pooled(TextPooling::Cls, &spans), [3.0, 4.0, 7.0, 0.0]);
        assert_eq!(pooled(TextPooling::Last, &spans), [5.0, 8.0, 7.0, 0.0]);
        assert_eq!(pooled(TextPooling::Max, &[(0..2, 1), (2..4, 0)]), [3.0, 4.0, 7.0, 8.0]);
        // Weights count from the beginning of the sequence: (2 * 3 + 3 * 5) / 5 and (2 * 4 + 3 * 8) / 5.
        assert_eq!(pooled(TextPooling::WeightedMean, &spans), [4.2, 6.4, 7.0, 0.0]);
        assert_eq!(pooled(TextPooling::MeanSqrtLen, &[(0..4, 0)]), [8.0, 7.0]);
    }

    #[test]
    fn poolings_are_read_by_name() {
        for pooling in TextPooling::ALL {
            assert_eq!(pooling.to_string().parse(), Ok(pooling));
        }
        assert!("median".parse::<TextPooling>().unwrap_err().contains("mean, cls, last"));
    }
}
