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
