//! Formats that hold JSON, or can be written as it.

use serde_json::Value;

use crate::json::{mutated_value, written};
use crate::{Random, bytes, json, text};

/// Mutates some lines as JSON, and which lines there are.
pub(crate) fn json_lines(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    if random.one_in(4) {
        return text::mutated(seed, other, random);
    }
    let mut lines: Vec<Vec<u8>> = seed.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let others: Vec<&[u8]> = other.split(|&byte| byte == b'\n').collect();
    for _ in 0..random.few(4) {
        let place = random.below(lines.len());
        lines[place] = {
            let other: &&[u8] = random.pick(&others);
            json::mutated(&lines[place], other, random)
        };
    }
    lines.join(&b'\n')
}

/// Mutates the values of a TOML file.
pub(crate) fn toml(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let (Some(value), Some(other_value)) = (toml_value(seed), toml_value(other)) else {
        return text::mutated(seed, other, random);
    };
    if random.one_in(4) {
        return text::mutated(seed, other, random);
    }
    let changed = mutated_value(value, &other_value, random);
    match toml::to_string(&changed) {
        Ok(text) => written(&changed, |_| text, random),
        // TOML has no null and begins with a table.
        Err(_) => text::mutated(seed, other, random),
    }
}

fn toml_value(bytes: &[u8]) -> Option<Value> {
    let table: toml::Table = toml::from_str(std::str::from_utf8(bytes).ok()?).ok()?;
    serde_json::to_value(table).ok()
}

/// Mutates the header of a safetensors file, its data, or all of it.
pub(crate) fn safetensors(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let (Some((header, data)), Some((other_header, other_data))) = (header(seed), header(other)) else {
        return bytes::mutated(seed, other, random);
    };
    match random.below(6) {
        0 => bytes::mutated(seed, other, random),
        1 => with_header(header, &bytes::mutated(data, other_data, random)),
        _ => with_header(&json::mutated(header, other_header, random), data),
    }
}

/// Header and data of a safetensors file.
pub(crate) fn header(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = file.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// A safetensors file of a header and data.
pub(crate) fn with_header(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}
