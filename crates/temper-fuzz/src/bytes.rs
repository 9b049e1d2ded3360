//! Mutations of bytes.

use crate::Random;

/// The largest input in bytes: larger ones take too long.
pub(crate) const LARGEST: usize = 1 << 20;

/// Numbers at which programs err, whatever their width.
const INTERESTING: [u64; 24] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    1 << 20,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    1 << 53,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 7,
    u64::MAX - 1,
    u64::MAX,
];

/// Some mutations of a seed, perhaps with parts of another.
pub(crate) fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..random.few(8) {
        change(&mut input, other, random);
        input.truncate(LARGEST);
    }
    input
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if input.is_empty() {
        input.extend((0..random.below(64)).map(|_| random.number() as u8));
        return;
    }
    let at = random.below(input.len());
    match random.below(12) {
        0 | 1 => input[at] ^= 1 << random.below(8),
        2 => input[at] = random.number() as u8,
        3 | 4 => write_number(input, at, *random.pick(&INTERESTING), random),
        5 => input[at] = input[at].wrapping_add(random.below(16) as u8).wrapping_sub(8),
        6 => {
            let (start, end) = random.range(input.len(), 256);
            input.drain(start..end);
        }
        7 => repeat(input, random),
        8 => {
            let fresh: Vec<u8> = (0..random.below(16)).map(|_| random.number() as u8).collect();
            input.splice(at..at, fresh);
        }
        9 => {
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len())..]);
        }
        10 => {
            let (start, end) = random.range(other.len().max(1), 64);
            let end_here = (at + end - start).min(input.len());
            input.splice(at..end_here, other.get(start..end).unwrap_or_default().iter().copied());
        }
        _ => fill_or_cut(input, at, random),
    }
}

/// Overwrites 1, 2, 4 or 8 bytes with a number, in either order.
fn write_number(input: &mut [u8], at: usize, number: u64, random: &mut Random) {
    let size = 1 << random.below(4);
    let bytes = if random.one_in(3) { number.to_be_bytes() } else { number.to_le_bytes() };
    let bytes = if random.one_in(3) { &bytes[8 - size..] } else { &bytes[..size] };
    for (place, byte) in input[at..].iter_mut().zip(bytes) {
        *place = *byte;
    }
}

fn repeat(input: &mut Vec<u8>, random: &mut Random) {
    let (start, end) = random.range(input.len(), 256);
    let part = input[start..end].to_vec();
    let times = if random.one_in(16) { 1000 } else { random.few(16) };
    input.splice(start..start, part.repeat(times));
}

fn fill_or_cut(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    if random.one_in(3) {
        input.truncate(at);
        return;
    }
    let (start, end) = random.range(input.len(), 32);
    let byte = *random.pick(&[0, 0xff, b' ', b'9']);
    input[start..end].fill(byte);
}
