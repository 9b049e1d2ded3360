//! The passes of a linear map on CPUs and GPUs.

#[cfg(feature = "gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata, backend_extension};
#[cfg(feature = "gpu")]
use burn::tensor::DType;

use super::map::{Map, Storage};
use crate::backend::CpuBackend;
use crate::cpu::{FactorProduct, Finish, Start, activate_backward_in_place, buffer, sum_rows};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::optional::Optional;
use crate::{Activation, Precision};

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

    /// The gradients of weight and bias together, in one pass over the gradient where a kernel has both.
    #[fusion(meta = |x, gradient, map| gradients_of_both_spec(x, gradient, map))]
    fn linear_gradients_of_both(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        map: Map,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

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

#[cfg(feature = "gpu")]
fn gradients_of_both_spec(x: &TensorSpec, gradient: &TensorSpec, map: &Map) -> (TensorSpec, TensorSpec) {
    let of_bias = TensorSpec::new([gradient.shape[1]].into(), DType::F32);
    (gradient_of_weight_spec(x, gradient, map), of_bias)
}

impl<B: CpuBackend> LinearKernels for B {
    fn linear_forward(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        map: Map,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let bias = bias.into_option();
        let (output, sums) = compute::<B>(&x, &weight, bias.as_ref(), map);
        let shape = [x.shape().dims::<2>()[0], map.storage.sizes(weight.shape().dims())[1]];
        let output = B::tensor(output, shape, &x.device());
        let Some(sums) = sums else { return (output.clone(), output) };
        let sums = B::tensor(sums, shape, &x.device());
        let is_bf16 = map.precision == Precision::Bf16;
        (output, if is_bf16 { B::in_bfloat16(sums) } else { sums })
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
        let (slopes, weights) = (B::stored(&gradient), B::stored(&weight));
        let product = FactorProduct {
            sizes: [rows, outputs, inputs],
            left: slopes.factor(outputs, false),
            right: map.storage.transposed(&weights, [inputs, outputs]),
            rounding: map.precision.rounding(),
        };
        let found = buffer(rows * inputs, |out| product.compute(Start::Zero, Finish::Plain, out));
        B::tensor(found, [rows, inputs], &weight.device())
    }

    fn linear_gradient_of_weight(x: FloatTensor<B>, gradient: FloatTensor<B>, map: Map) -> FloatTensor<B> {
        let ([rows, inputs], [_, outputs]) = (x.shape().dims(), gradient.shape().dims());
        let (values, slopes) = (B::stored(&x), B::stored(&gradient));
        let (shape, left, right) = match map.storage {
            Storage::InOut => ([inputs, outputs], values.factor(inputs, true), slopes.factor(outputs, false)),
            Storage::OutIn => ([outputs, inputs], slopes.factor(outputs, true), values.factor(inputs, false)),
        };
        let sizes = [shape[0], rows, shape[1]];
        let product = FactorProduct { sizes, left, right, rounding: map.precision.rounding() };
        let found = buffer(inputs * outputs, |out| product.compute(Start::Zero, Finish::Plain, out));
        B::tensor(found, shape, &x.device())
    }

    fn linear_gradients_of_both(
        x: FloatTensor<B>,
        gradient: FloatTensor<B>,
        map: Map,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        (Self::linear_gradient_of_weight(x, gradient.clone(), map), Self::linear_gradient_of_bias(gradient))
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
        let finish = gpu::Finish { bias: bias.into_option(), activation: map.activation };
        let [output, sums] = gpu::product_and_finish(x, weight, finish, map.precision, map.output_dtype());
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

    fn linear_gradients_of_both(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        map: Map,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if map.storage == Storage::InOut && map.precision == Precision::Bf16 {
            let [x, gradient] = [&x, &gradient].map(|rows| gpu::as_bfloat16(rows.clone()));
            // [rows, in] -> [in, rows]
            if let Some([weight, bias]) = gpu::product_and_column_sums(&gpu::transposed(x), &gradient) {
                return (weight, bias);
            }
        }
        (Self::linear_gradient_of_weight(x, gradient.clone(), map), Self::linear_gradient_of_bias(gradient))
    }

    fn linear_gradient_of_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::sum_rows(gradient)
    }
}

/// The output, and the sums before the activation if there is one.
type Computed = (Vec<f32>, Option<Vec<f32>>);

fn compute<B: CpuBackend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    map: Map,
) -> Computed {
    let [rows, _] = x.shape().dims();
    let [inputs, outputs] = map.storage.sizes(weight.shape().dims());
    let (values, weights, bias) = (B::stored(x), B::stored(weight), bias.map(B::values));
    let product = FactorProduct {
        sizes: [rows, inputs, outputs],
        left: values.factor(inputs, false),
        right: map.storage.matrix(&weights, [inputs, outputs]),
        rounding: map.precision.rounding(),
    };
    let start = bias.as_ref().map_or(Start::Zero, |bias| Start::Row(bias));
    let len = rows * outputs;
    match map.activation {
        None => (buffer(len, |out| product.compute(start, Finish::Plain, out)), None),
        Some(activation) if !map.keeps_sums => {
            (buffer(len, |out| product.compute(start, Finish::Activate(activation), out)), None)
        }
        Some(activation) => {
            let mut sums = Vec::new();
            let output = buffer(len, |out| {
                sums = buffer(len, |sums| {
                    product.compute(start, Finish::ActivateInto(activation, out), sums);
                });
            });
            (output, Some(sums))
        }
    }
}
