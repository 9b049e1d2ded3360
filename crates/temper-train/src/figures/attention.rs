//! The attention of one head before and after fine-tuning.

use super::heads::HeadAttention;
use super::language::{Language, Word};
use crate::charts::{Anchor, Canvas, Caption, GRID, Label, Line, SERIES, fitted, text_width};

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 24.0;
const TOP: f64 = 84.0;

/// The figure as an SVG document: a grid before, and one after.
pub(crate) fn draw(
    run: &str,
    tokens: &[String],
    (before, after): (&HeadAttention, &HeadAttention),
    language: Language,
) -> String {
    let longest = tokens.iter().map(|token| text_width(token, 11.0)).fold(0.0, f64::max);
    let left = MARGIN + longest + 8.0;
    let pitch = ((WIDTH - MARGIN - left - GAP) / (2.0 * tokens.len().max(1) as f64)).min(44.0);
    let side = pitch * tokens.len() as f64;
    let top = TOP + longest + 14.0;
    let title = title(run, before, language);
    let mut canvas = Canvas::new(WIDTH, (top + side + 40.0).ceil());
    for (line, text) in fitted(&title, 15.0, WIDTH - 2.0 * MARGIN).iter().enumerate() {
        canvas.text(Label::new(MARGIN, 26.0 + 20.0 * line as f64, text).sized(15.0).bold());
    }
    for (x, word, head) in [(left, Word::Before, before), (left + side + GAP, Word::After, after)] {
        canvas.text(Label::new(x, TOP - 8.0, language.word(word)).bold());
        grid(&mut canvas, (x, top), pitch, tokens, &head.weights);
    }
    for (row, token) in tokens.iter().enumerate() {
        let y = top + pitch * (row as f64 + 0.5) + 4.0;
        canvas.text(Label::small(left - 6.0, y, token).anchored(Anchor::End));
    }
    canvas.text(Label::small(MARGIN, top + side + 24.0, language.word(Word::RowsAddUp)));
    let description = description(tokens, before, after, language);
    canvas.document(Caption { title: &title, description: &description, language: language.tag() })
}

fn title(run: &str, head: &HeadAttention, language: Language) -> String {
    let HeadAttention { layer, head, .. } = head;
    match language {
        Language::English => format!("{run}: attention of head {head} in layer {layer}, which changed most"),
        Language::TraditionalChinese => format!("{run}：變化最大的注意力頭（第 {layer} 層第 {head} 個）"),
    }
}

/// A cell for each pair of tokens, the darker, the more the one of the row attends to the one of the column.
fn grid(canvas: &mut Canvas, (left, top): (f64, f64), pitch: f64, tokens: &[String], weights: &[Vec<f64>]) {
    for (column, token) in tokens.iter().enumerate() {
        let middle = top - 6.0 - text_width(token, 11.0) / 2.0;
        canvas.upright(Label::small(left + pitch * (column as f64 + 0.5) + 4.0, middle, token));
    }
    for (row, (token, shares)) in tokens.iter().zip(weights).enumerate() {
        for (column, (other, share)) in tokens.iter().zip(shares).enumerate() {
            let at = (left + pitch * column as f64 + 1.0, top + pitch * row as f64 + 1.0);
            let size = (pitch - 2.0, pitch - 2.0);
            let percent = format!("{:.0}", 100.0 * share);
            canvas.shade(
                at,
                size,
                (SERIES[0], 0.03 + 0.6 * share),
                &format!("{token} \u{2192} {other}: {percent} %"),
            );
            canvas.frame(at, size, Line::new(GRID, 0.5));
            if pitch >= 22.0 && percent != "0" {
                let label = Label::new(at.0 + size.0 / 2.0, at.1 + size.1 / 2.0 + 3.5, &percent);
                canvas.text(label.sized(9.0).anchored(Anchor::Middle));
            }
        }
    }
}

/// For those who cannot see the figure: where each token looks most.
fn description(
    tokens: &[String],
    before: &HeadAttention,
    after: &HeadAttention,
    language: Language,
) -> String {
    let most = |shares: &[f64]| {
        let highest = shares.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
        highest
            .map_or_else(String::new, |(column, share)| format!("{} {:.0} %", tokens[column], 100.0 * share))
    };
    let rows = tokens.iter().zip(before.weights.iter().zip(&after.weights));
    let each = rows.map(|(token, (before, after))| {
        language.says(token, &format!("{} \u{2192} {}", most(before), most(after)))
    });
    each.collect::<Vec<_>>().join(language.semicolon())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    #[test]
    fn both_grids_are_drawn_with_their_shares() {
        for count in [2, 20] {
            let tokens: Vec<String> = (0..count).map(|number| format!("token{number}")).collect();
            let head = |first: f64| {
                let mut row = vec![(1.0 - first) / (count - 1) as f64; count];
                row[0] = first;
                HeadAttention { layer: 3, head: 1, weights: vec![row; count] }
            };
            for language in [Language::English, Language::TraditionalChinese] {
                let svg = draw("reviews", &tokens, (&head(0.25), &head(0.75)), language);
                assert_inside(&svg);
                assert!(
                    svg.contains("token0 \u{2192} token0: 25 %")
                        && svg.contains("token0 \u{2192} token0: 75 %")
                );
                assert_eq!(svg.matches("stroke-width=\"0.5\"").count(), 2 * count * count);
            }
        }
    }
}
