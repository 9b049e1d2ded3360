//! Dropout masks as a function of seed, row and column.

/// Dropout whose mask is a function of seed, row and column: a backward pass draws the mask of its
/// forward pass again instead of keeping it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of an element to become zero, in `[0, 1)`.
    pub probability: f32,
    /// Two dropouts with different seeds draw independent masks.
    pub seed: u64,
}

impl Dropout {
    /// What all columns of a row share; draw it once a row.
    pub fn row(&self, row: u64) -> DropoutRow {
        let key = mix64(self.seed ^ mix64(row.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        DropoutRow {
            key: key as u32,
            start: (key >> 32) as u32,
            threshold: self.threshold(),
            scale: self.scale(),
        }
    }

    /// What 24 random bits are compared with.
    pub(crate) fn threshold(&self) -> u32 {
        (self.probability * 16_777_216.0).round() as u32
    }

    /// What is kept is multiplied by it.
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (1.0 - self.probability)
    }
}

/// The mask of one row.
#[derive(Clone, Copy, Debug)]
pub struct DropoutRow {
    key: u32,
    start: u32,
    threshold: u32,
    scale: f32,
}

impl DropoutRow {
    /// Zero where the column is dropped, else `1 / (1 - p)`. Compiles to vector code in a loop over
    /// columns.
    #[inline(always)]
    pub fn factor(&self, column: usize) -> f32 {
        let bits = mix32((column as u32).wrapping_mul(0x9e37_79b9).wrapping_add(self.start) ^ self.key);
        if (bits >> 8) < self.threshold { 0.0 } else { self.scale }
    }
}

// Finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

// A 32-bit mixer with low bias (C. Wellons, hash-prospector, "lowbias32" constants of 2022).
#[inline(always)]
fn mix32(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad);
    x = (x ^ (x >> 15)).wrapping_mul(0x735a_2d97);
    x ^ (x >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_with_the_given_probability_independently_of_row_and_column() {
        let dropout = Dropout { probability: 0.1, seed: 7 };
        let (rows, columns) = (400, 500);
        let mut dropped_with_the_left = 0;
        let mut dropped_with_the_upper = 0;
        let mut dropped = 0;
        let zero = |row: u64, column: usize| dropout.row(row).factor(column) == 0.0;
        for row in 1..rows {
            for column in 1..columns {
                if zero(row, column) {
                    dropped += 1;
                    dropped_with_the_left += usize::from(zero(row, column - 1));
                    dropped_with_the_upper += usize::from(zero(row - 1, column));
                }
            }
        }
        let draws = (rows as f64 - 1.0) * (columns as f64 - 1.0);
        // Within 4.5 standard deviations.
        assert!((dropped as f64 - 0.1 * draws).abs() < 4.5 * (0.09 * draws).sqrt(), "{dropped}");
        for pairs in [dropped_with_the_left, dropped_with_the_upper] {
            assert!((pairs as f64 - 0.01 * draws).abs() < 4.5 * (0.01 * draws).sqrt(), "{pairs}");
        }
    }

    #[test]
    fn kept_elements_keep_the_mean() {
        let row = Dropout { probability: 0.25, seed: 1 }.row(3);
        let kept = (0..1000).map(|column| row.factor(column)).find(|&factor| factor != 0.0);
        assert_eq!(kept, Some(1.0 / 0.75));
    }

    #[test]
    fn seeds_differ() {
        let mask = |seed| -> Vec<f32> {
            let row = Dropout { probability: 0.5, seed }.row(0);
            (0..64).map(|column| row.factor(column)).collect()
        };
        assert_ne!(mask(1), mask(2));
        assert_eq!(mask(1), mask(1));
    }
}
