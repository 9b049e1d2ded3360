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
use crate::backend::CpuBackend;
use crate::cpu::{
    Finish, Matrix, Start, activate_backward_in_place, buffer, multiply, multiply_and_finish, sum_rows,
};
use crate::extension::KernelOps;
use crate::{Activation, Precision, composed};

/// `activation(x W + b)`.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[in, out]`, bias: `[out]`; output: `[rows, out]`, bf16 for [`Precision::Bf16`]
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    precision: Precision,
) -> Tensor<2> {
    if !precision.is_fused(&x) {
        return composed::linear(x, weight, bias, activation, precision);
    }
    fused(x, weight, bias, activation, Storage::InOut)
}

/// `x Wᵀ + b`: the map back to the vocabulary through a token embedding.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[out, in]`, bias: `[out]`; output: `[rows, out]`, bf16 for [`Precision::Bf16`]
pub fn linear_transposed(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<2> {
    if !precision.is_fused(&x) {
        // [out, in] -> [in, out]
        return composed::linear(x, weight.transpose(), bias, None, precision);
    }
    fused(x, weight, bias, None, Storage::OutIn)
}

fn fused(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    storage: Storage,
) -> Tensor<2> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias.into(), activation, storage))
}

/// How the weight lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// `[in, out]`
    InOut,
    /// `[out, in]`
    OutIn,
}

impl Storage {
    /// Inputs and outputs of a weight.
    fn sizes(self, [first, second]: [usize; 2]) -> [usize; 2] {
        match self {
            Self::InOut => [first, second],
            Self::OutIn => [second, first],
        }
    }

    /// The weight as a matrix `[in, out]`.
    fn matrix(self, values: &[f32], [inputs, outputs]: [usize; 2]) -> Matrix<'_> {
        match self {
            Self::InOut => Matrix::new(values, outputs),
            Self::OutIn => Matrix::transposed(values, inputs),
        }
    }
}

/// The output, and the sums before the activation if there is one.
type Computed = (Vec<f32>, Option<Vec<f32>>);

/// `keeps_sums`: the backward pass will need the sums before the activation.
fn compute<B: CpuBackend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    activation: Option<Activation>,
    storage: Storage,
    keeps_sums: bool,
) -> Computed {
    let [rows, _] = x.shape().dims();
    let [inputs, outputs] = storage.sizes(weight.shape().dims());
    let (values, weights, bias) = (B::values(x), B::values(weight), bias.map(B::values));
    let start = bias.as_ref().map_or(Start::Zero, |bias| Start::Row(bias));
    let product = |finish: Finish<'_>, out: &mut [f32]| {
        let left = Matrix::new(&values, inputs);
        let right = storage.matrix(&weights, [inputs, outputs]);
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
    storage: Storage,
) -> FloatTensor<B> {
    let (output, _) = compute::<B>(&x, &weight, bias.as_ref(), activation, storage, false);
    let [rows, outputs] = [x.shape().dims::<2>()[0], storage.sizes(weight.shape().dims())[1]];
    B::tensor(output, [rows, outputs], &x.device())
}

pub(crate) fn forward_tracked<B: CpuBackend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Option<FloatTensor<Autodiff<B, C>>>,
    activation: Option<Activation>,
    storage: Storage,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    let (bias, bias_node) = bias.map(|bias| bias.into_parts()).unzip();
    let (state, output) = State::compute(x, weight, bias, activation, storage);
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
    storage: Storage,
    activation: Option<(Activation, Arc<Vec<f32>>)>,
}

impl<B: CpuBackend> State<B> {
    fn compute(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Option<FloatTensor<B>>,
        activation: Option<Activation>,
        storage: Storage,
    ) -> (Self, FloatTensor<B>) {
        let (output, sums) = compute::<B>(&x, &weight, bias.as_ref(), activation, storage, true);
        let shape = [x.shape().dims::<2>()[0], storage.sizes(weight.shape().dims())[1]];
        let output = B::tensor(output, shape, &x.device());
        (Self { x, weight, storage, activation: activation.zip(sums.map(Arc::new)) }, output)
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
        let [inputs, outputs] = self.storage.sizes(self.weight.shape().dims());
        let rows = gradient.len() / outputs;
        let weights = B::values(&self.weight);
        let values = buffer(rows * inputs, |out| {
            let left = Matrix::new(gradient, outputs);
            let right = match self.storage {
                Storage::InOut => Matrix::transposed(&weights, outputs),
                Storage::OutIn => Matrix::new(&weights, inputs),
            };
            multiply([rows, outputs, inputs], left, right, Start::Zero, out);
        });
        B::tensor(values, [rows, inputs], &self.x.device())
    }

    /// `xᵀ gradient`: `[in, rows]`, `[rows, out]` -> `[in, out]`; of a transposed weight the transpose
    fn gradient_of_weight(&self, gradient: &[f32]) -> FloatTensor<B> {
        let [inputs, outputs] = self.storage.sizes(self.weight.shape().dims());
        let rows = gradient.len() / outputs;
        let x = B::values(&self.x);
        let values = buffer(inputs * outputs, |out| match self.storage {
            Storage::InOut => {
                let (left, right) = (Matrix::transposed(&x, inputs), Matrix::new(gradient, outputs));
                multiply([inputs, rows, outputs], left, right, Start::Zero, out);
            }
            Storage::OutIn => {
                let (left, right) = (Matrix::transposed(gradient, outputs), Matrix::new(&x, inputs));
                multiply([outputs, rows, inputs], left, right, Start::Zero, out);
            }
        });
        B::tensor(values, self.weight.shape(), &self.x.device())
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
        let [_, outputs] = state.storage.sizes(state.weight.shape().dims());
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
