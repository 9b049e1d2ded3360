//! Linear layers, with an adapter where there is one.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use temper_kernels::{PackedWeight, WeightFormat, is_cpu, side_by_side};

use super::{LowRank, parameter};
use crate::{Activation, Mode, Precision};

/// Rows up to which one map does not keep the threads of a CPU busy.
const FEW_ROWS: usize = 8;

/// Several maps, at once where each has little to do: on a CPU, for few rows, outside of autodiff.
///
/// # Shapes
/// - of each map its x: `[rows, in]`; its output: `[rows, out]`
pub(super) fn apply_all<const N: usize>(maps: [(&Linear, Tensor<2>, Mode); N]) -> [Tensor<2>; N] {
    let is_small = |x: &Tensor<2>| x.dims()[0] <= FEW_ROWS && is_cpu(&x.device()) && !x.is_autodiff();
    let apply = |(map, x, mode): (&Linear, Tensor<2>, Mode)| map.forward(x, mode);
    if !maps.iter().all(|(map, x, _)| is_small(x) && !map.weight.val().is_autodiff()) {
        return maps.map(apply);
    }
    let outputs = side_by_side(maps.into(), apply);
    outputs.try_into().expect("as many outputs as maps")
}

/// An affine map, `x W + b`, perhaps with a low-rank path next to it.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`: the transpose of PyTorch's `nn.Linear`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What is added to the map; no checkpoint has it.
    pub adapter: Option<LowRank>,
    /// Of its products, and of the attention that reads its result.
    #[module(skip)]
    pub precision: Precision,
    /// Takes the place of `weight`, which is then empty, in a model that is used and no longer trained.
    #[module(skip)]
    packed: Option<Arc<PackedWeight>>,
}

impl Linear {
    /// A map with bias.
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self::with_bias(inputs, outputs, true, device)
    }

    /// A map with or without bias.
    pub fn with_bias(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Self {
        let bias = bias.then(|| parameter([outputs], device));
        Self {
            weight: parameter([inputs, outputs], device),
            bias,
            adapter: None,
            precision: Precision::default(),
            packed: None,
        }
    }

    /// `mode` decides about the adapter's dropout alone.
    ///
    /// # Shapes
    /// - x: `[rows, in]`; output: `[rows, out]`, bf16 for [`Precision::Bf16`] on a GPU
    pub fn forward(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        match &self.adapter {
            None => self.dense(x, None),
            Some(adapter) => self.dense(x.clone(), None) + adapter.forward(x, mode, self.precision),
        }
    }

    /// The map followed by an activation.
    ///
    /// # Shapes
    /// - x: `[rows, in]`; output: `[rows, out]`, bf16 for [`Precision::Bf16`] on a GPU
    pub fn forward_activated(&self, x: Tensor<2>, activation: Activation, mode: Mode) -> Tensor<2> {
        if self.adapter.is_none() {
            return self.dense(x, Some(activation));
        }
        let sum = self.forward(x, mode);
        // A gate over ones is the activation alone, and it is fused.
        let ones = sum.clone().without_autodiff().ones_like();
        temper_kernels::gate(sum, ones, activation)
    }

    /// What the map reads of x, once for several maps that read the same.
    ///
    /// # Shapes
    /// - x and output: `[rows, in]`
    pub fn factor(&self, x: Tensor<2>) -> Tensor<2> {
        let is_read_as_it_is = self.packed.is_some() || self.adapter.is_some();
        if is_read_as_it_is { x } else { temper_kernels::as_factor(x, self.precision) }
    }

    /// Inputs and outputs.
    pub fn sizes(&self) -> [usize; 2] {
        self.packed.as_ref().map_or_else(|| self.weight.lazy_shape().dims(), |packed| packed.sizes())
    }

    /// Puts a packed copy into the place of the weight.
    pub(crate) fn pack(&mut self, format: WeightFormat) {
        if self.packed.is_none() {
            self.packed = Some(Arc::new(temper_kernels::pack_weight(&self.weight.val(), false, format)));
            let nothing = Tensor::zeros([0, 0], &self.weight.lazy_device());
            self.weight = Param::initialized(self.weight.id, nothing);
        }
    }

    /// The packed weight, where there is one.
    pub(crate) fn packed(&self) -> Option<&Arc<PackedWeight>> {
        self.packed.as_ref()
    }

    /// Adds a matrix, `[in, out]`, to the weight.
    pub fn add_to_weight(&mut self, matrix: Tensor<2>) {
        let trains = self.weight.is_require_grad();
        let sum = (self.weight.val().without_autodiff() + matrix).into_data();
        let tensor = Tensor::from_data(sum, &self.weight.lazy_device()).set_require_grad(trains);
        self.weight = Param::initialized(self.weight.id, tensor);
    }

    fn dense(&self, x: Tensor<2>, activation: Option<Activation>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        if let Some(packed) = &self.packed {
            return temper_kernels::packed_linear(x, packed, bias, activation);
        }
        temper_kernels::linear(x, self.weight.val(), bias, activation, self.precision)
    }
}
