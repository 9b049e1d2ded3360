//! Layer norm and RMS norm, with the residual sum before them.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
#[cfg(feature = "gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};

use crate::autodiff::record;
use crate::backend::{CpuBackend, has_gpu_kernels, is_fused};
use crate::composed;
use crate::cpu::{self, Dropout, NormGradients, NormKind, NormOutput, RowStatistics};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::optional::Optional;

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
    let is_served = is_fused(&x) || has_gpu_kernels(&x);
    if !is_served {
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

/// The two passes, as a backend has them.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub(crate) trait NormKernels: Backend {
    /// The output, `residual + dropout(x)`, and of each row the mean and the reciprocal spread, `[rows, 2]`.
    #[fusion(meta = |x, _, gain, _, _, _| forward_specs(x, gain))]
    fn norm_forward(
        x: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        gain: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of residual, x, gain and bias.
    #[fusion(meta = |sum, _, _, gain, pass| backward_specs(sum, gain, pass))]
    fn norm_backward(
        sum: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        pass: Pass,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(feature = "gpu")]
fn forward_specs(x: &TensorSpec, gain: &TensorSpec) -> (TensorSpec, TensorSpec, TensorSpec) {
    let rows = TensorSpec::new(x.shape.clone(), gain.dtype);
    (rows.clone(), rows, TensorSpec::new([x.shape[0], 2].into(), gain.dtype))
}

#[cfg(feature = "gpu")]
fn backward_specs(
    sum: &TensorSpec,
    gain: &TensorSpec,
    pass: &Pass,
) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    (sum.clone(), TensorSpec::new(sum.shape.clone(), pass.x_dtype), gain.clone(), gain.clone())
}

/// What both passes have to know, but for tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    norm: Norm,
    dropout: Option<Dropout>,
    has_residual: bool,
    has_bias: bool,
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))] // On a CPU it is f32.
    x_dtype: DType,
}

