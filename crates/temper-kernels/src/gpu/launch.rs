//! What all launches have in common: contiguous tensors, widths of loads, numbers of units.

use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, zeros_client};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use burn::tensor::{DType, Shape};

/// Units of a cube.
pub(crate) const UNITS: u32 = 256;

/// How many elements a unit reads at once: as many as the device loads well and `len` is a multiple of.
pub(super) fn vector_size(tensor: &CubeTensor, len: usize) -> usize {
    let sizes = tensor.client.io_optimized_vector_sizes(tensor.dtype.size());
    sizes.filter(|&size| len.is_multiple_of(size)).max().unwrap_or(1)
}

/// Units of a plane: they exchange values without memory. Only devices on which all planes are of one size are
/// served ([`crate::backend::has_kernels`]).
pub(super) fn lanes(client: &Client) -> usize {
    client.properties().hardware.plane_size_max as usize
}

/// A tensor that may be written in place: nobody else holds it, and its elements follow each other.
pub(super) fn exclusive(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// An uninitialised tensor on the device of another one.
pub(crate) fn empty(beside: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(beside.client.clone(), beside.device.clone(), shape.into(), dtype)
}

/// Zeros of the type and on the device of another tensor.
pub(crate) fn zeros(beside: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    zeros_client(beside.client.clone(), beside.device.clone(), shape.into(), beside.dtype)
}

/// So many cubes in a row.
pub(super) fn cubes(count: usize) -> CubeCount {
    CubeCount::new_1d(u32::try_from(count).expect("no tensor has so many rows"))
}

/// Used where a kernel is told not to look, of the size of a vector.
pub(super) fn unused(beside: &CubeTensor, vector_size: usize) -> CubeTensor {
    // As large as a vector of the widest type.
    empty(beside, [vector_size], DType::F32)
}

/// A unit for each of so many vectors.
pub(super) fn each_vector(count: usize) -> (CubeCount, CubeDim) {
    (cubes(count.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS))
}

/// A plane for each of so many rows.
pub(super) fn plane_a_row(lanes: usize, rows: usize) -> (CubeCount, CubeDim) {
    let planes = UNITS as usize / lanes;
    (cubes(rows.div_ceil(planes)), CubeDim::new_2d(lanes as u32, planes as u32))
}

/// A list as kernels read it.
pub(super) fn integers(list: CubeTensor) -> CubeTensor {
    into_contiguous(cast(list, DType::I32))
}
