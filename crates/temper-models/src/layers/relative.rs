//! Which row of a table of relative biases is for which distance.

use temper_kernels::RelativeBuckets;

/// Rows by distance as T5 (Raffel et al. 2020, arXiv 1910.10683) and MPNet have them: exact for near keys, then in steps
/// that grow up to `reach`. Without `causal`, keys behind and ahead of a query share the table.
///
/// Follows transformers 5.23, `_relative_position_bucket` of `modeling_t5.py`.
pub fn relative_buckets(buckets: usize, reach: usize, causal: bool) -> RelativeBuckets {
    let row = |place: usize| {
        if place <= reach {
            bucket(reach - place, if causal { buckets } else { buckets / 2 }, reach)
        } else if causal {
            0 // It sees no key ahead.
        } else {
            buckets / 2 + bucket(place - reach, buckets / 2, reach)
        }
    };
    RelativeBuckets { buckets: (0..=2 * reach).map(|place| row(place) as u32).collect(), zero_at: reach }
}

/// Row of a table for a distance in one direction: the first half one a distance, the others ever wider.
///
/// Computed in f32, as in transformers, since a distance may be exactly between two rows.
fn bucket(distance: usize, buckets: usize, reach: usize) -> usize {
    let exact = buckets / 2;
    if distance < exact {
        return distance;
    }
    let log = f64::from(distance as f32 / exact as f32).ln() as f32;
    let whole = (reach as f64 / exact as f64).ln() as f32;
    (exact + (log / whole * (buckets - exact) as f32) as usize).min(buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_transformers() {
        let distances = [-128, -127, -114, -91, -64, -32, -16, -15, -8, -7, -1, 0, 1, 7, 8, 16, 32, 64, 127];
        let encoder = [15, 15, 15, 15, 14, 12, 10, 9, 8, 7, 1, 0, 17, 23, 24, 26, 28, 30, 31];
        let decoder = [31, 31, 31, 29, 26, 21, 16, 15, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        for (is_decoder, expected) in [(false, encoder), (true, decoder)] {
            let RelativeBuckets { buckets, zero_at } = relative_buckets(32, 128, is_decoder);
            let found = distances.map(|distance: isize| buckets[zero_at.strict_add_signed(distance)]);
            assert_eq!(found, expected);
        }
    }
}
