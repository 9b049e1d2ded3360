//! Buffers that are written without being zeroed first.

/// A buffer of `len` values that `fill` writes, every one of them, without zeroing it first.
///
/// Zeroing costs a pass over memory that is about to be overwritten: 5 % of a linear layer.
pub fn buffer(len: usize, fill: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    // SAFETY: the capacity is `len`, f32 has no invalid bit patterns, and the contract of `fill`
    // is to write every element before anything reads it.
    #[allow(unsafe_code, clippy::uninit_vec)]
    unsafe {
        values.set_len(len);
    }
    fill(&mut values);
    values
}

/// `len` zeros; pages that are never written cost nothing.
pub fn zeros(len: usize) -> Vec<f32> {
    vec![0.0; len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_written() {
        for len in [0, 1, 1000] {
            let values = buffer(len, |out| {
                assert_eq!(out.len(), len);
                for (index, value) in out.iter_mut().enumerate() {
                    *value = index as f32;
                }
            });
            let expected: Vec<f32> = (0..len).map(|index| index as f32).collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn parts_may_be_filled_one_by_one() {
        let values = buffer(10, |out| {
            for (chunk, part) in out.chunks_mut(3).enumerate() {
                part.fill(chunk as f32);
            }
        });
        assert_eq!(values, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn a_buffer_inside_of_another() {
        let mut inner = Vec::new();
        let outer = buffer(2, |outer| {
            inner = buffer(3, |inner| inner.fill(2.0));
            outer.copy_from_slice(&inner[1..]);
        });
        assert_eq!((outer, inner), (vec![2.0; 2], vec![2.0; 3]));
    }

    #[test]
    fn a_panic_while_it_is_filled_frees_it() {
        let panicked = std::panic::catch_unwind(|| buffer(4, |out| panic!("{}", out.len())));
        assert!(panicked.is_err());
    }

    #[test]
    fn zeros_are_zero() {
        assert_eq!(zeros(3), [0.0; 3]);
    }
}
