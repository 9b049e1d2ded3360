//! What a processor multiplies at a time, and the portable forms of it.

use super::super::vectorized;

/// Sums that a vector holds side by side: columns of a tile.
pub const LANES: usize = 16;

/// Adds products of words to sums. A word holds the factors that one lane multiplies: two numbers in bfloat16, or four in
/// int8, that follow each other along the depth.
pub trait Dot: Copy + Send + Sync {
    /// The type of a sum.
    type Number: Copy + Default + Send + Sync;
    /// [`LANES`] sums.
    type Sums: Copy;

    /// Whether the processor has 32 registers that each hold [`LANES`] sums.
    const HAS_32_REGISTERS: bool;

    /// No products yet.
    fn zero(self) -> Self::Sums;

    /// Adds the products of a word of the left matrix with a word of each column.
    fn add(self, sums: Self::Sums, left: u32, right: &[u32; LANES]) -> Self::Sums;

    /// The sums one by one.
    fn numbers(self, sums: Self::Sums) -> [Self::Number; LANES];

    /// Calls `body`, compiled for the instructions that this type stands for. `body` and everything that it calls must be
    /// `#[inline(always)]`.
    fn run<R>(self, body: impl FnMut() -> R) -> R;
}

/// Products of bfloat16 as products of f32, which are exact. Only the order of additions differs from what processors
/// with an instruction for bfloat16 compute, and that these take numbers below 2^-126 as zero.
#[derive(Clone, Copy, Debug)]
pub struct WidenedBf16;

impl Dot for WidenedBf16 {
    type Number = f32;
    type Sums = [f32; LANES];
    const HAS_32_REGISTERS: bool = false;

    #[inline(always)]
    fn zero(self) -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add(self, mut sums: [f32; LANES], left: u32, right: &[u32; LANES]) -> [f32; LANES] {
        let [first, second] = widened(left);
        for (sum, &right) in sums.iter_mut().zip(right) {
            let right = widened(right);
            *sum = second.mul_add(right[1], first.mul_add(right[0], *sum));
        }
        sums
    }

    #[inline(always)]
    fn numbers(self, sums: [f32; LANES]) -> [f32; LANES] {
        sums
    }

    #[inline(always)]
    fn run<R>(self, body: impl FnMut() -> R) -> R {
        vectorized(body)
    }
}

/// The two numbers of a word.
#[inline(always)]
fn widened(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

/// Products of int8 in plain integers.
#[derive(Clone, Copy, Debug)]
pub struct PlainInt8;

impl Dot for PlainInt8 {
    type Number = i32;
    type Sums = [i32; LANES];
    const HAS_32_REGISTERS: bool = false;

    #[inline(always)]
    fn zero(self) -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    fn add(self, mut sums: [i32; LANES], left: u32, right: &[u32; LANES]) -> [i32; LANES] {
        let left = left.to_le_bytes().map(i32::from);
        for (sum, right) in sums.iter_mut().zip(right) {
            let right = right.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
            for (left, right) in left.iter().zip(right) {
                *sum += left * right;
            }
        }
        sums
    }

    #[inline(always)]
    fn numbers(self, sums: [i32; LANES]) -> [i32; LANES] {
        sums
    }

    #[inline(always)]
    fn run<R>(self, body: impl FnMut() -> R) -> R {
        vectorized(body)
    }
}
