//! Which row of a table of relative biases is for which distance.

use std::ops::Range;

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

/// Rows by distance as DeBERTa (He et al. 2021, arXiv 2111.09543) has them, which counts from key to query: `span` rows for
/// distances of each sign, one a distance up to `exact`, then in steps that grow up to `reach`.
///
/// Follows transformers 5.23, `make_log_bucket_position` of `modeling_deberta_v2.py`, which computes in f32.
pub fn log_buckets(span: usize, exact: usize, reach: usize) -> RelativeBuckets {
    let log = |value: f32| f64::from(value).ln() as f32;
    let steps = |distance: usize| {
        if distance <= exact {
            return distance;
        }
        let whole = log(((reach - 1) as f64 / exact as f64) as f32);
        let share = log(distance as f32 / exact as f32) / whole;
        (share * (exact - 1) as f32).ceil() as usize + exact
    };
    let row = |place: usize| match place.checked_sub(reach) {
        Some(ahead) => span.saturating_sub(steps(ahead)),
        None => (span + steps(reach - place)).min(2 * span - 1),
    };
    RelativeBuckets { buckets: (0..=2 * reach).map(|place| row(place) as u32).collect(), zero_at: reach }
}

/// The rows that sequences of at most this length need, and the buckets counted from the first of them.
pub(crate) fn needed_rows(all: &RelativeBuckets, longest: usize) -> (Range<usize>, RelativeBuckets) {
    let farthest = longest.saturating_sub(1).min(all.zero_at).min(all.buckets.len() - 1 - all.zero_at);
    let near = &all.buckets[all.zero_at - farthest..=all.zero_at + farthest];
    let first = near.iter().copied().min().unwrap_or(0);
    let end = near.iter().max().map_or(0, |last| last + 1);
    let buckets = near.iter().map(|bucket| bucket - first).collect();
    (first as usize..end as usize, RelativeBuckets { buckets, zero_at: farthest })
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
    fn rows_of_vectors_are_those_of_transformers() {
        // `build_relative_position` + 256, clamped, for keys behind and ahead of a query.
        let distances = [-511, -300, -200, -129, -128, -1, 0, 1, 128, 129, 200, 300, 511];
        let expected = [511, 463, 425, 385, 384, 257, 256, 255, 128, 127, 87, 49, 1];
        let all = log_buckets(256, 128, 512);
        let found = distances.map(|distance: isize| all.buckets[all.zero_at.strict_add_signed(distance)]);
        assert_eq!(found, expected);
        let spread =
            (-511..512).step_by(37).map(|distance| all.buckets[(all.zero_at as isize + distance) as usize]);
        let expected_spread = [
            511, 505, 497, 489, 480, 470, 459, 447, 432, 415, 393, 360, 323, 286, 249, 212, 175, 138, 110,
            90, 74, 60, 48, 38, 28, 20, 12, 5,
        ];
        assert_eq!(spread.collect::<Vec<_>>(), expected_spread);

        let (rows, near) = needed_rows(&all, 201);
        assert_eq!(rows, expected[10] as usize..expected[2] as usize + 1);
        for distance in [-200, -1, 0, 128, 200] {
            let place = |buckets: &RelativeBuckets| buckets.zero_at.strict_add_signed(distance);
            assert_eq!(near.buckets[place(&near)] + rows.start as u32, all.buckets[place(&all)]);
        }
        let (rows, near) = needed_rows(&all, 1);
        assert_eq!((rows, &*near.buckets, near.zero_at), (256..257, &[0][..], 0));
        let all = log_buckets(16, 16, 16);
        assert_eq!([all.buckets[0], all.buckets[1], all.buckets[16], all.buckets[32]], [31, 31, 16, 0]);
    }

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
