//! Lookup of rows in tables, and the gradient of a table.

use super::{buffer, rows_per_task, run_tasks, vectorized, zeros};
use rayon::join;

/// A table of rows and the row that each token takes.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// `[entries, width]`
    pub table: &'a [f32],
    /// `[tokens]`
    pub ids: &'a [usize],
}

impl Lookup<'_> {
    fn row(&self, token: usize, width: usize) -> &[f32] {
        &self.table[self.ids[token] * width..][..width]
    }
}

/// The sum of the looked-up rows of all tables (BERT has three: words, positions, segments).
///
/// # Shapes
/// - output: `[tokens, width]`
///
/// # Panics
/// On an id outside its table, and without a table.
pub fn embed(lookups: &[Lookup], width: usize) -> Vec<f32> {
    let tokens = lookups.first().expect("embedding: no table").ids.len();
    for lookup in lookups {
        assert_eq!(lookup.ids.len(), tokens, "embedding: numbers of tokens differ");
        assert!(width > 0 && lookup.table.len().is_multiple_of(width), "embedding: not rows of {width}");
        assert_ids(lookup.ids, lookup.table.len() / width);
    }
    let task_rows = rows_per_task(tokens, width);
    buffer(tokens * width, |out| {
        run_tasks(out.chunks_mut(task_rows * width).enumerate().collect(), |(task, rows)| {
            for (row, out) in rows.chunks_exact_mut(width).enumerate() {
                let token = task * task_rows + row;
                out.copy_from_slice(lookups[0].row(token, width));
                for lookup in &lookups[1..] {
                    add_row(out, lookup.row(token, width));
                }
            }
        });
    })
}

/// The gradient of one table: the sum of the rows of `dy` whose tokens took an entry. Entries that no
/// token took are never written: their memory costs nothing until something reads it.
///
/// # Shapes
/// - `ids`: `[tokens]`
/// - `dy`: `[tokens, width]`
/// - output: `[entries, width]`
///
/// # Panics
/// On an id outside the table.
pub fn embed_backward(ids: &[usize], dy: &[f32], width: usize, entries: usize) -> Vec<f32> {
    let mut gradient = zeros(entries * width);
    add_embed_gradient(ids, dy, width, &mut gradient);
    gradient
}

/// [`embed_backward`] that adds to a gradient that is there already.
///
/// # Shapes
/// - `gradient`: `[entries, width]`
///
/// # Panics
/// On an id outside the table.
pub fn add_embed_gradient(ids: &[usize], dy: &[f32], width: usize, gradient: &mut [f32]) {
    assert_eq!(dy.len(), ids.len() * width, "embedding: shapes of ids and gradient differ");
    assert!(width > 0 && gradient.len().is_multiple_of(width), "embedding: not rows of {width}");
    assert_ids(ids, gradient.len() / width);
    let mut taken: Vec<Taken> = ids.iter().enumerate().map(|(token, &id)| Taken { id, token }).collect();
    taken.sort_unstable();
    scatter(&taken, dy, width, 0, gradient);
}

/// A token took an entry. Sorted, the tokens of an entry are together and in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    id: usize,
    token: usize,
}

/// Tokens that one task adds up: 64 rows of 384.
const TASK_TOKENS: usize = 64;

/// Adds the rows of `taken` to the entries of `gradient`, the first of which is `first_id`.
fn scatter(taken: &[Taken], dy: &[f32], width: usize, first_id: usize, gradient: &mut [f32]) {
    let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return };
    if first.id == last.id {
        let entry = &mut gradient[(first.id - first_id) * width..][..width];
        return add_tokens(taken, dy, width, entry);
    }
    if taken.len() <= TASK_TOKENS {
        for same in taken.chunk_by(|left, right| left.id == right.id) {
            add_tokens(same, dy, width, &mut gradient[(same[0].id - first_id) * width..][..width]);
        }
        return;
    }
    // Cut where a new entry begins, at the middle or the next such place on its left or right.
    let middle_id = taken[taken.len() / 2].id;
    let cut_id = if middle_id > first.id { middle_id } else { middle_id + 1 };
    let (low, high) = taken.split_at(taken.partition_point(|taken| taken.id < cut_id));
    let (low_gradient, high_gradient) = gradient.split_at_mut((cut_id - first_id) * width);
    join(
        || scatter(low, dy, width, first_id, low_gradient),
        || scatter(high, dy, width, cut_id, high_gradient),
    );
}

