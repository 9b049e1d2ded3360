//! How numbers are packed to be written: as gguf-py's `quants.quantize` and llama.cpp's converter.

use half::f16;

use crate::blocks::BlockType;

/// How the matrices of a file are packed; what has one dimension is f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Their names are all there is to say.
#[allow(non_camel_case_types)] // As ggml writes them.
pub enum Packing {
    F32,
    F16,
    Q8_0,
}

/// Numbers of a block of Q8_0.
pub(crate) const BLOCK: usize = 32;

impl Packing {
    /// The type of its blocks.
    pub fn kind(self) -> BlockType {
        match self {
            Self::F32 => BlockType::F32,
            Self::F16 => BlockType::F16,
            Self::Q8_0 => BlockType::Q8_0,
        }
    }

    /// `general.file_type` (`llama_ftype` of llama.h).
    pub(crate) fn file_type(self) -> u64 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
        }
    }

    /// How a tensor of such a file is packed, by its name in llama.cpp and its shape.
    pub(crate) fn of(self, name: &str, shape: &[usize]) -> Self {
        let is_matrix = shape.len() > 1 && name.ends_with(".weight") && !name.starts_with("position_embd");
        let fits = shape.last().is_some_and(|columns| columns.is_multiple_of(BLOCK));
        match self {
            _ if !is_matrix => Self::F32,
            Self::Q8_0 if !fits => Self::F16,
            packing => packing,
        }
    }

    /// Whole rows of numbers as bytes: Q8_0 has rows of blocks of 32 numbers.
    ///
    /// # Errors
    /// The first number that the packing cannot hold.
    pub fn packed(self, numbers: &[f32]) -> Result<Vec<u8>, f32> {
        if let Some(&number) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(number);
        }
        match self {
            Self::F32 => Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
            Self::F16 => {
                let mut bytes = Vec::with_capacity(2 * numbers.len());
                for &number in numbers {
                    bytes.extend(half_of(number).ok_or(number)?);
                }
                Ok(bytes)
            }
            Self::Q8_0 => {
                let mut bytes = Vec::with_capacity(numbers.len() / BLOCK * BlockType::Q8_0.bytes());
                for block in numbers.chunks_exact(BLOCK) {
                    eight_bits(block, &mut bytes)?;
                }
                Ok(bytes)
            }
        }
    }

    /// How far numbers may be from what they were, once they are read back: rows of whole blocks.
    pub(crate) fn rounding(self, numbers: &[f32]) -> Vec<f32> {
        // Half of the last of 11 bits, and half of the least number.
        let of_half = |number: f32| number.abs() / 2048.0 + 2.0_f32.powi(-25);
        match self {
            Self::F32 => vec![0.0; numbers.len()],
            Self::F16 => numbers.iter().map(|&number| of_half(number)).collect(),
            Self::Q8_0 => numbers
                .chunks(BLOCK)
                .flat_map(|block| {
                    // Half a step, and 127 times what the step loses as f16. A little more, for rounding of f32.
                    let step = largest(block) / 127.0;
                    vec![1.0001 * (step / 2.0 + 127.0 * of_half(step)); block.len()]
                })
                .collect(),
        }
    }
}

fn largest(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |largest, number| number.abs().max(largest))
}

fn half_of(number: f32) -> Option<[u8; 2]> {
    let half = f16::from_f32(number);
    half.is_finite().then(|| half.to_le_bytes())
}

/// `quantize_row_q8_0_ref`: a step of f16, and 32 whole numbers of steps.
fn eight_bits(block: &[f32], bytes: &mut Vec<u8>) -> Result<(), f32> {
    let largest = largest(block);
    let step = largest / 127.0;
    let of_step = if step == 0.0 { 0.0 } else { 1.0 / step };
    bytes.extend(half_of(step).ok_or(largest)?);
    bytes.extend(block.iter().map(|number| (number * of_step).round() as i8 as u8));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_one_dimension_or_no_whole_blocks_is_packed_otherwise() {
        let of = |packing: Packing, name: &str, shape: &[usize]| packing.of(name, shape);
        assert_eq!(of(Packing::Q8_0, "blk.0.ffn_up.weight", &[8, 64]), Packing::Q8_0);
        assert_eq!(of(Packing::Q8_0, "blk.0.ffn_up.weight", &[64, 48]), Packing::F16);
        assert_eq!(of(Packing::Q8_0, "blk.0.ffn_up.bias", &[64]), Packing::F32);
        assert_eq!(of(Packing::F16, "blk.0.attn_norm.weight", &[64]), Packing::F32);
        assert_eq!(of(Packing::F16, "position_embd.weight", &[64, 64]), Packing::F32);
        assert_eq!(of(Packing::F32, "output.weight", &[64, 48]), Packing::F32);
    }

    #[test]
    fn a_number_that_does_not_fit_is_named() {
        assert_eq!(Packing::F16.packed(&[1.0, -70_000.0]), Err(-70_000.0));
        assert_eq!(Packing::Q8_0.packed(&[1e9; 32]), Err(1e9));
        assert!(Packing::F32.packed(&[1.0, f32::NAN]).unwrap_err().is_nan());
    }

    proptest! {
        #[test]
        fn numbers_are_read_back_within_their_rounding(
            numbers in prop::collection::vec(prop_oneof![-2.0_f32..2.0, -1e-6_f32..1e-6, -6e4_f32..6e4], 96),
        ) {
            for packing in [Packing::F32, Packing::F16, Packing::Q8_0] {
                let found = packing.kind().unpacked(&packing.packed(&numbers).unwrap());
                prop_assert_eq!(found.len(), numbers.len());
                for ((found, number), rounding) in found.iter().zip(&numbers).zip(packing.rounding(&numbers)) {
                    prop_assert!((found - number).abs() <= rounding, "{:?}: {} for {}", packing, found, number);
                }
            }
        }
    }
}
