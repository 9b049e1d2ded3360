//! The precision of matrix products.

use burn::tensor::{DType, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::backend::{has_gpu_kernels, is_fused, lies_in_host_memory, rounds_to_tf32};
use crate::composed::split_product;
use crate::cpu::{Rounding, WeightFormat};

/// What matrix products compute in. Everything else is f32: parameters and their gradients, norms, softmax,
/// activations, residual sums, losses, the optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As exact as f32, also where hardware would round the factors: see [`split_product`].
    #[default]
    F32,
    /// Products of f32 as tensor cores compute them: on an NVIDIA GPU they round their factors to TF32, 11
    /// significant bits (cubek-matmul 0.3.1, `adjust_dtypes`).
    Tf32,
    /// Factors are bfloat16, 8 significant bits; the sums inside a product are f32 (cubek-matmul 0.3.1, `elems.rs`). On a
    /// GPU, as under PyTorch's autocast, a linear map gives bfloat16, too; on a CPU it gives f32, and only what is kept for
    /// the backward pass is bfloat16. The range is f32's, so that no loss needs to be scaled.
    Bf16,
    /// Weights are integers of 8 bits with a scale for each output, and the rows that they are multiplied with are
    /// quantised when they are; for models that are used and no longer trained, on CPUs ([`crate::packed_linear`]).
    /// Products without a weight are f32.
    Int8,
}

impl Precision {
    /// The largest relative error of rounding a number to it; of [`Self::Int8`] relative to the largest number of its row.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 2.0_f64.powi(-24),
            Self::Tf32 => 2.0_f64.powi(-11),
            Self::Bf16 | Self::Int8 => 2.0_f64.powi(-8),
        }
    }

    /// The format of packed weights; `None` where products read weights as they are.
    pub fn weight_format(self) -> Option<WeightFormat> {
        match self {
            Self::F32 | Self::Tf32 => None,
            Self::Bf16 => Some(WeightFormat::Bf16),
            Self::Int8 => Some(WeightFormat::Int8),
        }
    }

    /// True when operations in one piece serve a product with this factor.
    pub(crate) fn is_served(self, x: &Tensor<2>) -> bool {
        self.is_fused(x) || has_gpu_kernels(x)
    }

    /// True when those of the CPU do.
    pub(crate) fn is_fused(self, x: &Tensor<2>) -> bool {
        let is_half = self == Self::Bf16 && x.dtype() == DType::BF16 && lies_in_host_memory(&x.device());
        is_half || is_fused(x)
    }

    /// What a CPU rounds factors to.
    pub(crate) fn rounding(self) -> Rounding {
        if self == Self::Bf16 { Rounding::Bf16 } else { Rounding::None }
    }

    /// The product of matrices, or of as many of them in a batch.
    ///
    /// # Shapes
    /// - left: `[.., rows, inner]`, right: `[.., inner, columns]`; output: `[.., rows, columns]`
    #[allow(clippy::disallowed_methods)] // Here is what the others are to call.
    pub(crate) fn product<const D: usize>(self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Bf16 => left.cast(FloatDType::BF16).matmul(right.cast(FloatDType::BF16)),
            Self::F32 if rounds_to_tf32(&left.device()) => split_product(left, right),
            Self::F32 | Self::Tf32 | Self::Int8 => left.matmul(right),
        }
    }
}