/// Adds the rows of all tokens of `taken` to `entry`: halves apart where there are many, as for a table
/// of two segments.
fn add_tokens(taken: &[Taken], dy: &[f32], width: usize, entry: &mut [f32]) {
    if taken.len() <= TASK_TOKENS {
        for &Taken { token, .. } in taken {
            add_row(entry, &dy[token * width..][..width]);
        }
        return;
    }
    let (left, right) = taken.split_at(taken.len() / 2);
    let mut right_sum = zeros(width);
    join(|| add_tokens(left, dy, width, entry), || add_tokens(right, dy, width, &mut right_sum));
    add_row(entry, &right_sum);
}

fn add_row(sum: &mut [f32], row: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, &value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        },
    );
}

fn assert_ids(ids: &[usize], entries: usize) {
    if let Some(id) = ids.iter().find(|&&id| id >= entries) {
        panic!("id {id} is outside the table of {entries} rows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) % 10_007) as f32 / 5000.0 - 1.0).collect()
    }

    fn ids(tokens: usize, entries: usize) -> Vec<usize> {
        (0..tokens).map(|token| (token * token * 31 + token * 7) % entries).collect()
    }

    fn check_gradient(ids: &[usize], width: usize, entries: usize) {
        let dy = noise(ids.len() * width);
        let mut expected = vec![0.0_f64; entries * width];
        for (token, id) in ids.iter().enumerate() {
            for column in 0..width {
                expected[id * width + column] += f64::from(dy[token * width + column]);
            }
        }
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| embed_backward(ids, &dy, width, entries))
        };
        let mut gradient = run(1);
        assert_eq!(gradient, run(3));
        add_embed_gradient(ids, &dy, width, &mut gradient);
        expected.iter_mut().for_each(|value| *value *= 2.0);
        assert_eq!(gradient.len(), expected.len());
        let largest = expected.iter().fold(1.0_f64, |largest, value| largest.max(value.abs()));
        for (i, (&result, expected)) in gradient.iter().zip(&expected).enumerate() {
            assert!((f64::from(result) - expected).abs() <= 1e-5 * largest, "{i}: {result}, not {expected}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_gradient_adds_up_every_token(tokens in 0_usize..500, entries in 1_usize..400, width in 1_usize..9) {
            check_gradient(&ids(tokens, entries), width, entries);
        }
    }

    #[test]
    fn entries_that_many_tokens_share_get_all_of_them() {
        check_gradient(&vec![1; 1000], 5, 3);
        check_gradient(&(0..1000).map(|token| usize::from(token > 300)).collect::<Vec<_>>(), 5, 2);
        check_gradient(&(0..1000).map(|token| usize::from(token > 700) * 6).collect::<Vec<_>>(), 5, 7);
    }

    #[test]
    fn every_token_gets_the_sum_of_its_entries() {
        for (tokens, width) in [(0, 3), (1, 1), (7, 5), (2000, 37)] {
            let (words, positions) = (noise(50 * width), noise(9 * width));
            let (word_ids, position_ids) = (ids(tokens, 50), ids(tokens, 9));
            let lookups =
                [Lookup { table: &words, ids: &word_ids }, Lookup { table: &positions, ids: &position_ids }];
            let (one, two) = (embed(&lookups[..1], width), embed(&lookups, width));
            assert_eq!((one.len(), two.len()), (tokens * width, tokens * width));
            for token in 0..tokens {
                for column in 0..width {
                    let (i, word) = (token * width + column, words[word_ids[token] * width + column]);
                    assert_eq!(one[i], word);
                    assert_eq!(two[i], word + positions[position_ids[token] * width + column]);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "id 40000 is outside the table of 30522 rows")]
    fn lookup_refuses_ids_outside_the_table() {
        embed(&[Lookup { table: &noise(30_522), ids: &[3, 40_000] }], 1);
    }

    #[test]
    #[should_panic(expected = "id 2 is outside the table of 2 rows")]
    fn the_gradient_refuses_ids_outside_the_table() {
        embed_backward(&[2], &[0.0; 4], 4, 2);
    }
}
