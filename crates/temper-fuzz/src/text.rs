//! Mutations of text: its numbers, its delimiters, its lines, and characters that are trouble.

use crate::bytes::LARGEST;
use crate::{Random, bytes};

/// Numbers at which programs err, and what only looks like one.
pub(crate) const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "-1",
    "1",
    "1.5",
    "127",
    "255",
    "256",
    "65536",
    "2147483647",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-1e-400",
    "NaN",
    "Infinity",
    "007",
    "99999999999999999999999999999999999999999999",
];

/// Delimiters, line ends, marks and characters that programs take for something else.
pub(crate) const TROUBLE: [&[u8]; 30] = [
    b"\"",
    b"\"\"",
    b"'",
    b",",
    b"\t",
    b";",
    b"|",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\x1b[2J",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"../../",
    b"{",
    b"}",
    b"[",
    b"]",
    b"=",
    b"#",
    b" ",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    "\u{202e}".as_bytes(),
    "e\u{301}\u{fb01}\u{130}".as_bytes(),
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}".as_bytes(),
];

/// Some mutations of a text, perhaps with lines of another.
pub(crate) fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..random.few(8) {
        input = match random.below(8) {
            0 | 1 => with_number(&input, random),
            2 | 3 => with_trouble(input, random),
            4 | 5 => with_lines(&input, other, random),
            6 => with_long_run(input, random),
            _ => bytes::mutated(&input, other, random),
        };
        // Lines that are repeated several times over would fill the memory.
        input.truncate(LARGEST);
    }
    input
}

/// Replaces a run of digits.
fn with_number(input: &[u8], random: &mut Random) -> Vec<u8> {
    let is_start = |&at: &usize| input[at].is_ascii_digit() && (at == 0 || !input[at - 1].is_ascii_digit());
    let starts: Vec<usize> = (0..input.len()).filter(is_start).collect();
    if starts.is_empty() {
        return input.to_vec();
    }
    let start = *random.pick(&starts);
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    [&input[..start], random.pick(&NUMBERS).as_bytes(), &input[start + length..]].concat()
}

fn with_trouble(mut input: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let at = random.below(input.len() + 1);
    let trouble = random.pick(&TROUBLE).repeat(random.few(4));
    let end = if random.one_in(3) { (at + trouble.len()).min(input.len()) } else { at };
    input.splice(at..end, trouble);
    input
}

/// A character, many times.
fn with_long_run(mut input: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if !random.one_in(4) {
        return input;
    }
    let at = random.below(input.len() + 1);
    let run = random.pick(&TROUBLE).repeat(*random.pick(&[10, 130, 1000, 20_000]));
    input.splice(at..at, run);
    input
}

/// Removes, repeats, swaps or exchanges lines.
fn with_lines(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.is_empty() {
        return other.to_vec();
    }
    let (here, there) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(5) {
        0 => drop(lines.remove(here)),
        1 => lines.swap(here, there),
        2 => lines.insert(there, lines[here]),
        3 => {
            let times = *random.pick(&[2, 10, 100]);
            lines.splice(there..there, std::iter::repeat_n(lines[here], times));
        }
        _ => {
            let others: Vec<&[u8]> = other.split_inclusive(|&byte| byte == b'\n').collect();
            lines.splice(here.., others.into_iter().skip(there));
        }
    }
    lines.concat()
}
