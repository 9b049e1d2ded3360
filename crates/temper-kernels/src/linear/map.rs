//! What a linear map is, but for its tensors.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, FloatDType};

use crate::backend::StoredValues;
use crate::cpu::Factor;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::{Activation, Precision};

/// What a linear map is, but for its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    pub(super) activation: Option<Activation>,
    pub(super) storage: Storage,
    pub(super) precision: Precision,
    /// The type of x, and of its gradient.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))] // On a CPU it is f32.
    pub(super) x_dtype: DType,
    /// On a CPU, whose products read both factors as they are and round them when they pack them.
    pub(super) is_on_cpu: bool,
    /// A backward pass will follow, which needs what comes before the activation.
    pub(super) keeps_sums: bool,
}

/// The layout of the weight in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// `[in, out]`
    InOut,
    /// `[out, in]`
    OutIn,
}

impl Storage {
    /// Inputs and outputs of a weight.
    pub(super) fn sizes(self, [first, second]: [usize; 2]) -> [usize; 2] {
        match self {
            Self::InOut => [first, second],
            Self::OutIn => [second, first],
        }
    }

    /// The weight as a matrix `[in, out]`.
    pub(super) fn matrix<'a>(
        self,
        values: &'a StoredValues<'_>,
        [inputs, outputs]: [usize; 2],
    ) -> Factor<'a> {
        match self {
            Self::InOut => values.factor(outputs, false),
            Self::OutIn => values.factor(inputs, true),
        }
    }

    /// Its transpose, `[out, in]`.
    pub(super) fn transposed<'a>(
        self,
        values: &'a StoredValues<'_>,
        [inputs, outputs]: [usize; 2],
    ) -> Factor<'a> {
        match self {
            Self::InOut => values.factor(outputs, true),
            Self::OutIn => values.factor(inputs, false),
        }
    }
}

#[cfg(feature = "gpu")]
impl Map {
    /// A map without activation on a GPU.
    pub(crate) fn plain(is_transposed: bool, precision: Precision, x_dtype: DType) -> Self {
        let storage = if is_transposed { Storage::OutIn } else { Storage::InOut };
        Self { activation: None, storage, precision, x_dtype, is_on_cpu: false, keeps_sums: false }
    }

    /// What its products compute in.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }
}

impl Map {
    /// What a product gives.
    #[cfg(feature = "gpu")]
    pub(super) fn output_dtype(&self) -> DType {
        if self.precision == Precision::Bf16 { DType::BF16 } else { DType::F32 }
    }

    /// Both factors in the type that is multiplied: cast once for all passes.
    pub(super) fn factors<B: Backend>(
        &self,
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
    ) -> [FloatTensor<B>; 2] {
        if self.precision != Precision::Bf16 || self.is_on_cpu {
            return [x, weight];
        }
        [x, weight].map(|factor| B::float_cast(factor, FloatDType::BF16))
    }
}

#[cfg(feature = "gpu")]
impl Storage {
    /// The weight as `[in, out]`.
    pub(super) fn in_out(self, weight: burn_cubecl::tensor::CubeTensor) -> burn_cubecl::tensor::CubeTensor {
        match self {
            Self::InOut => weight,
            Self::OutIn => gpu::transposed(weight),
        }
    }
}
