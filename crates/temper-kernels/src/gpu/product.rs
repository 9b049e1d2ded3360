//! Products of matrices by one kernel that sizes and types choose.
//!
//! Burn tries dozens of kernels for each new size and keeps the fastest. Compiling them takes minutes, and which
//! one wins, and so the last bits of a result, differs from process to process.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::CubeDevice;
use burn_cubecl::kernel::cast;
use burn_cubecl::kernel::matmul::init_matmul_output;
use burn_cubecl::ops::numeric::zeros_client;
use burn_cubecl::tensor::CubeTensor;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level::Strategy;
use cubek::matmul::multi_level::components::tile::TileMatmulKind;
use cubek::matmul::multi_level::routines::batch::simple::SimpleArgs;
use cubek::matmul::routine::BlueprintStrategy;
use cubek::std::InputBinding;

use super::activate::finish as finished;
use super::split::{split, sum_of_parts};
use super::tiled_product::{Finish, tiled_product};
use crate::Precision;

/// Strategies worth a comparison, by name: `temper-bench` times them.
pub fn product_strategies() -> Vec<(&'static str, Strategy)> {
    let rows = |tile_matmul| BlueprintStrategy::Inferred(SimpleArgs { multi_rows: true, tile_matmul });
    vec![
        ("simple-cmma", Strategy::SimpleCyclicCmma(Default::default())),
        ("simple-mma", Strategy::SimpleCyclicMma(Default::default())),
        ("rows-cmma", Strategy::SimpleCyclicCmma(rows(TileMatmulKind::Cmma))),
        ("rows-mma", Strategy::SimpleCyclicMma(rows(TileMatmulKind::Mma))),
        ("double-cmma", Strategy::DoubleCyclicCmma(Default::default())),
        ("double-mma", Strategy::DoubleCyclicMma(Default::default())),
        ("ordered-cmma", Strategy::OrderedDoubleCmma(Default::default())),
        ("ordered-mma", Strategy::OrderedDoubleMma(Default::default())),
        ("specialized-mma", Strategy::SpecializedCyclicMma(Default::default())),
        ("async-mma", Strategy::DoubleAsyncCyclicMma(Default::default())),
        ("tma-cmma", Strategy::SimpleTmaCmma(Default::default())),
        ("tma-mma", Strategy::SimpleTmaMma(Default::default())),
        ("double-tma-mma", Strategy::DoubleTmaMma(Default::default())),
        ("specialized-tma-mma", Strategy::SpecializedTmaMma(Default::default())),
        ("unit", Strategy::SimpleUnit(Default::default())),
    ]
}

/// The product by a strategy; an error where the device or the sizes do not suit it.
///
/// # Shapes
/// - left: `[.., rows, inner]`, right: `[.., inner, columns]`; output: `[.., rows, columns]`
pub fn product_with(
    strategy: &Strategy,
    left: CubeTensor,
    right: CubeTensor,
    out_dtype: DType,
) -> Result<CubeTensor, Box<MatmulSetupError>> {
    let output = init_matmul_output(&left, &right, out_dtype);
    let elem = dtype_to_elem_type(left.dtype);
    let mut elems = MatmulElems::from_globals(&MatmulGlobalElems {
        lhs: elem,
        rhs: elem,
        out: dtype_to_elem_type(out_dtype),
    });
    let client = left.client.clone();
    let [left, right] = [left, right].map(|factor| InputBinding::new(factor.binding(), elem));
    let strategy = cubek::matmul::strategy::Strategy::MultiLevel(strategy.clone());
    launch_ref(&strategy, &client, left, right, output.clone().binding(), &mut elems).map_err(Box::new)?;
    Ok(output)
}

