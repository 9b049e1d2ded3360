//! Several linear maps in one stored tensor: which of its outputs belong to which.

use std::ops::Range;

/// How the outputs of query, key and value are arranged in one stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fusion {
    /// One after the other (GPT-2).
    Blocks,
    /// By group of heads that share a key head: their queries, the key, the value (BLOOM with a query
    /// a group, Falcon).
    Groups,
}

impl Fusion {
    /// For each part the ranges of stored outputs that make it up, in order.
    ///
    /// `widths`: outputs of each part; `groups` divides each of them.
    ///
    /// ```
    /// use temper_models::weights::Fusion;
    ///
    /// // Two groups of two query heads, one number a head.
    /// let parts = Fusion::Groups.ranges(&[4, 2, 2], 2);
    /// assert_eq!(parts, [[0..2, 4..6], [2..3, 6..7], [3..4, 7..8]]);
    /// ```
    pub fn ranges(self, widths: &[usize], groups: usize) -> Vec<Vec<Range<usize>>> {
        let groups = match self {
            Self::Blocks => 1,
            Self::Groups => groups,
        };
        let total: usize = widths.iter().sum();
        let mut before = 0;
        let ranges = widths.iter().map(|width| {
            let start = before;
            before += width / groups;
            (0..groups).map(|group| group * total / groups + start..group * total / groups + before).collect()
        });
        ranges.collect()
    }
}

/// The parts of a stored tensor whose outputs are its rows (`by_row`) or its columns.
pub(crate) fn split(
    values: &[f32],
    outputs: usize,
    by_row: bool,
    parts: &[Vec<Range<usize>>],
) -> Vec<Vec<f32>> {
    let inputs = values.len() / outputs.max(1);
    let part = |ranges: &Vec<Range<usize>>| -> Vec<f32> {
        if by_row {
            let rows = ranges.iter().map(|range| &values[range.start * inputs..range.end * inputs]);
            return rows.flatten().copied().collect();
        }
        let rows = values.chunks(outputs.max(1));
        rows.flat_map(|row| ranges.iter().flat_map(|range| &row[range.clone()])).copied().collect()
    };
    parts.iter().map(part).collect()
}

/// The reverse of [`split`].
pub(crate) fn join(
    parts: &[Vec<f32>],
    inputs: usize,
    by_row: bool,
    ranges: &[Vec<Range<usize>>],
) -> Vec<f32> {
    let outputs = parts.iter().map(|part| part.len() / inputs.max(1)).sum::<usize>();
    let mut values = vec![0.0; inputs * outputs];
    for (part, ranges) in parts.iter().zip(ranges) {
        let mut rest = part.iter().copied();
        if by_row {
            for range in ranges {
                values[range.start * inputs..range.end * inputs]
                    .fill_with(|| rest.next().unwrap_or_default());
            }
        } else {
            for row in values.chunks_mut(outputs.max(1)) {
                for range in ranges {
                    row[range.clone()].fill_with(|| rest.next().unwrap_or_default());
                }
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_undoes_splitting() {
        let (inputs, widths, groups) = (3, [8, 4, 4], 4);
        let outputs = 16;
        let values: Vec<f32> = (0..inputs * outputs).map(|value| value as f32).collect();
        for fusion in [Fusion::Blocks, Fusion::Groups] {
            let ranges = fusion.ranges(&widths, groups);
            for by_row in [true, false] {
                let parts = split(&values, outputs, by_row, &ranges);
                assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [24, 12, 12]);
                assert_eq!(join(&parts, inputs, by_row, &ranges), values);
            }
        }
    }

    #[test]
    fn parts_hold_the_outputs_of_their_ranges() {
        let ranges = Fusion::Groups.ranges(&[2, 1, 1], 1);
        // [in = 2, out = 4] and its transpose.
        let columns = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(split(&columns, 4, false, &ranges)[0], [0.0, 1.0, 10.0, 11.0]);
        let rows = [0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0];
        assert_eq!(split(&rows, 4, true, &ranges)[2], [3.0, 13.0]);
    }
}
