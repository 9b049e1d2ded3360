//! A linear map with bias and activation.

mod kernels;
mod map;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

pub(crate) use kernels::LinearKernels;
pub(crate) use map::Map;
use map::Storage;

use crate::autodiff::record;
use crate::backend::{CpuBackend, lies_in_host_memory};
use crate::factor::as_factor;
use crate::optional::Optional;
use crate::{Activation, Precision, composed};

/// `activation(x W + b)`.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[in, out]`, bias: `[out]`; output: `[rows, out]`, bf16 for [`Precision::Bf16`] on a GPU
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    precision: Precision,
) -> Tensor<2> {
    if !precision.is_served(&x) {
        return composed::linear(x, weight, bias, activation, precision);
    }
    fused(x, weight, bias, activation, (Storage::InOut, precision))
}

/// `x Wᵀ + b`: the map back to the vocabulary through a token embedding.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[out, in]`, bias: `[out]`; output: `[rows, out]`, bf16 for [`Precision::Bf16`] on a GPU
pub fn linear_transposed(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<2> {
    if !precision.is_served(&x) {
        // [out, in] -> [in, out]
        return composed::linear(x, weight.transpose(), bias, None, precision);
    }
    fused(x, weight, bias, None, (Storage::OutIn, precision))
}

fn fused(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    (storage, precision): (Storage, Precision),
) -> Tensor<2> {
    let is_on_cpu = lies_in_host_memory(&x.device());
    // The backward pass reads x as a factor.
    let x = if is_on_cpu && x.device().is_autodiff() { as_factor(x, precision) } else { x };
    let map = Map { activation, storage, precision, x_dtype: x.dtype(), is_on_cpu, keeps_sums: false };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias.into(), map))
}

/// A linear map as one operation, with a backward pass of its own.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait LinearOps: Backend {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        map: Map,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> LinearOps for B {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        map: Map,
    ) -> FloatTensor<Self> {
        Self::linear_forward(x, weight, bias, map).0
    }
}

#[cfg(feature = "gpu")]
impl LinearOps for burn::backend::Cube {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        map: Map,
    ) -> FloatTensor<Self> {
        Self::linear_forward(x, weight, bias, map).0
    }
}

impl<B: LinearKernels, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        map: Map,
    ) -> FloatTensor<Self> {
        let map = Map { keeps_sums: true, ..map };
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.into_option().map(|bias| bias.into_parts()).unzip();
        let [x, weight] = map.factors::<B>(x, weight);
        let (output, sums) = B::linear_forward(x.clone(), weight.clone(), Optional::of(bias), map);
        let sums = map.activation.map(|activation| (activation, sums));
        let state = State { x, weight, sums, map };
        match bias_node {
            Some(bias_node) => {
                record::<B, C, _, 3>(LinearBackward, [x_node, weight_node, bias_node], state, output)
            }
            None => record::<B, C, _, 2>(LinearBackward, [x_node, weight_node], state, output),
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    sums: Option<(Activation, FloatTensor<B>)>,
    map: Map,
}

/// Parents: x, weight, and the bias where there is one.
#[derive(Debug)]
struct LinearBackward;

impl<B: LinearKernels, const N: usize> Backward<B, N> for LinearBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { x, weight, sums, map } = ops.state;
        let mut gradient = gradients.consume::<B>(&ops.node);
        if let Some((activation, sums)) = sums {
            gradient = B::gradient_before_activation(sums, gradient, activation);
        }
        let [of_x, of_weight, of_bias] = [0, 1, 2].map(|parent| ops.parents.get(parent).cloned().flatten());
        if let Some(parent) = of_x {
            gradients.register::<B>(parent.id, B::linear_gradient_of_x(gradient.clone(), weight, map));
        }
        match (of_weight, of_bias) {
            (Some(weight), Some(bias)) => {
                let (of_weight, of_bias) = B::linear_gradients_of_both(x, gradient, map);
                gradients.register::<B>(weight.id, of_weight);
                gradients.register::<B>(bias.id, of_bias);
            }
            (Some(weight), None) => {
                gradients.register::<B>(weight.id, B::linear_gradient_of_weight(x, gradient, map));
            }
            (None, Some(bias)) => gradients.register::<B>(bias.id, B::linear_gradient_of_bias(gradient)),
            (None, None) => (),
        }
    }
}
