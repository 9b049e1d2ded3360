//! An encoder's output, as a decoder's cross-attention reads it.

use std::sync::Arc;

use burn::tensor::Tensor;
use temper_kernels::Sequences;

use crate::Tape;

/// An encoder's output for its input, for the decoder's cross-attention.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// `[tokens, hidden]`
    pub hidden: Tensor<2>,
    /// Where each sequence begins and ends.
    pub sequences: Sequences,
    /// How many of the decoder's sequences, one after the other, attend to each; `None`: one. A search with beams continues
    /// several texts for one input.
    readers: Option<Arc<[usize]>>,
}

impl Encoded {
    /// An encoder's output that one sequence of the decoder attends to, each to its own.
    pub fn new(hidden: Tensor<2>, sequences: Sequences) -> Self {
        Self { hidden, sequences, readers: None }
    }

    /// The same as a leaf of the layers that attend to it.
    pub(super) fn cut(&self, tape: &Tape) -> Self {
        Self { hidden: tape.cut(self.hidden.clone()), ..self.clone() }
    }

    pub(super) fn without_autodiff(&self) -> Self {
        Self { hidden: self.hidden.clone().without_autodiff(), ..self.clone() }
    }

    /// The same, of which so many of the decoder's sequences, one after the other, attend to each.
    pub(super) fn read_by(self, readers: Vec<usize>) -> Self {
        Self { readers: Some(readers.into()), ..self }
    }

    /// The queries of the decoder's sequences, together where they attend to the same sequence.
    pub(super) fn readers_of(&self, queries: &Sequences) -> Sequences {
        let Some(readers) = &self.readers else { return queries.clone() };
        let mut lengths = queries.ranges().map(|range| range.len());
        let of_source = readers.iter().map(|&count| lengths.by_ref().take(count).sum());
        Sequences::of_lengths(&of_source.collect::<Vec<_>>())
    }

    /// For some of the decoder's sequences, in this order: which of these sequences they attend to, and how many in a row
    /// attend to the same.
    pub(super) fn runs(&self, of_decoder: &[usize]) -> Vec<(usize, usize)> {
        let source_of: Vec<usize> = match &self.readers {
            None => (0..self.sequences.count()).collect(),
            Some(readers) => readers
                .iter()
                .enumerate()
                .flat_map(|(source, &count)| std::iter::repeat_n(source, count))
                .collect(),
        };
        let sources: Vec<usize> = of_decoder.iter().map(|&sequence| source_of[sequence]).collect();
        sources.chunk_by(|one, next| one == next).map(|run| (run[0], run.len())).collect()
    }
}
