//! A linear map whose weight is packed, for models that are used and no longer trained.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Device, Tensor};

use crate::Activation;
use crate::backend::{CpuBackend, lies_in_host_memory};
use crate::cpu::{Finish, Matrix, PackedWeight, Start, WeightFormat, buffer};
use crate::optional::Optional;

/// Whether a device is a CPU, where [`packed_linear`] and [`on_pool`](crate::on_pool) are of use.
pub fn is_cpu(device: &Device) -> bool {
    lies_in_host_memory(device)
}

/// A weight in the format in which its products are computed.
///
/// # Shapes
/// - weight: `[in, out]`, or `[out, in]` where it is transposed
pub fn pack_weight(weight: &Tensor<2>, is_transposed: bool, format: WeightFormat) -> PackedWeight {
    let [first, second] = weight.dims();
    let data = weight.to_data().convert::<f32>();
    let values = data.as_slice::<f32>().expect("the data was converted to f32");
    match is_transposed {
        false => PackedWeight::new(format, [first, second], Matrix::new(values, second)),
        true => PackedWeight::new(format, [second, first], Matrix::transposed(values, second)),
    }
}

/// `activation(x W + b)` without a backward pass.
///
/// # Shapes
/// - x: `[rows, in]`, bias: `[out]`; output: `[rows, out]`
///
/// # Panics
/// Where [`is_cpu`] is false.
pub fn packed_linear(
    x: Tensor<2>,
    weight: &Arc<PackedWeight>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
) -> Tensor<2> {
    let bias = bias.map(Tensor::without_autodiff);
    let call = Call { weight: weight.clone(), activation };
    Tensor::from_dispatch(Dispatch::packed_linear(x.without_autodiff().into_dispatch(), bias.into(), call))
}

/// What is not a tensor.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    weight: Arc<PackedWeight>,
    activation: Option<Activation>,
}

/// The map as an operation of backends in host memory.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub(crate) trait PackedLinear: Backend {
    fn packed_linear(
        x: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        call: Call,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> PackedLinear for B {
    fn packed_linear(x: FloatTensor<B>, bias: Optional<B>, call: Call) -> FloatTensor<B> {
        let [rows, _] = x.shape().dims();
        let [_, outputs] = call.weight.sizes();
        let bias = bias.into_option();
        let (values, bias) = (B::values(&x), bias.as_ref().map(B::values));
        let start = bias.as_deref().map_or(Start::Zero, Start::Row);
        let finish = call.activation.map_or(Finish::Plain, Finish::Activate);
        let output = buffer(rows * outputs, |out| call.weight.multiply(&values, start, finish, out));
        B::tensor(output, [rows, outputs], &x.device())
    }
}
