//! The lengths in front of delta-encoded texts (DELTA_BINARY_PACKED of the Parquet format).

/// The bytes after a list of at most `limit` numbers; `None` if it is longer or cut.
pub(super) fn pass(data: &[u8], limit: u64) -> Option<&[u8]> {
    let mut rest = data;
    let block = number(&mut rest)?;
    let parts = number(&mut rest)?;
    let count = number(&mut rest)?;
    number(&mut rest)?;
    if count > limit || parts == 0 || block % parts != 0 {
        return None;
    }
    let per_part = block / parts;
    // The first number is in the header.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        number(&mut rest)?;
        let (widths, numbers) = rest.split_at_checked(parts.try_into().ok()?)?;
        rest = numbers;
        for width in widths {
            // Parts without a number are left out.
            if left > 0 {
                let bytes = per_part.checked_mul((*width).into())?.div_ceil(8);
                rest = rest.get(bytes.try_into().ok()?..)?;
                left = left.saturating_sub(per_part.max(1));
            }
        }
    }
    Some(rest)
}

/// An integer of seven bits a byte, lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_behind_the_numbers_remain() {
        // 7, 5, 3, 1 (the format's own example) in a block of 128 numbers, four parts.
        let list = [0x80, 0x01, 0x04, 0x04, 0x0e, 0x03, 0, 0, 0, 0, b'x'];
        assert_eq!(pass(&list, 4), Some(&b"x"[..]));
        assert_eq!(pass(&list, 3), None);
        assert_eq!(pass(&list[..7], 4), None);
        // One number needs no block.
        assert_eq!(pass(&[0x80, 0x01, 0x04, 0x01, 0x0e, b'x'], 1), Some(&b"x"[..]));
    }
}