fn on_cpu<R>(norm: Norm, gain: &[f32], bias: Option<&[f32]>, compute: impl FnOnce(cpu::Norm<'_>) -> R) -> R {
    let (kind, epsilon) = match norm {
        Norm::Layer { epsilon } => (NormKind::Layer, epsilon),
        Norm::Rms { epsilon } => (NormKind::Rms, epsilon),
    };
    compute(cpu::Norm { kind, gain, bias, epsilon })
}

impl<B: CpuBackend> NormKernels for B {
    fn norm_forward(
        x: FloatTensor<B>,
        residual: Optional<B>,
        gain: FloatTensor<B>,
        bias: Optional<B>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let (residual, bias) = (residual.into_option(), bias.into_option());
        let (values, others) = (B::values(&x), residual.as_ref().map(B::values));
        let bias = bias.as_ref().map(B::values);
        let NormOutput { output, sum, statistics } =
            on_cpu(norm, &B::values(&gain), bias.as_deref(), |norm| {
                norm.forward(&values, others.as_deref(), dropout)
            });
        drop((values, others));
        let (shape, device) = (x.shape(), x.device());
        let sum = sum.map_or(x, |sum| B::tensor(sum, shape.clone(), &device));
        let rows = statistics.len();
        let statistics = statistics.into_iter().flat_map(|row| [row.mean, row.reciprocal]).collect();
        (B::tensor(output, shape, &device), sum, B::tensor(statistics, [rows, 2], &device))
    }

    fn norm_backward(
        sum: FloatTensor<B>,
        statistics: FloatTensor<B>,
        gradient: FloatTensor<B>,
        gain: FloatTensor<B>,
        pass: Pass,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let statistics = B::values(&statistics);
        let rows = statistics.chunks_exact(2);
        let rows = rows.map(|row| RowStatistics { mean: row[0], reciprocal: row[1] });
        let statistics: Vec<RowStatistics> = rows.collect();
        let gain = B::values(&gain);
        // Of the bias nothing but its being there matters.
        let bias = pass.has_bias.then_some(&*gain);
        let NormGradients { residual, x, gain, bias } = on_cpu(pass.norm, &gain, bias, |norm| {
            norm.backward(&B::values(&sum), &statistics, &B::values(&gradient), pass.dropout)
        });
        let matrix = |values| B::tensor(values, sum.shape(), &sum.device());
        let vector = |values: Vec<f32>| {
            let len = values.len();
            B::tensor(values, [len], &sum.device())
        };
        let of_residual = matrix(residual);
        // Without dropout the two are one.
        let of_x = x.map_or_else(|| of_residual.clone(), matrix);
        (of_residual, of_x, vector(gain), vector(bias.unwrap_or_default()))
    }
}

#[cfg(feature = "gpu")]
impl NormKernels for burn_cubecl::CubeBackend {
    fn norm_forward(
        x: FloatTensor<Self>,
        residual: Optional<Self>,
        gain: FloatTensor<Self>,
        bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (residual, bias) = (residual.into_option(), bias.into_option());
        let gpu::NormForward { output, sum, statistics } =
            gpu::norm_forward(x, residual, gain, bias, norm, dropout);
        (output, sum, statistics)
    }

    fn norm_backward(
        sum: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        pass: Pass,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let Pass { norm, dropout, has_residual, x_dtype, .. } = pass;
        let tensors = [sum, statistics, gradient, gain];
        let gpu::NormBackward { sum, x, gain, bias } =
            gpu::norm_backward(tensors, norm, dropout, has_residual, x_dtype);
        (sum, x, gain, bias)
    }
}

/// The norm as one operation, with a backward pass of its own.
#[backend_extension(
    Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "gpu"), Autodiff
)]
pub(crate) trait NormOps: Backend {
    fn fused_norm(
        x: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        gain: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> NormOps for B {
    fn fused_norm(
        x: FloatTensor<Self>,
        residual: Optional<Self>,
        gain: FloatTensor<Self>,
        bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self> {
        Self::norm_forward(x, residual, gain, bias, norm, dropout).0
    }
}

#[cfg(feature = "gpu")]
impl NormOps for burn::backend::Cube {
    fn fused_norm(
        x: FloatTensor<Self>,
        residual: Optional<Self>,
        gain: FloatTensor<Self>,
        bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self> {
        Self::norm_forward(x, residual, gain, bias, norm, dropout).0
    }
}

impl<B: NormKernels, C: CheckpointStrategy> NormOps for Autodiff<B, C> {
    fn fused_norm(
        x: FloatTensor<Self>,
        residual: Optional<Self>,
        gain: FloatTensor<Self>,
        bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (gain, gain_node)) = (x.into_parts(), gain.into_parts());
        let (residual, residual_node) = residual.into_option().map(|residual| residual.into_parts()).unzip();
        let (bias, bias_node) = bias.into_option().map(|bias| bias.into_parts()).unzip();
        let (has_residual, has_bias) = (residual.is_some(), bias.is_some());
        let pass = Pass { norm, dropout, has_residual, has_bias, x_dtype: x.dtype() };
        let (output, sum, statistics) =
            B::norm_forward(x, Optional::of(residual), gain.clone(), Optional::of(bias), norm, dropout);
        let state = State { sum, statistics, gain, pass };
        match (residual_node, bias_node) {
            (None, None) => record::<B, C, _, 2>(NormBackward, [x_node, gain_node], state, output),
            (Some(other), None) | (None, Some(other)) => {
                record::<B, C, _, 3>(NormBackward, [x_node, gain_node, other], state, output)
            }
            (Some(residual_node), Some(bias_node)) => {
                let parents = [x_node, gain_node, residual_node, bias_node];
                record::<B, C, _, 4>(NormBackward, parents, state, output)
            }
        }
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend> {
    /// `residual + dropout(x)`, `[rows, width]`
    sum: FloatTensor<B>,
    /// `[rows, 2]`
    statistics: FloatTensor<B>,
    gain: FloatTensor<B>,
    pass: Pass,
}

/// Parents: x, gain, then the residual and the bias where there are any.
#[derive(Debug)]
struct NormBackward;

impl<B: NormKernels, const N: usize> Backward<B, N> for NormBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { sum, statistics, gain, pass } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (of_residual, of_x, of_gain, of_bias) = B::norm_backward(sum, statistics, gradient, gain, pass);
        let mut computed = vec![of_x, of_gain];
        computed.extend(pass.has_residual.then_some(of_residual));
        computed.extend(pass.has_bias.then_some(of_bias));
        for (parent, gradient) in ops.parents.into_iter().zip(computed) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
