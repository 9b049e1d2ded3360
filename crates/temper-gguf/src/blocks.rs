//! How numbers are packed, and what they are. Layouts are those of `ggml-quants.c` of llama.cpp.

use half::{bf16, f16};

/// Numbers of a block of the types whose names end in `_K`.
const SUPER_BLOCK: usize = 256;

/// How the numbers of a tensor are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // Their names are all there is to say.
#[allow(non_camel_case_types)] // As ggml writes them.
pub enum BlockType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// The number of each type in a file (`ggml_type` of ggml.h).
const NUMBERS: [(BlockType, u32); 11] = [
    (BlockType::F32, 0),
    (BlockType::F16, 1),
    (BlockType::Q4_0, 2),
    (BlockType::Q4_1, 3),
    (BlockType::Q5_0, 6),
    (BlockType::Q5_1, 7),
    (BlockType::Q8_0, 8),
    (BlockType::Q4_K, 12),
    (BlockType::Q5_K, 13),
    (BlockType::Q6_K, 14),
    (BlockType::BF16, 30),
];

impl BlockType {
    /// The type of a number in a file; none for those that are not read.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        NUMBERS.iter().find(|(_, of_type)| *of_type == number).map(|(kind, _)| *kind)
    }

    /// The number of the type in a file.
    pub(crate) fn number(self) -> u32 {
        NUMBERS.iter().find(|(kind, _)| *kind == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// Numbers of a block.
    pub fn numbers(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => SUPER_BLOCK,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// The type's name.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The numbers of whole blocks.
    pub fn unpacked(self, bytes: &[u8]) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(bytes.len() / self.bytes() * self.numbers());
        for block in bytes.chunks_exact(self.bytes()) {
            match self {
                Self::F32 => numbers.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => numbers.push(half_at(block, 0)),
                Self::BF16 => numbers.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
                Self::Q4_0 => {
                    four_bits(&block[2..], |q| half_at(block, 0) * (f32::from(q) - 8.0), &mut numbers)
                }
                Self::Q4_1 => {
                    let (scale, least) = (half_at(block, 0), half_at(block, 2));
                    four_bits(&block[4..], |q| scale * f32::from(q) + least, &mut numbers);
                }
                Self::Q5_0 => {
                    let scale = half_at(block, 0);
                    five_bits(&block[2..], |q| scale * (f32::from(q) - 16.0), &mut numbers);
                }
                Self::Q5_1 => {
                    let (scale, least) = (half_at(block, 0), half_at(block, 2));
                    five_bits(&block[4..], |q| scale * f32::from(q) + least, &mut numbers);
                }
                Self::Q8_0 => {
                    let scale = half_at(block, 0);
                    numbers.extend(block[2..].iter().map(|&q| scale * f32::from(q as i8)));
                }
                Self::Q4_K => nested(block, &block[16..], None, &mut numbers),
                Self::Q5_K => nested(block, &block[48..], Some(&block[16..48]), &mut numbers),
                Self::Q6_K => six_bits(block, &mut numbers),
            }
        }
        numbers
    }
}

fn half_at(block: &[u8], place: usize) -> f32 {
    f16::from_le_bytes([block[place], block[place + 1]]).to_f32()
}

/// 32 numbers of four bits: the low halves of 16 bytes, then the high ones.
fn four_bits(packed: &[u8], number: impl Fn(u8) -> f32, numbers: &mut Vec<f32>) {
    numbers.extend(packed[..16].iter().map(|&byte| number(byte & 15)));
    numbers.extend(packed[..16].iter().map(|&byte| number(byte >> 4)));
}

/// The same with a fifth bit each, of 32 bits before.
fn five_bits(packed: &[u8], number: impl Fn(u8) -> f32, numbers: &mut Vec<f32>) {
    let fifth = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    let bit = |place: usize| ((fifth >> place & 1) as u8) << 4;
    let packed = &packed[4..20];
    numbers.extend(packed.iter().enumerate().map(|(place, &byte)| number(byte & 15 | bit(place))));
    numbers.extend(packed.iter().enumerate().map(|(place, &byte)| number(byte >> 4 | bit(place + 16))));
}

/// Q4_K and Q5_K: eight groups of 32 numbers, with a scale and a least value of six bits each.
fn nested(block: &[u8], packed: &[u8], fifth: Option<&[u8]>, numbers: &mut Vec<f32>) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (pair, packed) in packed[..128].chunks_exact(32).enumerate() {
        for (half, shift) in [(0, 0), (1, 4)] {
            let group = 2 * pair + half;
            let (of_scale, of_least) = scale_and_least(&block[4..16], group);
            let (scale, least) = (scale * f32::from(of_scale), least * f32::from(of_least));
            numbers.extend(packed.iter().enumerate().map(|(place, &byte)| {
                let bit = fifth.map_or(0, |fifth| (fifth[place] >> group & 1) << 4);
                scale * f32::from(byte >> shift & 15 | bit) - least
            }));
        }
    }
}

/// `get_scale_min_k4`
fn scale_and_least(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (packed[group] & 63, packed[group + 4] & 63);
    }
    let both = packed[group + 4];
    (both & 15 | packed[group - 4] >> 6 << 4, both >> 4 | packed[group] >> 6 << 4)
}

/// Q6_K: 16 groups of 16 numbers with a scale of eight bits each; four bits of a number, then two.
fn six_bits(block: &[u8], numbers: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for part in 0..2 {
        let (low, high) = (&low[64 * part..][..64], &high[32 * part..][..32]);
        for quarter in 0..4 {
            for place in 0..32 {
                let byte = low[place + 32 * (quarter % 2)];
                let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
                let two = high[place] >> (2 * quarter) & 3;
                let number = i16::from(four | two << 4) - 32;
                let of_group = scales[8 * part + 2 * quarter + place / 16] as i8;
                numbers.push(scale * f32::from(of_group) * f32::from(number));
            }
        }
    }
}
