//! Layer norm and RMS norm, with the residual sum before them.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};
use crate::composed;
use crate::cpu::{self, Dropout, NormGradients, NormKind, NormOutput, RowStatistics};
use crate::extension::KernelOps;

/// Which norm, and what is added to the spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// `(s - mean) / sqrt(variance + epsilon)`, with the biased variance (Ba et al. 2016).
    Layer {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `s / sqrt(mean(s²) + epsilon)` (Zhang and Sennrich 2019).
    Rms {
        /// Added to the mean square.
        epsilon: f32,
    },
}

/// What is added to the input of a norm.
#[derive(Clone, Debug)]
pub struct Residual {
    /// `[rows, width]`
    pub tensor: Tensor<2>,
    /// On the input, before the sum.
    pub dropout: Option<Dropout>,
}

/// `norm(s) gain + bias`, where `s` is x or `residual + dropout(x)`.
///
/// # Shapes
/// - x and output: `[rows, width]`, the output never bf16; gain and bias: `[width]`
pub fn norm(
    x: Tensor<2>,
    residual: Option<Residual>,
    gain: Tensor<1>,
    bias: Option<Tensor<1>>,
    norm: Norm,
) -> Tensor<2> {
    if !is_fused(&x) {
        return composed::norm(x, residual, gain, bias, norm);
    }
    let dropout = residual.as_ref().and_then(|residual| residual.dropout);
    Tensor::from_dispatch(Dispatch::fused_norm(
        x.into_dispatch(),
        residual.map(|residual| residual.tensor).into(),
        gain.into_dispatch(),
        bias.into(),
        norm,
        dropout,
    ))
}

/// The norm and its parameters.
#[derive(Clone, Debug)]
struct Parameters<B: CpuBackend> {
    gain: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    norm: Norm,
    dropout: Option<Dropout>,
}

impl<B: CpuBackend> Parameters<B> {
    fn with_norm<R>(&self, compute: impl FnOnce(cpu::Norm<'_>) -> R) -> R {
        let (gain, bias) = (B::values(&self.gain), self.bias.as_ref().map(B::values));
        let (kind, epsilon) = match self.norm {
            Norm::Layer { epsilon } => (NormKind::Layer, epsilon),
            Norm::Rms { epsilon } => (NormKind::Rms, epsilon),
        };
        compute(cpu::Norm { kind, gain: &gain, bias: bias.as_deref(), epsilon })
    }

    fn forward(&self, x: &FloatTensor<B>, residual: Option<&FloatTensor<B>>) -> NormOutput {
        let (values, residual) = (B::values(x), residual.map(B::values));
        self.with_norm(|norm| norm.forward(&values, residual.as_deref(), self.dropout))
    }
}

pub(crate) fn forward<B: CpuBackend>(
    x: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    gain: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    norm: Norm,
    dropout: Option<Dropout>,
) -> FloatTensor<B> {
    let parameters = Parameters::<B> { gain, bias, norm, dropout };
    let computed = parameters.forward(&x, residual.as_ref());
    B::tensor(computed.output, x.shape(), &x.device())
}

pub(crate) fn forward_tracked<B: CpuBackend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    residual: Option<FloatTensor<Autodiff<B, C>>>,
    gain: FloatTensor<Autodiff<B, C>>,
    bias: Option<FloatTensor<Autodiff<B, C>>>,
    norm: Norm,
    dropout: Option<Dropout>,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (gain, gain_node)) = (x.into_parts(), gain.into_parts());
    let (residual, residual_node) = residual.map(|residual| residual.into_parts()).unzip();
    let (bias, bias_node) = bias.map(|bias| bias.into_parts()).unzip();
    let parameters = Parameters::<B> { gain, bias, norm, dropout };
    let NormOutput { output, sum, statistics } = parameters.forward(&x, residual.as_ref());
    let (shape, device) = (x.shape(), x.device());
    let sum = sum.map_or(x, |sum| B::tensor(sum, shape.clone(), &device));
    let state = State { parameters, sum, statistics: statistics.into() };
    let output = B::tensor(output, shape, &device);
    let operation = NormBackward { residual: residual_node.is_some() };
    match (residual_node, bias_node) {
        (None, None) => record::<B, C, _, 2>(operation, [x_node, gain_node], state, output),
        (Some(other), None) | (None, Some(other)) => {
            record::<B, C, _, 3>(operation, [x_node, gain_node, other], state, output)
        }
        (Some(residual_node), Some(bias_node)) => {
            let parents = [x_node, gain_node, residual_node, bias_node];
            record::<B, C, _, 4>(operation, parents, state, output)
        }
    }
}

#[derive(Clone, Debug)]
struct State<B: CpuBackend> {
    parameters: Parameters<B>,
    /// `residual + dropout(x)`, `[rows, width]`
    sum: FloatTensor<B>,
    statistics: Arc<[RowStatistics]>,
}

/// Parents: x, gain, then the residual and the bias where there are any.
#[derive(Debug)]
struct NormBackward {
    residual: bool,
}

impl<B: CpuBackend, const N: usize> Backward<B, N> for NormBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { parameters, sum, statistics } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let computed = parameters.with_norm(|norm| {
            norm.backward(&B::values(&sum), &statistics, &B::values(&gradient), parameters.dropout)
        });
        let matrix = |values| B::tensor(values, sum.shape(), &sum.device());
        let vector = |values: Vec<f32>| {
            let len = values.len();
            B::tensor(values, [len], &sum.device())
        };
        let NormGradients { residual, x, gain, bias } = computed;
        let of_residual = matrix(residual);
        // Without dropout the two are one.
        let of_x = x.map_or_else(|| of_residual.clone(), matrix);
        let mut computed = vec![of_x, vector(gain)];
        computed.extend(self.residual.then_some(of_residual));
        computed.extend(bias.map(vector));
        for (parent, gradient) in ops.parents.into_iter().zip(computed) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
