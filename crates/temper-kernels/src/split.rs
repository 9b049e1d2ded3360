//! Products of f32 matrices where hardware rounds their factors to TF32.
//!
//! Each factor is split into the 11 bits that TF32 holds and the rest; three products of such parts together are
//! nearly as exact as one of f32 (Ootomo and Yokota 2022, arXiv 2203.03341; CUTLASS calls it 3xTF32). Where the
//! hardware does not round, nothing is lost by it but time.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Scalar, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::autodiff::record;

/// `2^13`: leaves 11 of the 24 bits of an f32.
const SHIFT: f64 = 8192.0;

/// The product of f32 matrices, or of as many of them in a batch, and its gradients, from products of parts
/// that TF32 holds exactly or nearly: the relative error is some `2^-21` of the sum of absolute products.
///
/// Numbers of `2^115` and more give NaN, as an overflow does elsewhere: a run ends as diverged.
///
/// # Shapes
/// - left: `[.., rows, inner]`, right: `[.., inner, columns]`; output: `[.., rows, columns]`
pub fn split_product<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::split_product(left.into_dispatch(), right.into_dispatch()))
}

/// Burn would compute the gradients of the parts, which cancel; the operation has a backward pass of its own.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Autodiff
)]
pub(crate) trait SplitOps: Backend {
    fn split_product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        product_of_parts::<Self>(left, right, Self::float_matmul)
    }
}

#[cfg(feature = "flex")]
impl SplitOps for burn::backend::Flex {}

#[cfg(feature = "ndarray")]
impl SplitOps for burn::backend::NdArray {}

#[cfg(feature = "gpu")]
impl SplitOps for burn::backend::Cube {}

impl<B: SplitOps, C: CheckpointStrategy> SplitOps for Autodiff<B, C> {
    fn split_product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        let [(left, left_node), (right, right_node)] = [left, right].map(|factor| factor.into_parts());
        let output = B::split_product(left.clone(), right.clone());
        record::<B, C, _, 2>(SplitBackward, [left_node, right_node], State { left, right }, output)
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend> {
    left: FloatTensor<B>,
    right: FloatTensor<B>,
}

/// Parents: left, right.
#[derive(Debug)]
struct SplitBackward;

impl<B: SplitOps> Backward<B, 2> for SplitBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { left, right } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let [of_left, of_right] = ops.parents;
        if let Some(parent) = of_left {
            // [.., rows, columns], [.., columns, inner] -> [.., rows, inner]
            gradients.register::<B>(parent.id, B::split_product(gradient.clone(), transposed::<B>(right)));
        }
        if let Some(parent) = of_right {
            // [.., inner, rows], [.., rows, columns] -> [.., inner, columns]
            gradients.register::<B>(parent.id, B::split_product(transposed::<B>(left), gradient));
        }
    }
}

fn transposed<B: Backend>(matrix: FloatTensor<B>) -> FloatTensor<B> {
    let axes = matrix.shape().num_dims();
    B::float_swap_dims(matrix, axes - 2, axes - 1)
}

/// The product from three of parts, by whatever multiplies these. What the lower parts give each other is below
/// the precision of f32.
fn product_of_parts<B: Backend>(
    left: FloatTensor<B>,
    right: FloatTensor<B>,
    multiply: impl Fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let ([left, left_rest], [right, right_rest]) = (split::<B>(left), split::<B>(right));
    let small = B::float_add(multiply(left.clone(), right_rest), multiply(left_rest, right.clone()));
    B::float_add(multiply(left, right), small)
}

