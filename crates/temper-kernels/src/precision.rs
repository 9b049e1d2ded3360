//! The precision of matrix products.

use burn::tensor::{FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::backend::{has_gpu_kernels, is_fused, rounds_to_tf32};
use crate::composed::split_product;

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
    /// Factors and results are bfloat16, 8 significant bits; the sums inside a product are f32 (burn-flex 0.22.1,
    /// `matmul_bf16`; cubek-matmul 0.3.1, `elems.rs`). As under PyTorch's autocast, a linear map gives bfloat16,
    /// too. The range is f32's, so that no loss needs to be scaled.
    Bf16,
}

impl Precision {
    /// The largest relative error of rounding a number to it.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 2.0_f64.powi(-24),
            Self::Tf32 => 2.0_f64.powi(-11),
            Self::Bf16 => 2.0_f64.powi(-8),
        }
    }

    /// True when operations in one piece serve a product with this factor.
    pub(crate) fn is_served(self, x: &Tensor<2>) -> bool {
        self.is_fused(x) || has_gpu_kernels(x)
    }

    /// True when those of the CPU do.
    pub(crate) fn is_fused(self, x: &Tensor<2>) -> bool {
        self != Self::Bf16 && is_fused(x)
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
            Self::F32 | Self::Tf32 => left.matmul(right),
        }
    }
}
