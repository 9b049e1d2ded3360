//! Sparse matrices.

/// A matrix of mostly zeros, of which only the other values are kept, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseRows {
    /// Number of columns.
    width: usize,
    /// Where each row ends in `entries`.
    ends: Vec<usize>,
    /// Column and value.
    entries: Vec<(u32, f64)>,
}

impl SparseRows {
    /// No rows yet, of that many columns.
    pub fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// Appends a row: column and value of what is not zero.
    pub fn push(&mut self, row: impl IntoIterator<Item = (u32, f64)>) {
        self.entries.extend(row);
        self.ends.push(self.entries.len());
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Column and value of every row.
    pub fn rows(&self) -> impl Iterator<Item = &[(u32, f64)]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.entries[start..end])
    }
}
