//! The low-rank adapter of a linear layer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::Dropout;
use crate::initial::uniform_matrix;
use crate::parameters::parameter_id;
use crate::{Mode, Precision};

/// The low-rank path next to a linear map: `s dropout(x) A B` (Hu et al. 2021, arXiv 2106.09685).
///
/// Follows PEFT, `lora.Linear`: `s = alpha / rank`, and the dropout is on the input of this path alone.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[in, rank]`: the transpose of PEFT's `lora_A`.
    pub a: Param<Tensor<2>>,
    /// `[rank, out]`: the transpose of PEFT's `lora_B`.
    pub b: Param<Tensor<2>>,
    dropout: Dropout,
    #[module(skip)]
    scale: f64,
}

/// What a [`LowRank`] has besides its two matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowRankConfig {
    /// Columns of A, rows of B.
    pub rank: usize,
    /// `s`.
    pub scale: f64,
    /// Probability of an input of the path to become zero.
    pub dropout: f64,
}

impl LowRank {
    /// A path that adds nothing yet: A is drawn as PEFT draws it (`kaiming_uniform_` with a = √5, which
    /// is uniform within 1 / √in), B is zero.
    ///
    /// The draw depends on `seed` and on `path`, the linear map's, alone.
    pub fn draw(
        path: &str,
        [inputs, outputs]: [usize; 2],
        config: LowRankConfig,
        seed: u64,
        device: &Device,
    ) -> Self {
        let rank = config.rank;
        let a = uniform_matrix(&name(path, "a"), [inputs, rank], 1.0 / (inputs as f64).sqrt(), seed);
        let b = TensorData::zeros::<f32, _>([rank, outputs]);
        Self::new(path, [a, b], config, device)
    }

    /// A path with given matrices, `[in, rank]` and `[rank, out]`, next to the linear map at `path`.
    pub fn new(path: &str, [a, b]: [TensorData; 2], config: LowRankConfig, device: &Device) -> Self {
        let parameter = |field: &str, data: TensorData| {
            let tensor = Tensor::from_data(data, device).set_require_grad(device.is_autodiff());
            Param::initialized(parameter_id(&name(path, field)), tensor)
        };
        Self {
            a: parameter("a", a),
            b: parameter("b", b),
            dropout: Dropout::new(config.dropout),
            scale: config.scale,
        }
    }

    /// What the path adds.
    ///
    /// # Shapes
    /// - x: `[rows, in]`; output: `[rows, out]`
    pub fn forward(&self, x: Tensor<2>, mode: Mode, precision: Precision) -> Tensor<2> {
        // [rows, in] -> [rows, rank] -> [rows, out]; scaled where it is narrowest.
        let dropped = self.dropout.forward(x, mode);
        let narrow = temper_kernels::linear(dropped, self.a.val(), None, None, precision);
        temper_kernels::linear(narrow * self.scale, self.b.val(), None, None, precision)
    }

    /// `s A B`, without autodiff and in f32 whatever the map computes in: what the path adds to the weight.
    ///
    /// # Shapes
    /// - output: `[in, out]`
    pub fn product(&self) -> Tensor<2> {
        let [a, b] = [&self.a, &self.b].map(|factor| factor.val().without_autodiff());
        temper_kernels::linear(a * self.scale, b, None, None, Precision::F32)
    }

    /// Rank, scale and dropout.
    pub fn config(&self) -> LowRankConfig {
        let rank = self.b.lazy_shape()[0];
        LowRankConfig { rank, scale: self.scale, dropout: self.dropout.probability }
    }
}

/// Path of a matrix next to the linear map at `path`.
fn name(path: &str, field: &str) -> String {
    format!("{path}.adapter.{field}")
}
