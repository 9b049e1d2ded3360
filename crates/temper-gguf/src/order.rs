//! The order of a tensor's numbers in a file, and in transformers.

/// What a file does with the rows of a matrix that transformers stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Same,
    /// Rows of queries or keys of this many heads. llama.cpp rotates neighbouring places, transformers the two halves of
    /// a head: its converter (`LlamaModel.permute` of convert_hf_to_gguf.py) puts the rows of the halves alternately.
    Heads(usize),
    /// A matrix that transformers stores `[in, out]` (`Conv1D`); a file has `[out, in]`.
    Transposed,
}

impl Order {
    /// The shape that transformers stores, of a file's.
    pub fn stored_shape(self, shape: &[usize]) -> Vec<usize> {
        match self {
            Self::Transposed => shape.iter().rev().copied().collect(),
            Self::Same | Self::Heads(_) => shape.to_vec(),
        }
    }

    /// A file's numbers as transformers stores them.
    ///
    /// # Shapes
    /// - numbers: those of `shape`, which is the file's
    pub fn stored(self, numbers: Vec<f32>, shape: &[usize]) -> Vec<f32> {
        match (self, shape) {
            (Self::Heads(heads), [rows, columns]) => {
                picked(&numbers, *columns, |row| by_turns(row, rows / heads))
            }
            (Self::Transposed, [rows, columns]) => transposed(&numbers, *rows, *columns),
            _ => numbers,
        }
    }

    /// The numbers that transformers stores as a file has them: the inverse of [`Self::stored`].
    ///
    /// # Shapes
    /// - numbers: those of `shape`, which is the file's
    pub fn in_file(self, numbers: Vec<f32>, shape: &[usize]) -> Vec<f32> {
        match (self, shape) {
            (Self::Heads(heads), [rows, columns]) => {
                picked(&numbers, *columns, |row| in_halves(row, rows / heads))
            }
            (Self::Transposed, [rows, columns]) => transposed(&numbers, *columns, *rows),
            _ => numbers,
        }
    }
}

/// Rows in another order: row r of the result is row `source(r)`.
fn picked(numbers: &[f32], columns: usize, source: impl Fn(usize) -> usize) -> Vec<f32> {
    let rows = 0..numbers.len() / columns;
    rows.flat_map(|row| &numbers[source(row) * columns..][..columns]).copied().collect()
}

/// Where a file has a row of transformers': place p of a head's first half at 2p, of the second at 2p + 1.
fn by_turns(row: usize, places: usize) -> usize {
    let (first, place, half) = (row - row % places, row % places, places / 2);
    first + if place < half { 2 * place } else { 2 * (place - half) + 1 }
}

/// Where transformers has a row of a file's: the inverse of [`by_turns`].
fn in_halves(row: usize, places: usize) -> usize {
    let (first, place, half) = (row - row % places, row % places, places / 2);
    first + place % 2 * half + place / 2
}

/// `[rows, columns]` as `[columns, rows]`.
fn transposed(numbers: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| numbers[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_of_halves_are_put_by_turns() {
        // `permute` of convert_hf_to_gguf.py: reshape(heads, 2, places / 2, ...).swapaxes(1, 2).
        let rows: Vec<f32> = (0..24).map(|row| row as f32).collect();
        let in_file = Order::Heads(3).in_file(rows.clone(), &[24, 1]);
        assert_eq!(in_file[..10], [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0, 8.0, 12.0]);
        assert_eq!(Order::Heads(3).stored(in_file, &[24, 1]), rows);
        assert_eq!(
            Order::Transposed.stored(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])[..3],
            [1.0, 4.0, 2.0]
        );
    }

    proptest! {
        #[test]
        fn an_order_is_taken_back(heads in 1_usize..5, half in 1_usize..5, columns in 1_usize..5) {
            let shape = [heads * 2 * half, columns];
            let numbers: Vec<f32> = (0..shape[0] * columns).map(|number| number as f32).collect();
            for order in [Order::Same, Order::Heads(heads), Order::Transposed] {
                prop_assert_eq!(&order.stored(order.in_file(numbers.clone(), &shape), &shape), &numbers);
                prop_assert_eq!(&order.in_file(order.stored(numbers.clone(), &shape), &shape), &numbers);
            }
        }
    }
}
