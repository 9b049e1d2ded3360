//! Lists of rows, and how gradients find their way back through them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Rows of a matrix in some order, one as often as one likes; known to the host and to a device.
///
/// The host's copy is what makes the backward pass of a lookup quick on a GPU: Burn adds the gradients of
/// repeated rows one after the other, in a loop over all rows of the batch.
#[derive(Clone, Debug)]
pub struct RowIndex {
    host: Arc<[i32]>,
    /// `[rows]`
    device: Tensor<1, Int>,
    sums: Arc<OnceLock<GradientSums>>,
}

impl RowIndex {
    /// The rows in the given order, outside of autodiff.
    pub fn new(rows: Vec<i32>, device: &Device) -> Self {
        let data = TensorData::new(rows.clone(), [rows.len()]);
        let device = Tensor::from_data(data, &device.clone().inner());
        Self { host: rows.into(), device, sums: Arc::default() }
    }

    /// Rows for a rectangle with padding, whose gradient is zero: that of each entry of the table is the one
    /// of the row that `first` names, `[entries]`.
    pub(crate) fn padded(rows: Vec<i32>, first: &[i32], device: &Device) -> Self {
        let index = Self::new(rows, device);
        let sums = GradientSums { levels: Arc::default(), last: first.into() };
        Self { sums: Arc::new(OnceLock::from(sums)), ..index }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// On the host, `[rows]`.
    pub fn host(&self) -> &[i32] {
        &self.host
    }

    /// On the device, `[rows]`.
    pub fn tensor(&self) -> Tensor<1, Int> {
        self.device.clone()
    }

    /// [`RowIndex::gradient_sums`] in segments.
    #[cfg(feature = "gpu")]
    pub(crate) fn segments(&self, entries: usize) -> Segments {
        Segments::new(&self.host, entries)
    }

    /// What the backward pass of a lookup in so many rows needs, worked out once.
    pub(crate) fn gradient_sums(&self, entries: usize) -> GradientSums {
        let fits = self.sums.get_or_init(|| GradientSums::new(&self.host, entries));
        // One list may serve tables of several heights: positions do.
        if fits.entries() == entries { fits.clone() } else { GradientSums::new(&self.host, entries) }
    }
}

/// How the gradients of looked-up rows add up to those of the table, in lookups and sums that have no loop
/// over the batch: rows of the same entry are summed [`FAN`] at a time until one is left of each.
#[derive(Clone, Debug)]
pub(crate) struct GradientSums {
    /// Each level adds up groups of rows of the one before it, the first those of the gradient.
    pub(crate) levels: Arc<[Level]>,
    /// For each entry of the table its row of the last level; the row after the last for none, `[entries]`.
    pub(crate) last: Arc<[i32]>,
}

/// The same for a device that loops over few rows: those of an entry are side by side in segments.
#[cfg(feature = "gpu")]
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    /// Rows of the gradient by entry, `[rows]`.
    pub(crate) order: Arc<[i32]>,
    /// Where each segment begins in `order`, and the last one ends: `[segments + 1]`.
    pub(crate) bounds: Arc<[i32]>,
    /// Where the segments of each entry begin, `[entries + 1]`.
    pub(crate) entries: Arc<[i32]>,
}

/// Rows of a segment.
#[cfg(feature = "gpu")]
const SEGMENT: usize = 32;

#[cfg(feature = "gpu")]
impl Segments {
    fn new(rows: &[i32], entries: usize) -> Self {
        let (of_entries, order) = by_entry(rows, entries);
        let mut bounds = vec![0];
        let mut firsts = vec![0];
        for entry in of_entries.windows(2) {
            let steps = (entry[0]..entry[1]).step_by(SEGMENT).skip(1);
            bounds.extend(steps.map(|step| step as i32));
            if entry[0] < entry[1] {
                bounds.push(entry[1] as i32);
            }
            firsts.push(bounds.len() as i32 - 1);
        }
        Self { order: order.into(), bounds: bounds.into(), entries: firsts.into() }
    }
}

