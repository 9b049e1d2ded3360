//! Which backends the fused operations serve, and how they see their tensors.

use std::borrow::Cow;

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, DispatchDevice, TensorMetadata};
#[cfg(feature = "ndarray")]
use burn::backend::{ops::IntTensorOps, read_sync};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData, bf16};

use crate::cpu::{Factor, Matrix, in_bfloat16, out_of_bfloat16};

#[cfg(feature = "gpu")]
use crate::gpu;

/// A backend whose tensors are in host memory.
pub trait CpuBackend: Backend {
    /// The values in row-major order; copied when the tensor is a view that is not contiguous.
    fn values(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]>;

    /// The values in row-major order, without a copy when nobody else holds them.
    fn into_values(tensor: FloatTensor<Self>) -> Vec<f32>;

    /// The same tensor in bfloat16, for what the backward pass reads in it; as it is where the backend has no bfloat16.
    fn in_bfloat16(tensor: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The values in row-major order, as they are stored.
    fn stored(tensor: &FloatTensor<Self>) -> StoredValues<'_>;

    /// Whole numbers in row-major order.
    fn into_integers(tensor: IntTensor<Self>) -> Vec<i64>;

    /// A tensor of the given values.
    fn tensor(values: Vec<f32>, shape: impl Into<Shape>, device: &Self::Device) -> FloatTensor<Self> {
        Self::float_from_data(TensorData::new(values, shape), device)
    }
}

/// Values in f32 or in bfloat16.
pub enum StoredValues<'a> {
    /// Numbers.
    F32(Cow<'a, [f32]>),
    /// The bits of numbers in bfloat16.
    Bf16(Cow<'a, [u16]>),
}

impl StoredValues<'_> {
    /// Row-major values as a matrix of so many columns, or its transpose.
    pub fn factor(&self, columns: usize, is_transposed: bool) -> Factor<'_> {
        match (self, is_transposed) {
            (Self::F32(values), false) => Factor::F32(Matrix::new(values, columns)),
            (Self::F32(values), true) => Factor::F32(Matrix::transposed(values, columns)),
            (Self::Bf16(bits), false) => Factor::Bf16(Matrix::new(bits, columns)),
            (Self::Bf16(bits), true) => Factor::Bf16(Matrix::transposed(bits, columns)),
        }
    }
}

/// Numbers in f32 of a tensor in f32 or bfloat16.
fn values_of(data: TensorData) -> Vec<f32> {
    if data.dtype() == DType::BF16 {
        return out_of_bfloat16(&bits_of(data));
    }
    data.try_into_vec().expect("the fused operations are called with tensors of f32 and bfloat16 only")
}

fn bits_of(data: TensorData) -> Vec<u16> {
    let numbers: Vec<bf16> = data.try_into_vec().expect("the type of the tensor was asked for");
    bytemuck::cast_vec(numbers)
}

#[cfg(feature = "flex")]
impl CpuBackend for burn::backend::Flex {
    fn values(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]> {
        match Self::stored(tensor) {
            StoredValues::F32(values) => values,
            StoredValues::Bf16(bits) => Cow::Owned(out_of_bfloat16(&bits)),
        }
    }

    fn in_bfloat16(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        if tensor.dtype() == DType::BF16 {
            return tensor;
        }
        let numbers: Vec<bf16> = bytemuck::cast_vec(in_bfloat16(&Self::values(&tensor)));
        Self::float_from_data(TensorData::new(numbers, tensor.shape()), &tensor.device())
    }

    fn stored(tensor: &FloatTensor<Self>) -> StoredValues<'_> {
        if tensor.dtype() == DType::BF16 {
            return StoredValues::Bf16(match tensor.as_slice::<bf16>() {
                Some(numbers) => Cow::Borrowed(bytemuck::cast_slice(numbers)),
                None => Cow::Owned(bits_of(tensor.clone().into_data())),
            });
        }
        StoredValues::F32(match tensor.as_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(values_of(tensor.clone().into_data())),
        })
    }

    fn into_values(tensor: FloatTensor<Self>) -> Vec<f32> {
        values_of(tensor.into_data())
    }

    fn into_integers(tensor: IntTensor<Self>) -> Vec<i64> {
        tensor.into_data().iter::<i64>().collect()
    }
}

