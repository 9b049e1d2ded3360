//! The worst errors, with the words that matter in them.

use super::html::paragraph;
use crate::charts::escape;
use crate::training::Piece;

/// Characters of a text that are shown.
const SHOWN: usize = 700;

/// Smaller differences of a probability are as if a word did not matter.
const LEAST: f64 = 0.01;

/// A prediction that is wrong, or the least right.
pub(crate) struct WorstError {
    /// What is predicted, and what should be.
    pub(crate) explanation: String,
    /// The example's texts, each in pieces.
    pub(crate) texts: Vec<Vec<Piece>>,
}

/// The errors, the worst first.
pub(super) fn errors(worst: &[WorstError]) -> String {
    if worst.is_empty() {
        return paragraph("There is none.");
    }
    let effects =
        || worst.iter().flat_map(|error| error.texts.iter().flatten()).filter_map(|piece| piece.effect);
    let said = match effects().any(|effect| effect.abs() >= LEAST) {
        true => {
            "<p>Each word was left out in turn. <mark class=\"for\" style=\"--effect:0.6\">Underlined</mark>: without it, the predicted label is less probable; <mark class=\"against\" style=\"--effect:0.6\">dotted</mark>: more probable. Stronger colours are larger differences. In a long text several words are left out together.</p>"
        }
        false if effects().next().is_some() => {
            "<p>Each word was left out in turn; none changes the probability of the predicted label by a point.</p>"
        }
        false => "",
    };
    let list: String = worst.iter().map(|error| format!("<li>{}</li>", one(error))).collect();
    format!("{said}<ol class=\"errors\">{list}</ol>")
}

fn one(error: &WorstError) -> String {
    let strongest = strongest(error);
    let strongest = match strongest.is_empty() {
        true => String::new(),
        false => format!("<p class=\"words\">Most for it: {}</p>", strongest.join(", ")),
    };
    let texts: String =
        error.texts.iter().map(|pieces| format!("<blockquote>{}</blockquote>", text(pieces))).collect();
    format!("<p class=\"said\">{}</p>{texts}{strongest}", escape(&error.explanation))
}

fn text(pieces: &[Piece]) -> String {
    let (mut markup, mut left) = (String::new(), SHOWN);
    for piece in pieces {
        let shown: String = piece.text.chars().take(left).collect();
        left -= shown.chars().count();
        markup += &marked(piece, &shown);
        if left == 0 {
            return markup + "\u{2026}";
        }
    }
    markup
}

fn marked(piece: &Piece, shown: &str) -> String {
    let word = shown.trim_end();
    let space = escape(&shown[word.len()..]);
    match piece.effect {
        Some(effect) if effect.abs() >= LEAST && !word.is_empty() => {
            let class = if effect > 0.0 { "for" } else { "against" };
            format!(
                "<mark class=\"{class}\" style=\"--effect:{:.2}\" title=\"{}\">{}</mark>{space}",
                effect.abs().sqrt().min(1.0),
                points(effect),
                escape(word)
            )
        }
        _ => format!("{}{space}", escape(word)),
    }
}

/// What leaving a word out does to the probability, in points of a percent.
fn points(effect: f64) -> String {
    format!("{:+.1} points without it", -100.0 * effect)
}

/// The words that most support the prediction, with what they do.
fn strongest(error: &WorstError) -> Vec<String> {
    let mut words: Vec<(&str, f64)> = error
        .texts
        .iter()
        .flatten()
        .filter_map(|piece| Some((piece.text.trim(), piece.effect.filter(|effect| *effect >= 0.05)?)))
        .collect();
    words.sort_by(|left, right| right.1.total_cmp(&left.1));
    let said = |(word, effect): &(&str, f64)| format!("<b>{}</b> ({})", escape(word), points(*effect));
    words.iter().take(3).map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, effect: Option<f64>) -> Piece {
        Piece { text: text.into(), effect }
    }

    #[test]
    fn words_are_marked_by_their_effect_and_cannot_become_markup() {
        let texts = vec![vec![
            piece("<script>alert(1)</script> ", Some(0.4)),
            piece("a\u{0} ", Some(0.0)),
            piece("\"not\"", Some(-0.2)),
        ]];
        let page = errors(&[WorstError { explanation: "<b> (99 %), should be pos".into(), texts }]);
        assert!(!page.contains("<script") && !page.contains("<b> (99"), "{page}");
        for part in [
            "class=\"for\" style=\"--effect:0.63\" title=\"-40.0 points without it\">&lt;script&gt;",
            "class=\"against\" style=\"--effect:0.45\" title=\"+20.0 points without it\">&quot;not&quot;",
            "Most for it: <b>&lt;script&gt;alert(1)&lt;/script&gt;</b>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let texts = vec![vec![piece(&"\u{e4}".repeat(SHOWN + 1), None)]];
        let page = errors(&[WorstError { explanation: "x".into(), texts }]);
        assert!(page.contains("\u{e4}\u{2026}</blockquote>"), "{page}");
        assert!(!page.contains("left out in turn") && errors(&[]).contains("none"));
    }
}
