//! Rotary position embeddings.

use burn::tensor::{Int, Tensor, TensorData};
use temper_kernels::widen;

/// Rotary positions (Su et al. 2021, arXiv 2104.09864), in the form of GPT-NeoX and LLaMA: number `i` of a
/// head turns together with number `i + head / 2`.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Turn a position, one a pair: `[head / 2]`.
    pub frequencies: Vec<f32>,
    /// Multiplies sines and cosines; 1 but for some scaled variants.
    pub scale: f32,
}

impl Rotary {
    /// The usual frequencies, `theta ^ (-2 i / head)`.
    pub fn new(head: usize, theta: f64) -> Self {
        let frequency = |pair: usize| theta.powf(-2.0 * pair as f64 / head as f64) as f32;
        Self { frequencies: (0..head / 2).map(frequency).collect(), scale: 1.0 }
    }

    /// The same with every frequency changed.
    #[must_use]
    pub fn rescaled(mut self, change: impl Fn(f64) -> f64) -> Self {
        for frequency in &mut self.frequencies {
            *frequency = change(f64::from(*frequency)) as f32;
        }
        self
    }

    /// Sines and cosines at some positions.
    ///
    /// # Shapes
    /// - positions: `[rows]`
    pub fn at(&self, positions: &Tensor<1, Int>) -> Rotation {
        let pairs = self.frequencies.len();
        let device = positions.device();
        let frequencies = TensorData::new(self.frequencies.clone(), [1, pairs]);
        let frequencies = Tensor::<2>::from_data(frequencies, &device);
        // [rows, 1] x [1, pairs] -> [rows, pairs]
        let angles = positions.clone().float().unsqueeze_dim::<2>(1) * frequencies;
        Rotation { cosine: angles.clone().cos() * self.scale, sine: angles.sin() * self.scale }
    }
}

/// The rotation of some rows.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// `[rows, head / 2]`
    cosine: Tensor<2>,
    /// `[rows, head / 2]`
    sine: Tensor<2>,
}

impl Rotation {
    /// The rotation of some of the rows.
    pub fn select(&self, rows: &Tensor<1, Int>) -> Self {
        Self {
            cosine: self.cosine.clone().select(0, rows.clone()),
            sine: self.sine.clone().select(0, rows.clone()),
        }
    }

    /// Turns every head of every row, in f32; the result is of the type of x.
    ///
    /// # Shapes
    /// - x and output: `[rows, heads * head]`
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let ([rows, width], [_, pairs], dtype) = (x.dims(), self.cosine.dims(), x.dtype());
        let heads = width / (2 * pairs);
        // [rows, heads * head] -> [rows, heads, head]
        let x = widen(x).reshape([rows, heads, 2 * pairs]);
        let (first, second) = (x.clone().narrow(2, 0, pairs), x.narrow(2, pairs, pairs));
        let spread = |table: &Tensor<2>| table.clone().unsqueeze_dim::<3>(1);
        let (cosine, sine) = (spread(&self.cosine), spread(&self.sine));
        let turned = Tensor::cat(
            vec![
                first.clone() * cosine.clone() - second.clone() * sine.clone(),
                second * cosine + first * sine,
            ],
            2,
        );
        turned.reshape([rows, width]).cast(dtype)
    }
}
