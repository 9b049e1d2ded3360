//! Products in bfloat16 and in int8, whose right matrix is packed first: once for many products where it is a weight that
//! does not change.

mod bfloat16;
mod dot;
mod int8;
mod product;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::borrow::Cow;
use std::fmt;

use super::matrix::{Finish, Matrix, Start, multiply};
use super::{TASK_ELEMENTS, run_tasks, vectorized};
use int8::{Int8Matrix, QuantizedRows};
use product::Panels;

/// What the numbers of a packed weight are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// bfloat16.
    Bf16,
    /// Integers of 8 bits with a scale for each output. The other factor of a product is quantised by row, when it is
    /// multiplied.
    Int8,
}

/// A weight, `[inputs, outputs]`, in the order and the format in which products read it.
#[derive(Clone)]
pub struct PackedWeight {
    inputs: usize,
    numbers: Numbers,
}

#[derive(Clone)]
enum Numbers {
    Bf16(Panels),
    Int8(Int8Matrix),
}

impl PackedWeight {
    /// Packs `[inputs, outputs]`.
    pub fn new(format: WeightFormat, sizes: [usize; 2], weight: Matrix<'_>) -> Self {
        let numbers = match format {
            WeightFormat::Bf16 => Numbers::Bf16(bfloat16::pack_right(sizes, weight)),
            WeightFormat::Int8 => Numbers::Int8(Int8Matrix::quantized(sizes, weight)),
        };
        Self { inputs: sizes[0], numbers }
    }

    /// Inputs and outputs.
    pub fn sizes(&self) -> [usize; 2] {
        let panels = match &self.numbers {
            Numbers::Bf16(panels) => panels,
            Numbers::Int8(matrix) => &matrix.panels,
        };
        [self.inputs, panels.columns]
    }

    /// `out = x W`, followed by an activation, on the current rayon pool.
    ///
    /// # Shapes
    /// - x: `[rows, inputs]`; out: `[rows, outputs]`
    pub fn multiply(&self, x: &[f32], start: Start<'_>, finish: Finish<'_>, out: &mut [f32]) {
        let [inputs, outputs] = self.sizes();
        let rows = out.len().checked_div(outputs).unwrap_or(0);
        assert_eq!(x.len(), rows * inputs, "x has {rows} x {inputs} values");
        match &self.numbers {
            Numbers::Bf16(panels) => {
                let x = bfloat16::pack_left([rows, inputs], Matrix::new(x, inputs));
                bfloat16::multiply(&x, panels, start, finish, out);
            }
            Numbers::Int8(matrix) => {
                int8::multiply(&QuantizedRows::new(x, rows), matrix, start, finish, out);
            }
        }
    }
}

impl fmt::Debug for PackedWeight {
    /// Without the numbers, which are many.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match &self.numbers {
            Numbers::Bf16(_) => WeightFormat::Bf16,
            Numbers::Int8(_) => WeightFormat::Int8,
        };
        out.debug_struct("PackedWeight").field("format", &format).field("sizes", &self.sizes()).finish()
    }
}

/// A factor of a product in bfloat16: numbers that are rounded to it, or its bits.
#[derive(Clone, Copy, Debug)]
pub enum Factor<'a> {
    /// Numbers in f32.
    F32(Matrix<'a>),
    /// Bits of bfloat16.
    Bf16(Matrix<'a, u16>),
}

/// Whether this processor multiplies bfloat16 faster than f32. Where it does not, factors are rounded and multiplied as f32.
pub fn multiplies_bfloat16_fast() -> bool {
    bfloat16::is_fast()
}

/// What factors are rounded to before they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing: they are multiplied as they are.
    None,
    /// bfloat16.
    Bf16,
}

/// A product of factors in f32 or bfloat16; sums are f32.
#[derive(Clone, Copy, Debug)]
pub struct FactorProduct<'a> {
    /// Rows and depth of the left matrix, columns of the right one.
    pub sizes: [usize; 3],
    /// `[rows, depth]`
    pub left: Factor<'a>,
    /// `[depth, columns]`
    pub right: Factor<'a>,
    /// Of both factors.
    pub rounding: Rounding,
}

impl FactorProduct<'_> {
    /// `out = left right`, followed by an activation, on the current rayon pool.
    ///
    /// # Shapes
    /// - out: `[rows, columns]`, row-major
    pub fn compute(self, start: Start<'_>, finish: Finish<'_>, out: &mut [f32]) {
        let Self { sizes: sizes @ [rows, depth, columns], left, right, rounding } = self;
        if let (Rounding::None, Factor::F32(left), Factor::F32(right)) = (rounding, left, right) {
            return multiply(sizes, left, right, start, finish, out);
        }
        if !bfloat16::is_fast() {
            let [left, right] = [left, right].map(Rounded::of);
            return multiply(sizes, left.matrix(), right.matrix(), start, finish, out);
        }
        let left = match left {
            Factor::F32(left) => Cow::Owned(bfloat16::pack_left([rows, depth], left)),
            Factor::Bf16(left) => bfloat16::pack_left_bits([rows, depth], left),
        };
        let right = match right {
            Factor::F32(right) => bfloat16::pack_right([depth, columns], right),
            Factor::Bf16(right) => bfloat16::pack_right([depth, columns], right),
        };
        bfloat16::multiply(&left, &right, start, finish, out);
    }
}

/// A factor whose numbers are rounded to bfloat16, in f32: for processors where products of f32 are faster.
struct Rounded {
    values: Vec<f32>,
    row_stride: usize,
    column_stride: usize,
}

impl Rounded {
    fn of(factor: Factor<'_>) -> Self {
        match factor {
            Factor::F32(Matrix { values, row_stride, column_stride }) => {
                let rounded = |value: f32| bfloat16::from_bfloat16(bfloat16::to_bfloat16(value));
                Self { values: converted(values, rounded), row_stride, column_stride }
            }
            Factor::Bf16(Matrix { values, row_stride, column_stride }) => {
                Self { values: out_of_bfloat16(values), row_stride, column_stride }
            }
        }
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix { values: &self.values, row_stride: self.row_stride, column_stride: self.column_stride }
    }
}

/// The bits of the nearest numbers in bfloat16.
pub fn in_bfloat16(values: &[f32]) -> Vec<u16> {
    converted(values, bfloat16::to_bfloat16)
}

/// The numbers that bits of bfloat16 stand for.
pub fn out_of_bfloat16(bits: &[u16]) -> Vec<f32> {
    converted(bits, bfloat16::from_bfloat16)
}

/// Converts each value; `convert` must be `#[inline(always)]`.
fn converted<A: Copy + Sync, B: Copy + Default + Send>(
    values: &[A],
    convert: impl Fn(A) -> B + Sync,
) -> Vec<B> {
    let mut found = vec![B::default(); values.len()];
    let tasks = found.chunks_mut(TASK_ELEMENTS).zip(values.chunks(TASK_ELEMENTS));
    run_tasks(tasks.collect(), |(found, values)| {
        vectorized(
            #[inline(always)]
            || found.iter_mut().zip(values).for_each(|(found, value)| *found = convert(*value)),
        );
    });
    found
}
