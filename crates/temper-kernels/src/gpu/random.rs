//! The masks of [`Dropout`], drawn on the device: the same as on the CPU, since they are a function of seed, row
//! and column.

use cubecl::prelude::*;

use crate::cpu::Dropout;

/// A dropout as a kernel gets it.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Masks {
    seed_low: u32,
    seed_high: u32,
    pub(super) threshold: u32,
    pub(super) scale: f32,
}

impl Masks {
    /// The arguments of a launch. Whether anything is dropped is known at compile time of the kernel.
    pub(super) fn of(dropout: Option<Dropout>) -> MasksLaunch {
        let dropout = dropout.unwrap_or(Dropout { probability: 0.0, seed: 0 });
        let threshold = dropout.threshold();
        MasksLaunch::new(dropout.seed as u32, (dropout.seed >> 32) as u32, threshold, dropout.scale())
    }
}

/// A number of 64 bits: not every device has them.
#[derive(CubeType, Clone, Copy)]
struct Wide {
    low: u32,
    high: u32,
}

/// What all columns of a row share.
#[derive(CubeType, Clone, Copy)]
pub(super) struct RowMask {
    pub(super) key: u32,
    pub(super) start: u32,
    pub(super) threshold: u32,
    pub(super) scale: f32,
}

/// The mask of a row, as [`Dropout::row`].
#[cube]
pub(super) fn row_mask(masks: &Masks, row: u32) -> RowMask {
    let low = row + 0x7f4a_7c15u32;
    let carry = if low < row { 1u32 } else { 0u32 };
    let of_row = mix64(Wide { low, high: 0x9e37_79b9u32 + carry });
    let mixed = mix64(Wide { low: masks.seed_low ^ of_row.low, high: masks.seed_high ^ of_row.high });
    RowMask { key: mixed.low, start: mixed.high, threshold: masks.threshold, scale: masks.scale }
}

/// Zero where the column is dropped, else `1 / (1 - p)`, as `DropoutRow::factor`.
#[cube]
pub(super) fn mask_factor(mask: &RowMask, column: u32) -> f32 {
    let bits = mix32((column * 0x9e37_79b9u32 + mask.start) ^ mask.key);
    if (bits >> 8u32) < mask.threshold { 0.0f32 } else { mask.scale }
}

/// The factors of the elements of a row's vector with that number.
#[cube]
pub(super) fn mask_vector<N: Size>(mask: &RowMask, place: usize) -> Vector<f32, N> {
    let mut factors = Vector::<f32, N>::new(0.0);
    #[unroll]
    for index in 0..N::value() {
        factors.insert(index, mask_factor(mask, (place * N::value() + index) as u32));
    }
    factors
}

#[cube]
fn mix64(x: Wide) -> Wide {
    let x = Wide { low: x.low ^ ((x.low >> 30u32) | (x.high << 2u32)), high: x.high ^ (x.high >> 30u32) };
    let x = times(x, 0x1ce4_e5b9u32, 0xbf58_476du32);
    let x = Wide { low: x.low ^ ((x.low >> 27u32) | (x.high << 5u32)), high: x.high ^ (x.high >> 27u32) };
    let x = times(x, 0x1331_11ebu32, 0x94d0_49bbu32);
    Wide { low: x.low ^ ((x.low >> 31u32) | (x.high << 1u32)), high: x.high ^ (x.high >> 31u32) }
}

/// The lower 64 bits of a product.
#[cube]
fn times(x: Wide, low: u32, high: u32) -> Wide {
    Wide { low: x.low * low, high: x.low.mul_hi(low) + x.low * high + x.high * low }
}

#[cube]
fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16u32)) * 0x21f0_aaadu32;
    let x = (x ^ (x >> 15u32)) * 0x735a_2d97u32;
    x ^ (x >> 15u32)
}
