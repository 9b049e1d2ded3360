//! The two matrices of an adapter on the host, as PEFT stores them, and several as one.

use std::ops::Range;

use burn::tensor::TensorData;
use temper_models::layers::LowRank;

/// `lora_A`, `[rank, in]`, and `lora_B`, `[out, rank]`, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Factors {
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
    pub(super) rank: usize,
    pub(super) scale: f64,
}

impl Factors {
    pub(super) fn of(adapter: &LowRank) -> Self {
        let config = adapter.config();
        let host = |data: TensorData| data.iter::<f32>().collect::<Vec<f32>>();
        let [a, b] = [&adapter.a, &adapter.b].map(|factor| host(factor.val().into_data()));
        // [in, rank] -> [rank, in] and [rank, out] -> [out, rank]
        let outputs = b.len() / config.rank.max(1);
        Self {
            a: transposed(&a, config.rank),
            b: transposed(&b, outputs),
            ..Self::empty(config.rank, config.scale)
        }
    }

    fn empty(rank: usize, scale: f64) -> Self {
        Self { a: Vec::new(), b: Vec::new(), rank, scale }
    }

    /// The matrices as a [`LowRank`] has them: `[in, rank]` and `[rank, out]`.
    pub(super) fn into_data(self) -> [TensorData; 2] {
        let [inputs, outputs] = [&self.a, &self.b].map(|factor| factor.len() / self.rank.max(1));
        [
            TensorData::new(transposed(&self.a, inputs), [inputs, self.rank]),
            TensorData::new(transposed(&self.b, self.rank), [self.rank, outputs]),
        ]
    }

    /// One adapter of a map whose outputs are those of several, of which `ranges` says where they are;
    /// parts without an adapter are `None`.
    ///
    /// Adapters side by side are one of their summed rank, its A stacked and its B zero where a part does
    /// not read another's A. It has the first one's scale; another's goes into its B. Parts with
    /// the same A, as PEFT's own adapter of a fused map gives them, are one of the rank that they have.
    pub(super) fn fused(parts: &[Option<Self>], ranges: &[Vec<Range<usize>>]) -> Option<Self> {
        let there: Vec<&Self> = parts.iter().flatten().collect();
        let first = *there.first()?;
        let is_shared = there.len() == parts.len() && there.iter().all(|part| part.a == first.a);
        let rank = if is_shared { first.rank } else { there.iter().map(|part| part.rank).sum() };
        let outputs = ranges.iter().flatten().map(|range| range.end).max().unwrap_or(0);
        let mut fused = Self { b: vec![0.0; outputs * rank], ..Self::empty(rank, first.scale) };
        let mut column = 0;
        for (part, ranges) in parts.iter().zip(ranges) {
            let Some(part) = part else { continue };
            for (row, values) in ranges.iter().cloned().flatten().zip(part.b.chunks(part.rank)) {
                let start = row * rank + column;
                let scaled = values.iter().map(|value| value * (part.scale / first.scale) as f32);
                fused.b[start..start + part.rank].iter_mut().zip(scaled).for_each(|(to, from)| *to = from);
            }
            if is_shared {
                continue;
            }
            fused.a.extend(&part.a);
            column += part.rank;
        }
        if is_shared {
            fused.a.clone_from(&first.a);
        }
        Some(fused)
    }

    /// The part of a fused map's adapter whose outputs are in these ranges: the same A, its rows of B.
    pub(super) fn part(&self, ranges: &[Range<usize>]) -> Self {
        let rows = ranges.iter().cloned().flatten();
        let b = rows.flat_map(|row| &self.b[row * self.rank..(row + 1) * self.rank]).copied().collect();
        Self { b, ..self.clone() }
    }
}

/// The transpose of a matrix with so many columns.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns.max(1);
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `B A`, `[out, in]`.
    fn product(factors: &Factors) -> Vec<f32> {
        let inputs = factors.a.len() / factors.rank;
        let entry = |row: &[f32], input: usize| -> f32 {
            row.iter().enumerate().map(|(rank, value)| value * factors.a[rank * inputs + input]).sum()
        };
        let rows = factors.b.chunks(factors.rank);
        rows.flat_map(|row| (0..inputs).map(move |input| entry(row, input))).collect()
    }

    fn factors(rank: usize, outputs: usize, seed: f32) -> Factors {
        let inputs = 3;
        let numbers = |count: usize, step: f32| (0..count).map(|at| (at as f32 + seed) * step).collect();
        Factors { a: numbers(rank * inputs, 0.5), b: numbers(outputs * rank, 0.25), rank, scale: 2.0 }
    }

    #[test]
    fn adapters_side_by_side_are_one_of_their_summed_rank() {
        let parts = [Some(factors(2, 4, 1.0)), None, Some(factors(1, 2, 7.0))];
        // Two groups: two outputs of the first part, one of each other.
        let ranges = [vec![0..2, 4..6], vec![2..3, 6..7], vec![3..4, 7..8]];
        let fused = Factors::fused(&parts, &ranges).unwrap();
        assert_eq!((fused.rank, fused.scale), (3, 2.0));
        let whole = product(&fused);
        for (part, ranges) in parts.iter().zip(&ranges) {
            let rows: Vec<f32> = ranges
                .iter()
                .cloned()
                .flatten()
                .flat_map(|row| whole[row * 3..row * 3 + 3].to_vec())
                .collect();
            match part {
                Some(part) => assert_eq!(rows, product(part)),
                None => assert!(rows.iter().all(|&value| value == 0.0)),
            }
        }
    }

    #[test]
    fn parts_of_one_adapter_become_that_adapter_again() {
        let ranges = [vec![0..2, 4..6], vec![2..3, 6..7], vec![3..4, 7..8]];
        let whole = factors(2, 8, 1.0);
        let parts: Vec<Option<Factors>> = ranges.iter().map(|ranges| Some(whole.part(ranges))).collect();
        assert_eq!(Factors::fused(&parts, &ranges), Some(whole));
    }

    #[test]
    fn nothing_fused_is_nothing() {
        assert_eq!(Factors::fused(&[None, None], &[vec![0..1, 2..3], vec![1..2, 3..4]]), None);
    }
}