/// A number's upper 11 bits, rounded, and the rest, which is exact.
///
/// Dekker's splitting (1971, doi 10.1007/BF01397083), with a power of two for his `2^13 + 1`: that product is
/// exact, so that a compiler which joins product and sum to one operation changes nothing.
fn split<B: Backend>(x: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    let shifted = B::float_mul_scalar(x.clone(), Scalar::Float(SHIFT));
    let upper = B::float_sub(shifted.clone(), B::float_sub(shifted, x.clone()));
    let rest = B::float_sub(x, upper.clone());
    [upper, rest]
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Device, TensorData};

    use super::*;

    type Matrix = FloatTensor<Flex>;

    const ROWS: usize = 24;
    const INNER: usize = 96;
    const COLUMNS: usize = 20;

    /// As many numbers of very different sizes, with all 24 bits in use.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let number = |place: usize| {
            let bits = (place as u32 ^ seed).wrapping_mul(2_654_435_761).wrapping_add(seed << 7);
            let sign = if bits & 1 == 0 { 1.0 } else { -1.0 };
            sign * (1.0 + (bits >> 9) as f32 / 8_388_608.0) * 2.0_f32.powi((bits >> 3 & 15) as i32 - 8)
        };
        (0..count).map(number).collect()
    }

    fn matrix(values: Vec<f32>, shape: [usize; 2]) -> Matrix {
        let device = Default::default();
        <Flex as burn::backend::ops::FloatTensorOps<Flex>>::float_from_data(
            TensorData::new(values, shape),
            &device,
        )
    }

    fn values(matrix: &Matrix) -> Vec<f32> {
        matrix.clone().into_data().iter::<f32>().collect()
    }

    /// What a tensor core reads of a number: 10 bits after the point, the others cut off.
    fn tf32(value: f32) -> f32 {
        f32::from_bits(value.to_bits() & !0x1fff)
    }

    /// A product as a tensor core computes it, with an f32 result.
    fn tensor_core(left: Matrix, right: Matrix) -> Matrix {
        let [left, right] = [left, right].map(|matrix| {
            let rounded = values(&matrix).into_iter().map(tf32).collect::<Vec<_>>();
            (rounded, matrix.shape().dims::<2>())
        });
        let ((left, [rows, inner]), (right, [_, columns])) = (left, right);
        let exact = exact(&left, &right, [rows, inner, columns]);
        matrix(exact.into_iter().map(|value| value as f32).collect(), [rows, columns])
    }

    fn exact(left: &[f32], right: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f64> {
        let dot = |row: usize, column: usize| -> f64 {
            let terms = (0..inner).map(|at| [left[row * inner + at], right[at * columns + column]]);
            terms.map(|[left, right]| f64::from(left) * f64::from(right)).sum()
        };
        (0..rows * columns).map(|place| dot(place / columns, place % columns)).collect()
    }

    /// The largest error as a part of the sum of absolute products, which bounds it.
    fn error(computed: &Matrix, left: &[f32], right: &[f32]) -> f64 {
        let sizes = [ROWS, INNER, COLUMNS];
        let absolute = |values: &[f32]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let (exact, bounds) = (exact(left, right, sizes), exact(&absolute(left), &absolute(right), sizes));
        let errors = values(computed).into_iter().zip(exact).zip(bounds);
        errors.map(|((value, exact), bound)| (f64::from(value) - exact).abs() / bound).fold(0.0, f64::max)
    }

    #[test]
    fn a_split_product_is_exact_where_a_tensor_core_rounds_its_factors() {
        let (left, right) = (numbers(ROWS * INNER, 3), numbers(INNER * COLUMNS, 11));
        let factors = || (matrix(left.clone(), [ROWS, INNER]), matrix(right.clone(), [INNER, COLUMNS]));
        let (first, second) = factors();
        let plain = error(&tensor_core(first, second), &left, &right);
        let (first, second) = factors();
        let split = error(&product_of_parts::<Flex>(first, second, tensor_core), &left, &right);
        println!("plain 2^{:.1}, split 2^{:.1}", plain.log2(), split.log2());
        assert!(plain > 2.0_f64.powi(-13), "{plain:e}: nothing was rounded");
        assert!(split < 2.0_f64.powi(-21), "{split:e}");
    }

    #[test]
    fn upper_parts_are_what_tf32_holds_and_nothing_is_lost() {
        let edges = [0.0, 1.0, 1.0 + f32::EPSILON, 1.0001, 2.0 - f32::EPSILON, 1.9999, 1e-30, -3.0e34];
        let sample: Vec<f32> = numbers(4096, 7).into_iter().chain(edges).collect();
        let shape = [1, sample.len()];
        let [upper, rest] = split::<Flex>(matrix(sample.clone(), shape)).map(|part| values(&part));
        for ((&whole, upper), rest) in sample.iter().zip(upper).zip(rest) {
            assert_eq!(tf32(upper), upper, "{whole:e}");
            assert_eq!(upper + rest, whole);
            assert_eq!(f64::from(upper) + f64::from(rest), f64::from(whole));
            assert!(rest.abs() <= whole.abs() * 2.0_f32.powi(-11), "{whole:e}: {rest:e}");
        }
    }

    #[test]
    fn numbers_beyond_the_range_and_no_numbers_do_not_pass_for_numbers() {
        for spoilt in [f32::INFINITY, f32::NAN, f32::MAX] {
            let left = Tensor::<2>::from_data([[spoilt, 1.0]], &Device::flex());
            let right = Tensor::<2>::from_data([[1.0], [1.0]], &Device::flex());
            assert!(split_product(left, right).into_scalar::<f32>().is_nan(), "{spoilt}");
        }
    }
}
