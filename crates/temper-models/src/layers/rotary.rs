//! Rotary position embeddings.

use burn::tensor::{Int, Tensor, TensorData};
use temper_kernels::{RowIndex, Sequences, rotate};

/// Rotary positions (Su et al. 2021, arXiv 2104.09864), in the form of GPT-NeoX and LLaMA: number `i` of a head turns
/// together with number `i + pairs`.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Numbers of a head.
    pub head: usize,
    /// Turn a position, one a pair: `[pairs]`, at most half of a head; other numbers do not turn.
    pub frequencies: Vec<f32>,
    /// Multiplies sines and cosines; 1 but for some scaled variants.
    pub scale: f32,
    /// What sequences beyond a length have instead (LongRoPE).
    pub long: Option<LongFrequencies>,
}

/// Frequencies of long sequences.
#[derive(Clone, Debug)]
pub struct LongFrequencies {
    /// Sequences of more tokens have them.
    pub context: usize,
    /// `[pairs]`
    pub frequencies: Vec<f32>,
}

impl Rotary {
    /// The usual frequencies, `theta ^ (-2 i / head)`, for the whole head.
    pub fn new(head: usize, theta: f64) -> Self {
        Self::partial(head, head, theta)
    }

    /// The usual frequencies, `theta ^ (-2 i / turning)`, for so many numbers of a head; the others do not turn.
    pub fn partial(head: usize, turning: usize, theta: f64) -> Self {
        let frequency = |pair: usize| theta.powf(-2.0 * pair as f64 / turning as f64) as f32;
        Self { head, frequencies: (0..turning / 2).map(frequency).collect(), scale: 1.0, long: None }
    }

    /// The same with every frequency changed.
    #[must_use]
    pub fn rescaled(self, change: impl Fn(f64) -> f64) -> Self {
        self.rescaled_by_pair(|_, frequency| change(frequency))
    }

    /// The same with the frequency of each pair changed.
    #[must_use]
    pub fn rescaled_by_pair(mut self, change: impl Fn(usize, f64) -> f64) -> Self {
        for (pair, frequency) in self.frequencies.iter_mut().enumerate() {
            *frequency = change(pair, f64::from(*frequency)) as f32;
        }
        self
    }

    /// Sines and cosines of tokens at some positions of their sequences.
    ///
    /// # Shapes
    /// - positions: `[rows]`
    pub fn at(&self, positions: &RowIndex, sequences: &Sequences) -> Rotation {
        let device = positions.tensor().device();
        let pairs = self.frequencies.len();
        let matrix =
            |rows: Vec<f32>| Tensor::<2>::from_data(TensorData::new(rows, [self.tables(), pairs]), &device);
        let frequencies = match &self.long {
            None => matrix(self.frequencies.clone()),
            Some(long) => {
                let tables = matrix([&self.frequencies[..], &long.frequencies].concat());
                let table = |is_long: bool| i32::from(is_long);
                let rows: Vec<i32> = long.rows(positions, sequences).map(table).collect();
                let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [positions.len()]), &device);
                // [2, pairs] -> [rows, pairs]
                tables.select(0, rows)
            }
        };
        // [rows, 1] x [1 or rows, pairs] -> [rows, pairs]
        let angles = positions.tensor().float().unsqueeze_dim::<2>(1) * frequencies;
        let cosine = angles.clone().cos() * self.scale;
        Rotation { head: self.head, cosine, sine: angles.sin() * self.scale }
    }

    fn tables(&self) -> usize {
        1 + usize::from(self.long.is_some())
    }
}

impl LongFrequencies {
    /// Of each row, whether its sequence is long. transformers decides for all sequences of a batch together.
    fn rows(&self, positions: &RowIndex, sequences: &Sequences) -> impl Iterator<Item = bool> {
        let mut are_long = Vec::with_capacity(positions.len());
        for range in sequences.ranges() {
            let positions = &positions.host()[range];
            let last = positions.iter().max().copied().unwrap_or(-1);
            are_long.extend(std::iter::repeat_n(last >= self.context as i32, positions.len()));
        }
        are_long.into_iter()
    }
}

/// The rotation of some rows.
#[derive(Clone, Debug)]
pub struct Rotation {
    head: usize,
    /// `[rows, pairs]`
    cosine: Tensor<2>,
    /// `[rows, pairs]`
    sine: Tensor<2>,
}

impl Rotation {
    /// The rotation of some of the rows.
    pub fn select(&self, rows: &Tensor<1, Int>) -> Self {
        Self {
            head: self.head,
            cosine: self.cosine.clone().select(0, rows.clone()),
            sine: self.sine.clone().select(0, rows.clone()),
        }
    }

    /// Turns every head of every row, in f32; the result is of the type of x.
    ///
    /// # Shapes
    /// - x and output: `[rows, heads * head]`
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        rotate(x, &self.cosine, &self.sine, self.head)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn long_sequences_have_frequencies_of_their_own() {
        let device = Device::flex();
        let mut rotary = Rotary::partial(6, 4, 100.0);
        rotary.long = Some(LongFrequencies { context: 3, frequencies: vec![0.5, 0.25] });
        // Sequences of three tokens, of four, and one token after four others.
        let positions = RowIndex::new(vec![0, 1, 2, 0, 1, 2, 3, 4], &device);
        let rotation = rotary.at(&positions, &Sequences::of_lengths(&[3, 4, 1]));
        let sines: Vec<f32> = rotation.sine.into_data().iter::<f32>().collect();
        let angles = [0.0, 0.0, 1.0, 0.1, 2.0, 0.2, 0.0, 0.0, 0.5, 0.25, 1.0, 0.5, 1.5, 0.75, 2.0, 1.0];
        for (found, angle) in sines.iter().zip(angles) {
            assert!((found - f32::sin(angle)).abs() < 1e-6, "{found} is not the sine of {angle}");
        }
    }
}