/// The product of matrices, or of as many of them in a batch.
///
/// # Shapes
/// - left: `[.., rows, inner]`, right: `[.., inner, columns]`; output: `[.., rows, columns]`
pub(crate) fn product(
    left: CubeTensor,
    right: CubeTensor,
    precision: Precision,
    out_dtype: DType,
) -> CubeTensor {
    let [output, _] = product_and_finish(left, right, Finish::default(), precision, out_dtype);
    output
}

/// `activation(left right + bias)`, and the sums before the activation; they are one without an activation.
///
/// # Shapes
/// As [`product`]; a bias is of matrices alone.
pub(crate) fn product_and_finish(
    left: CubeTensor,
    right: CubeTensor,
    finish: Finish,
    precision: Precision,
    out_dtype: DType,
) -> [CubeTensor; 2] {
    let product = match precision {
        Precision::Bf16 => {
            let [left, right] = [left, right].map(|factor| cast(factor, DType::BF16));
            if let Some(outputs) = tiled_product(&left, &right, finish.clone(), out_dtype) {
                return outputs;
            }
            by_sizes(left, right, out_dtype)
        }
        Precision::F32 | Precision::Int8 if rounds_to_tf32(&left.device) => product_of_parts(left, right),
        Precision::F32 | Precision::Tf32 | Precision::Int8 => by_sizes(left, right, out_dtype),
    };
    finished(product, finish.bias, finish.activation)
}

/// A factor in bfloat16.
pub(crate) fn as_bfloat16(factor: CubeTensor) -> CubeTensor {
    cast(factor, DType::BF16)
}

/// Axes swapped, nothing moved: `[.., rows, columns]` -> `[.., columns, rows]`
pub(crate) fn transposed(mut matrix: CubeTensor) -> CubeTensor {
    let axes = matrix.meta.num_dims();
    matrix.meta.swap(axes - 2, axes - 1);
    matrix
}

/// True where tensor cores would round factors of f32.
fn rounds_to_tf32(device: &CubeDevice) -> bool {
    match device {
        #[cfg(feature = "cuda")]
        CubeDevice::Cuda(_) => true,
        _ => false,
    }
}

/// Multiplications from which on a product is worth a kernel that takes 4 s to compile in place of one: steps of
/// BERT-base took 33.0 ms in place of 41.8 on an H200 (`docs/CUDA.md`).
const LARGE: usize = 1 << 30;

/// By the first strategy that the device and the sizes suit.
fn by_sizes(left: CubeTensor, right: CubeTensor, out_dtype: DType) -> CubeTensor {
    if [&left, &right].iter().any(|factor| factor.meta.num_elements() == 0) {
        let output = init_matmul_output(&left, &right, out_dtype);
        let (client, shape, device) = (output.client.clone(), output.shape(), output.device.clone());
        return zeros_client(client, device, shape, out_dtype);
    }
    let [.., columns] = right.meta.shape().as_slice() else { unreachable!("a matrix has columns") };
    let is_large = left.meta.num_elements() * columns >= LARGE;
    let strategies = [
        is_large.then(|| Strategy::DoubleTmaMma(Default::default())),
        Some(Strategy::SimpleCyclicMma(Default::default())),
        Some(Strategy::SimpleCyclicCmma(Default::default())),
        Some(Strategy::SimpleUnit(Default::default())),
    ];
    for strategy in strategies.into_iter().flatten() {
        if let Ok(output) = product_with(&strategy, left.clone(), right.clone(), out_dtype) {
            return output;
        }
    }
    product_with(&Strategy::Naive, left, right, out_dtype).expect("the naive kernel serves everything")
}

/// The product from three of parts, each of which TF32 holds (`crate::split`).
fn product_of_parts(left: CubeTensor, right: CubeTensor) -> CubeTensor {
    let ([left, left_rest], [right, right_rest]) = (split(left), split(right));
    let large = by_sizes(left.clone(), right.clone(), DType::F32);
    let small = by_sizes(left, right_rest, DType::F32);
    sum_of_parts([large, small, by_sizes(left_rest, right, DType::F32)])
}
