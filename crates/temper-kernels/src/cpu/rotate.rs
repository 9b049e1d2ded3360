//! Rotary positions, in place.

use super::{rows_per_task, run_tasks, vectorized};

/// Which numbers of a row turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Numbers of a row.
    pub width: usize,
    /// Numbers of a head.
    pub head: usize,
    /// Whether they turn back, as gradients do.
    pub is_backwards: bool,
}

/// Turns every head of every row: number `i` together with number `i + pairs`; what is behind `2 pairs` stays.
///
/// # Shapes
/// - `x`: `[rows, width]`, `cosine` and `sine`: `[rows, pairs]`
///
/// # Panics
/// If the sizes disagree.
pub fn rotate(x: &mut [f32], cosine: &[f32], sine: &[f32], turn: Turn) {
    let Turn { width, head, is_backwards } = turn;
    let rows = x.len().checked_div(width).unwrap_or(0);
    let pairs = cosine.len().checked_div(rows).unwrap_or(0);
    assert!(cosine.len() == sine.len() && pairs * rows == cosine.len(), "rotation: numbers of rows differ");
    assert!(2 * pairs <= head && width % head.max(1) == 0, "rotation: {pairs} pairs do not fit into a head");
    if pairs == 0 {
        return;
    }
    let sign = if is_backwards { -1.0 } else { 1.0 };
    let task_rows = rows_per_task(rows, width);
    let tables = cosine.chunks(task_rows * pairs).zip(sine.chunks(task_rows * pairs));
    run_tasks(x.chunks_mut(task_rows * width).zip(tables).collect(), |(x, (cosine, sine))| {
        vectorized(
            #[inline(always)]
            || {
                let tables = cosine.chunks_exact(pairs).zip(sine.chunks_exact(pairs));
                for (row, (cosine, sine)) in x.chunks_exact_mut(width).zip(tables) {
                    for head in row.chunks_exact_mut(head) {
                        let (first, second) = head.split_at_mut(pairs);
                        let numbers = first.iter_mut().zip(second);
                        for ((first, second), (&cosine, &sine)) in numbers.zip(cosine.iter().zip(sine)) {
                            let (x, y, sine) = (*first, *second, sine * sign);
                            *first = x * cosine - y * sine;
                            *second = y * cosine + x * sine;
                        }
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i + seed) * 7919 % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    #[test]
    fn pairs_turn_and_the_rest_stays() {
        for (rows, heads, head, pairs) in [(1, 1, 2, 1), (3, 2, 8, 4), (700, 3, 20, 7), (5, 4, 64, 32)] {
            let width = heads * head;
            let x = numbers(rows * width, 1);
            let angles = numbers(rows * pairs, 2);
            let [cosine, sine] = [f32::cos, f32::sin]
                .map(|function| angles.iter().map(|&angle| function(3.0 * angle)).collect::<Vec<_>>());
            let mut found = x.clone();
            rotate(&mut found, &cosine, &sine, Turn { width, head, is_backwards: false });
            for (place, &value) in found.iter().enumerate() {
                let (row, number) = (place / width, place % head);
                let expected = match number {
                    _ if number < pairs => {
                        let angle = row * pairs + number;
                        x[place] * cosine[angle] - x[place + pairs] * sine[angle]
                    }
                    _ if number < 2 * pairs => {
                        let angle = row * pairs + number - pairs;
                        x[place] * cosine[angle] + x[place - pairs] * sine[angle]
                    }
                    _ => x[place],
                };
                assert!((value - expected).abs() < 1e-6, "{place}: {value}, not {expected}");
            }
            rotate(&mut found, &cosine, &sine, Turn { width, head, is_backwards: true });
            for (found, expected) in found.iter().zip(&x) {
                assert!((found - expected).abs() < 1e-6, "{found}, not {expected} after turning back");
            }
        }
        rotate(&mut [], &[], &[], Turn { width: 4, head: 4, is_backwards: false });
    }

    #[test]
    #[should_panic(expected = "do not fit into a head")]
    fn refuses_more_pairs_than_a_head_has() {
        rotate(&mut [0.0; 4], &[1.0; 3], &[0.0; 3], Turn { width: 4, head: 4, is_backwards: false });
    }
}