/// Rows to be summed at once.
pub(crate) const FAN: usize = 16;

/// Groups of rows to be summed.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    /// `[groups * FAN]`; the row after the last for none.
    pub(crate) rows: Arc<[i32]>,
}

impl Level {
    pub(crate) fn groups(&self) -> usize {
        self.rows.len() / FAN
    }
}

impl GradientSums {
    fn new(rows: &[i32], entries: usize) -> Self {
        let (mut bounds, mut order) = by_entry(rows, entries);
        let mut levels = Vec::new();
        while bounds.windows(2).any(|bound| bound[1] - bound[0] > 1) {
            let (level, next_bounds) = level(&bounds, &order);
            order = (0..level.groups() as i32).collect();
            bounds = next_bounds;
            levels.push(level);
        }
        let none = order.len() as i32;
        let last = bounds.windows(2).map(|bound| if bound[0] == bound[1] { none } else { order[bound[0]] });
        Self { last: last.collect(), levels: levels.into() }
    }

    fn entries(&self) -> usize {
        self.last.len()
    }
}

/// The places of each entry among the rows: `order[bounds[entry]..bounds[entry + 1]]`.
fn by_entry(rows: &[i32], entries: usize) -> (Vec<usize>, Vec<i32>) {
    let mut bounds = vec![0; entries + 1];
    for &row in rows {
        bounds[row as usize + 1] += 1;
    }
    for entry in 0..entries {
        bounds[entry + 1] += bounds[entry];
    }
    let mut next = bounds.clone();
    let mut order = vec![0; rows.len()];
    for (place, &row) in rows.iter().enumerate() {
        order[next[row as usize]] = place as i32;
        next[row as usize] += 1;
    }
    (bounds, order)
}

/// Groups of at most [`FAN`] rows of the same entry, and where each entry's groups begin.
fn level(bounds: &[usize], order: &[i32]) -> (Level, Vec<usize>) {
    let none = order.len() as i32;
    let mut rows = Vec::new();
    let mut next_bounds = vec![0];
    for range in bounds.windows(2).map(|bound| Range { start: bound[0], end: bound[1] }) {
        for group in order[range].chunks(FAN) {
            rows.extend_from_slice(group);
            rows.resize(rows.len().next_multiple_of(FAN), none);
        }
        next_bounds.push(rows.len() / FAN);
    }
    (Level { rows: rows.into() }, next_bounds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sums of numbers in place of rows.
    fn sums(index: &[i32], entries: usize, numbers: &[f64]) -> Vec<f64> {
        let sums = GradientSums::new(index, entries);
        let mut values = numbers.to_vec();
        for level in sums.levels.iter() {
            values.push(0.0);
            let group = |rows: &[i32]| rows.iter().map(|&row| values[row as usize]).sum();
            values = level.rows.chunks(FAN).map(group).collect();
        }
        values.push(0.0);
        sums.last.iter().map(|&row| values[row as usize]).collect()
    }

    proptest! {
        #[test]
        fn every_entry_gets_the_sum_of_its_rows(
            index in prop::collection::vec(0_i32..7, 0..900),
            unused in 0_usize..4,
        ) {
            let entries = 7 + unused;
            let numbers: Vec<f64> = (0..index.len()).map(|row| (row * row % 101) as f64).collect();
            let mut expected = vec![0.0; entries];
            for (&entry, number) in index.iter().zip(&numbers) {
                expected[entry as usize] += number;
            }
            prop_assert_eq!(sums(&index, entries, &numbers), expected);
        }
    }

    #[test]
    fn rows_that_differ_need_no_sum() {
        assert!(GradientSums::new(&[3, 0, 2], 5).levels.is_empty());
        assert_eq!(&*GradientSums::new(&[3, 0, 2], 5).last, &[1, 3, 2, 0, 3]);
    }
}
