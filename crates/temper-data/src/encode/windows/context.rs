//! Which of the windows that share a token decides it.

use super::Window;

/// For each window and each of its tokens whether this window decides the token: of the windows that have it, the one
/// where fewest tokens are missing around it. Each token of a text that is spread over windows is decided by one window;
/// special tokens and those of the text that is whole in each are decided by none.
///
/// As `_check_is_max_context` of BERT's `run_squad.py` (github.com/google-research/bert): the score is the smaller number
/// of tokens of the text to the left and to the right within the window, plus 0.01 for each token of the text in the
/// window, and of equal scores the first counts.
///
/// `windows` are those of one input or several, in the order of [`encode_windows`](crate::encode_windows).
pub fn best_windows(windows: &[Window]) -> Vec<Vec<bool>> {
    let inputs = windows.chunk_by(|window, next| window.input == next.input);
    inputs.flat_map(of_one_input).collect()
}

fn of_one_input(windows: &[Window]) -> Vec<Vec<bool>> {
    let end = |window: &Window| window.from + window.spread.len();
    // Of each token of the text the best score so far, and its window.
    let mut best = vec![(f64::NEG_INFINITY, 0); windows.iter().map(end).max().unwrap_or(0)];
    for (index, window) in windows.iter().enumerate() {
        let length = window.spread.len();
        for token in 0..length {
            // In floating point as there, where equal scores may differ in their last bit.
            let score = token.min(length - 1 - token) as f64 + 0.01 * length as f64;
            let entry = &mut best[window.from + token];
            if score > entry.0 {
                *entry = (score, index);
            }
        }
    }
    let decides = |(index, window): (usize, &Window)| {
        let token = |place: usize| Some(window.from + place.checked_sub(window.spread.start)?);
        let is_best = |place: usize| {
            window.spread.contains(&place) && token(place).is_some_and(|token| best[token].1 == index)
        };
        (0..window.ids.len()).map(is_best).collect()
    };
    windows.iter().enumerate().map(decides).collect()
}
