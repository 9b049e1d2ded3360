//! A linear map with bias and activation.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
#[cfg(feature = "gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, FloatDType, Tensor};

use crate::autodiff::record;
use crate::backend::CpuBackend;
use crate::cpu::{
    Finish, Matrix, Start, activate_backward_in_place, buffer, multiply, multiply_and_finish, sum_rows,
};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::optional::Optional;
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
    if !precision.is_served(&x) {
        return composed::linear(x, weight, bias, activation, precision);
    }
    fused(x, weight, bias, activation, (Storage::InOut, precision))
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
    let map = Map { activation, storage, precision, x_dtype: x.dtype(), keeps_sums: false };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias.into(), map))
}

/// What a linear map is, but for its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    activation: Option<Activation>,
    storage: Storage,
    precision: Precision,
    /// The type of x, and of its gradient.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))] // On a CPU it is f32.
    x_dtype: DType,
    /// A backward pass will follow, which needs what comes before the activation.
    keeps_sums: bool,
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

/// The passes of a linear map, as a backend has them.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub(crate) trait LinearKernels: Backend {
    /// The output, and what comes before the activation: the output again where there is none or nobody asks.
    #[fusion(meta = |x, weight, _, map| forward_specs(x, weight, map))]
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        map: Map,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `activation'(sums) gradient`
    #[fusion(meta = |sums, _, _| sums.clone())]
    fn gradient_before_activation(
        sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// `gradient Wᵀ`: `[rows, out]` -> `[rows, in]`
    #[fusion(meta = |gradient, weight, map| gradient_of_x_spec(gradient, weight, map))]
    fn linear_gradient_of_x(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        map: Map,
    ) -> FloatTensor<Self>;

    /// `xᵀ gradient`: `[in, rows]`, `[rows, out]` -> `[in, out]`; of a transposed weight the transpose
    #[fusion(meta = |x, gradient, map| gradient_of_weight_spec(x, gradient, map))]
    fn linear_gradient_of_weight(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        map: Map,
    ) -> FloatTensor<Self>;

    /// `[rows, out]` -> `[out]`
    #[fusion(meta = |gradient| TensorSpec::new([gradient.shape[1]].into(), DType::F32))]
    fn linear_gradient_of_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "gpu")]
fn forward_specs(x: &TensorSpec, weight: &TensorSpec, map: &Map) -> (TensorSpec, TensorSpec) {
    let [_, outputs] = map.storage.sizes(weight.shape.dims());
    let output = TensorSpec::new([x.shape[0], outputs].into(), map.output_dtype());
    (output.clone(), output)
}

#[cfg(feature = "gpu")]
fn gradient_of_x_spec(gradient: &TensorSpec, weight: &TensorSpec, map: &Map) -> TensorSpec {
    let [inputs, _] = map.storage.sizes(weight.shape.dims());
    TensorSpec::new([gradient.shape[0], inputs].into(), map.x_dtype)
}

#[cfg(feature = "gpu")]
fn gradient_of_weight_spec(x: &TensorSpec, gradient: &TensorSpec, map: &Map) -> TensorSpec {
    let [inputs, outputs] = [x.shape[1], gradient.shape[1]];
    let shape = match map.storage {
        Storage::InOut => [inputs, outputs],
        Storage::OutIn => [outputs, inputs],
    };
    TensorSpec::new(shape.into(), DType::F32)
}

impl<B: CpuBackend> LinearKernels for B {
    fn linear_forward(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        map: Map,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let Map { activation, storage, keeps_sums, .. } = map;
        let bias = bias.into_option();
        let (output, sums) = compute::<B>(&x, &weight, bias.as_ref(), activation, storage, keeps_sums);
        let shape = [x.shape().dims::<2>()[0], storage.sizes(weight.shape().dims())[1]];
        let output = B::tensor(output, shape, &x.device());
        let sums = sums.map_or_else(|| output.clone(), |sums| B::tensor(sums, shape, &x.device()));
        (output, sums)
    }

    fn gradient_before_activation(
        sums: FloatTensor<B>,
        gradient: FloatTensor<B>,
        activation: Activation,
    ) -> FloatTensor<B> {
        let (shape, device) = (sums.shape(), sums.device());
        let mut gradient = B::into_values(gradient);
        activate_backward_in_place(activation, &B::values(&sums), &mut gradient);
        B::tensor(gradient, shape, &device)
    }

