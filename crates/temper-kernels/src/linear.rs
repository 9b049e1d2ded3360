//! A linear map with bias and activation.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, TensorMetadata};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};
use crate::cpu::{
    Finish, Matrix, Start, activate_backward_in_place, buffer, multiply, multiply_and_finish, sum_rows,
};
use crate::extension::KernelOps;
use crate::{Activation, composed};

/// `activation(x W + b)`.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[in, out]`, bias: `[out]`; output: `[rows, out]`
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
) -> Tensor<2> {
    if !is_fused(&x) {
        return composed::linear(x, weight, bias, activation);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias.into(), activation))
}

/// The output, and the sums before the activation if there is one.
type Computed = (Vec<f32>, Option<Vec<f32>>);

/// `keeps_sums`: the backward pass will need the sums before the activation.
fn compute<B: CpuBackend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    activation: Option<Activation>,
    keeps_sums: bool,
) -> Computed {
    let ([rows, inputs], [_, outputs]) = (x.shape().dims(), weight.shape().dims());
    let (values, weights, bias) = (B::values(x), B::values(weight), bias.map(B::values));
    let start = bias.as_ref().map_or(Start::Zero, |bias| Start::Row(bias));
    let product = |finish: Finish<'_>, out: &mut [f32]| {
        let (left, right) = (Matrix::new(&values, inputs), Matrix::new(&weights, outputs));
        multiply_and_finish([rows, inputs, outputs], left, right, start, finish, out);
    };
    let len = rows * outputs;
    match activation {
        None => (buffer(len, |out| product(Finish::Plain, out)), None),
        Some(activation) if !keeps_sums => {
            (buffer(len, |out| product(Finish::Activate(activation), out)), None)
        }
        Some(activation) => {
            let mut sums = Vec::new();
            let output = buffer(len, |out| {
                sums = buffer(len, |sums| product(Finish::ActivateInto(activation, out), sums));
            });
            (output, Some(sums))
        }
    }
}

pub(crate) fn forward<B: CpuBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    activation: Option<Activation>,
) -> FloatTensor<B> {
    let (output, _) = compute::<B>(&x, &weight, bias.as_ref(), activation, false);
    B::tensor(output, [x.shape().dims::<2>()[0], weight.shape().dims::<2>()[1]], &x.device())
}

pub(crate) fn forward_tracked<B: CpuBackend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Option<FloatTensor<Autodiff<B, C>>>,
    activation: Option<Activation>,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    let (bias, bias_node) = bias.map(|bias| bias.into_parts()).unzip();
    let (state, output) = State::compute(x, weight, bias, activation);
    match bias_node {
        Some(bias_node) => {
            record::<B, C, _, 3>(LinearBackward, [x_node, weight_node, bias_node], state, output)
        }
        None => record::<B, C, _, 2>(LinearBackward, [x_node, weight_node], state, output),
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State<B: CpuBackend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    activation: Option<(Activation, Arc<Vec<f32>>)>,
}

impl<B: CpuBackend> State<B> {
    fn compute(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Option<FloatTensor<B>>,
        activation: Option<Activation>,
    ) -> (Self, FloatTensor<B>) {
        let (output, sums) = compute::<B>(&x, &weight, bias.as_ref(), activation, true);
        let shape = [x.shape().dims::<2>()[0], weight.shape().dims::<2>()[1]];
        let output = B::tensor(output, shape, &x.device());
        (Self { x, weight, activation: activation.zip(sums.map(Arc::new)) }, output)
    }

    /// The gradient before the activation.
    fn gradient_of_sums(&self, gradient: FloatTensor<B>) -> Vec<f32> {
        let mut gradient = B::into_values(gradient);
        if let Some((activation, sums)) = &self.activation {
            activate_backward_in_place(*activation, sums, &mut gradient);
        }
        gradient
    }

    /// `gradient Wᵀ`: `[rows, out]` -> `[rows, in]`
    fn gradient_of_x(&self, gradient: &[f32]) -> FloatTensor<B> {
        let [inputs, outputs] = self.weight.shape().dims();
        let rows = gradient.len() / outputs;
        let weights = B::values(&self.weight);
        let values = buffer(rows * inputs, |out| {
            let (left, right) = (Matrix::new(gradient, outputs), Matrix::transposed(&weights, outputs));
            multiply([rows, outputs, inputs], left, right, Start::Zero, out);
        });
        B::tensor(values, [rows, inputs], &self.x.device())
    }

    /// `xᵀ gradient`: `[in, rows]`, `[rows, out]` -> `[in, out]`
    fn gradient_of_weight(&self, gradient: &[f32]) -> FloatTensor<B> {
        let [inputs, outputs] = self.weight.shape().dims();
        let rows = gradient.len() / outputs;
        let x = B::values(&self.x);
        let values = buffer(inputs * outputs, |out| {
            let (left, right) = (Matrix::transposed(&x, inputs), Matrix::new(gradient, outputs));
            multiply([inputs, rows, outputs], left, right, Start::Zero, out);
        });
        B::tensor(values, [inputs, outputs], &self.x.device())
    }
}

/// Parents: x, weight, and the bias where there is one.
#[derive(Debug)]
struct LinearBackward;

impl<B: CpuBackend, const N: usize> Backward<B, N> for LinearBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let state = ops.state;
        let device = state.x.device();
        let gradient = state.gradient_of_sums(gradients.consume::<B>(&ops.node));
        let outputs = state.weight.shape().dims::<2>()[1];
        for (index, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let gradient = match index {
                0 => state.gradient_of_x(&gradient),
                1 => state.gradient_of_weight(&gradient),
                _ => B::tensor(sum_rows(&gradient, outputs), [outputs], &device),
            };
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