// Burn 0.22 calls its ndarray backend deprecated; it is still the second CPU backend here.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
impl CpuBackend for burn::backend::NdArray {
    fn values(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]> {
        if let burn::backend::ndarray::NdArrayTensor::F32(storage) = tensor
            && let Some(values) = storage.view().to_slice()
        {
            return Cow::Borrowed(values);
        }
        Cow::Owned(Self::into_values(tensor.clone()))
    }

    fn in_bfloat16(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor
    }

    fn stored(tensor: &FloatTensor<Self>) -> StoredValues<'_> {
        StoredValues::F32(Self::values(tensor))
    }

    fn into_values(tensor: FloatTensor<Self>) -> Vec<f32> {
        values_of(read_sync(Self::float_into_data(tensor)).expect("tensors in host memory can be read"))
    }

    fn into_integers(tensor: IntTensor<Self>) -> Vec<i64> {
        let data = read_sync(Self::int_into_data(tensor)).expect("tensors in host memory can be read");
        data.iter::<i64>().collect()
    }
}

/// True when the fused operations serve this tensor; other tensors take the composed form.
pub(crate) fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && lies_in_host_memory(&tensor.device())
}

/// True when operations that have kernels for GPUs, too, serve this tensor; other tensors take the composed form.
pub(crate) fn has_kernels<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_fused(tensor) || (tensor.dtype() == DType::F32 && has_gpu_kernels(tensor))
}

/// True on GPUs whose kernels are written here, for f32 and bf16: their units work in planes of one size.
pub(crate) fn has_gpu_kernels<const D: usize>(tensor: &Tensor<D>) -> bool {
    let is_known = matches!(tensor.dtype(), DType::F32 | DType::BF16);
    is_known && has_planes(&tensor.device())
}

/// True on GPUs whose units work in planes of one size.
#[cfg(feature = "gpu")]
pub(crate) fn has_planes(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => {
            let client = device.client();
            let hardware = &client.properties().hardware;
            let sizes = [hardware.plane_size_min, hardware.plane_size_max];
            sizes[0] == sizes[1] && sizes[0] > 1 && gpu::UNITS.is_multiple_of(sizes[0])
        }
        #[allow(unreachable_patterns)] // Which devices there are depends on Burn's features.
        _ => false,
    }
}

/// Tensors that a kernel of the device can have.
pub(crate) fn bindings(device: &Device) -> usize {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "gpu")]
        DispatchDevice::Cube(device) => device.client().properties().hardware.max_bindings as usize,
        #[allow(unreachable_patterns)] // Which devices there are depends on Burn's features.
        _ => 0,
    }
}

/// Bytes of the largest buffer that the device gives.
#[cfg(feature = "gpu")]
pub(crate) fn largest_buffer(device: &Device) -> usize {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => {
            usize::try_from(device.client().properties().memory.max_page_size).unwrap_or(usize::MAX)
        }
        #[allow(unreachable_patterns)] // Which devices there are depends on Burn's features.
        _ => usize::MAX,
    }
}

#[cfg(not(feature = "gpu"))]
pub(crate) fn has_planes(_: &Device) -> bool {
    false
}

/// True when Burn's products of f32 on this device may round their factors to TF32.
pub(crate) fn rounds_to_tf32(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "cuda")]
        DispatchDevice::Cube(burn::backend::cubecl::Device::Cuda(_)) => true,
        _ => false,
    }
}

/// True on CPUs.
pub(crate) fn lies_in_host_memory(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        #[allow(unreachable_patterns)] // Which devices there are depends on Burn's features.
        _ => false,
    }
}