    fn linear_gradient_of_x(gradient: FloatTensor<B>, weight: FloatTensor<B>, map: Map) -> FloatTensor<B> {
        let [inputs, outputs] = map.storage.sizes(weight.shape().dims());
        let [rows, _] = gradient.shape().dims();
        let (values, weights) = (B::values(&gradient), B::values(&weight));
        let found = buffer(rows * inputs, |out| {
            let left = Matrix::new(&values, outputs);
            let right = match map.storage {
                Storage::InOut => Matrix::transposed(&weights, outputs),
                Storage::OutIn => Matrix::new(&weights, inputs),
            };
            multiply([rows, outputs, inputs], left, right, Start::Zero, out);
        });
        B::tensor(found, [rows, inputs], &weight.device())
    }

    fn linear_gradient_of_weight(x: FloatTensor<B>, gradient: FloatTensor<B>, map: Map) -> FloatTensor<B> {
        let ([rows, inputs], [_, outputs]) = (x.shape().dims(), gradient.shape().dims());
        let (values, slopes) = (B::values(&x), B::values(&gradient));
        let found = buffer(inputs * outputs, |out| match map.storage {
            Storage::InOut => {
                let (left, right) = (Matrix::transposed(&values, inputs), Matrix::new(&slopes, outputs));
                multiply([inputs, rows, outputs], left, right, Start::Zero, out);
            }
            Storage::OutIn => {
                let (left, right) = (Matrix::transposed(&slopes, outputs), Matrix::new(&values, inputs));
                multiply([outputs, rows, inputs], left, right, Start::Zero, out);
            }
        });
        let shape = match map.storage {
            Storage::InOut => [inputs, outputs],
            Storage::OutIn => [outputs, inputs],
        };
        B::tensor(found, shape, &x.device())
    }

    fn linear_gradient_of_bias(gradient: FloatTensor<B>) -> FloatTensor<B> {
        let [_, outputs] = gradient.shape().dims();
        B::tensor(sum_rows(&B::values(&gradient), outputs), [outputs], &gradient.device())
    }
}

#[cfg(feature = "gpu")]
impl LinearKernels for burn_cubecl::CubeBackend {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        map: Map,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let weight = map.storage.in_out(weight);
        let product = gpu::product(x, weight, map.precision, map.output_dtype());
        let [output, sums] = gpu::finish(product, bias.into_option(), map.activation);
        (output, sums)
    }

    fn gradient_before_activation(
        sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        gpu::gradient_before(sums, gradient, activation)
    }

    fn linear_gradient_of_x(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        map: Map,
    ) -> FloatTensor<Self> {
        // [in, out] -> [out, in]
        let weight = gpu::transposed(map.storage.in_out(weight));
        gpu::product(gradient, weight, map.precision, map.x_dtype)
    }

    fn linear_gradient_of_weight(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        map: Map,
    ) -> FloatTensor<Self> {
        let (left, right) = match map.storage {
            // [rows, in] -> [in, rows]
            Storage::InOut => (gpu::transposed(x), gradient),
            // [rows, out] -> [out, rows]
            Storage::OutIn => (gpu::transposed(gradient), x),
        };
        gpu::product(left, right, map.precision, DType::F32)
    }

    fn linear_gradient_of_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::sum_rows(gradient)
    }
}

#[cfg(feature = "gpu")]
impl Storage {
    /// The weight as `[in, out]`.
    fn in_out(self, weight: burn_cubecl::tensor::CubeTensor) -> burn_cubecl::tensor::CubeTensor {
        match self {
            Self::InOut => weight,
            Self::OutIn => gpu::transposed(weight),
        }
    }
}

impl Map {
    /// What a product gives.
    #[cfg(feature = "gpu")]
    fn output_dtype(&self) -> DType {
        if self.precision == Precision::Bf16 { DType::BF16 } else { DType::F32 }
    }

    /// A factor in the type that is multiplied: cast once for all passes.
    fn factor<B: Backend>(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        if self.precision == Precision::Bf16 { B::float_cast(x, FloatDType::BF16) } else { x }
    }
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
        let [x, weight] = [x, weight].map(|factor| map.factor::<B>(factor));
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
        for (index, parent) in ops.parents.into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let gradient = match index {
                0 => B::linear_gradient_of_x(gradient.clone(), weight.clone(), map),
                1 => B::linear_gradient_of_weight(x.clone(), gradient.clone(), map),
                _ => B::linear_gradient_of_bias(gradient.clone()),
            };
            gradients.register::<B>(parent.id, gradient);
        }
    }
}
