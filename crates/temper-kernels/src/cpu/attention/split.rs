//! Cuts of matrices into sequences and heads, so that tasks write apart.

/// Cuts a row-major matrix of `width` columns into the rows of each sequence.
pub fn by_sequence<'a>(mut matrix: &'a mut [f32], bounds: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    let mut sequences = Vec::with_capacity(bounds.len().saturating_sub(1));
    for bounds in bounds.windows(2) {
        let (rows, rest) = matrix.split_at_mut((bounds[1] - bounds[0]) * width);
        sequences.push(rows);
        matrix = rest;
    }
    sequences
}

/// Cuts `[rows, heads * width]` into `[heads][rows][width]`, so that one task may write one head.
pub fn by_head(matrix: &mut [f32], heads: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    let rows = matrix.len() / (heads * width);
    let mut parts: Vec<_> = (0..heads).map(|_| Vec::with_capacity(rows)).collect();
    for row in matrix.chunks_exact_mut(heads * width) {
        for (part, values) in parts.iter_mut().zip(row.chunks_exact_mut(width)) {
            part.push(values);
        }
    }
    parts
}
