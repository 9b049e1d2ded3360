//! Numbers and names as a figure shows them.

/// A count in at most four characters and a unit: 532, 1.77K, 22.7M.
pub fn count_text(count: usize) -> String {
    let units = [(1e9, "B"), (1e6, "M"), (1e3, "K")];
    // What would round up to a thousand takes the next unit.
    let unit = units.iter().find(|(size, _)| count as f64 >= size * 0.9995);
    let Some((size, name)) = unit.filter(|_| count >= 1000) else { return count.to_string() };
    let value = count as f64 / size;
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{}{name}", without_zeros(&format!("{value:.decimals$}")))
}

/// A part of a whole in percent. Only the whole is 100 %, only nothing is 0 %.
pub fn percent_text(part: usize, whole: usize) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    match percent {
        _ if part == 0 => "0 %".into(),
        _ if part == whole => "100 %".into(),
        _ if percent > 99.9 => ">99.9 %".into(),
        _ if percent < 0.001 => "<0.001 %".into(),
        _ if percent < 0.1 => format!("{percent:.3} %"),
        _ if percent < 10.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// A learning-rate factor to three places.
pub(super) fn factor_text(factor: f64) -> String {
    if factor != 0.0 && factor.abs() < 0.001 {
        return format!("{factor:.1e}");
    }
    without_zeros(&format!("{factor:.3}")).to_owned()
}

/// One value, or the first and the last of several.
pub(super) fn range_text(low: String, high: String) -> String {
    if low == high { low } else { format!("{low}\u{2013}{high}") }
}

/// The name of a module, to be read: `cross_attention` is "cross attention".
pub(super) fn readable(name: &str) -> String {
    name.replace('_', " ")
}

/// Cuts a text into lines of at most so many characters, if possible after a mark between words; the last
/// line ends with an ellipsis if text is left.
pub(super) fn wrap(text: &str, characters: usize, lines: usize) -> Vec<String> {
    let mut left: Vec<char> = text.chars().collect();
    let mut wrapped: Vec<String> = Vec::new();
    while !left.is_empty() && wrapped.len() < lines {
        let fits = left.len() <= characters;
        let rest = left.split_off(if fits { left.len() } else { line_end(&left[..characters]) });
        let mut line: String = left.iter().collect();
        if !rest.is_empty() && wrapped.len() + 1 == lines {
            line = line.chars().take(characters - 1).chain(['\u{2026}']).collect();
        }
        wrapped.push(line.trim_end().to_owned());
        left = rest;
    }
    wrapped
}

/// After the last mark that ends a word, unless that leaves a short line.
fn line_end(characters: &[char]) -> usize {
    let mark = characters.iter().rposition(|character| " -+,/:|".contains(*character));
    mark.map(|mark| mark + 1).filter(|end| end * 3 > characters.len()).unwrap_or(characters.len())
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1K"),
            (1774, "1.77K"),
            (590_592, "591K"),
            (999_499, "999K"),
            (999_600, "1M"),
            (22_713_216, "22.7M"),
            (1_240_000_000, "1.24B"),
        ] {
            assert_eq!(count_text(count), text);
        }
    }

    #[test]
    fn a_share_never_looks_whole_or_empty_when_it_is_not() {
        for (part, whole, text) in [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (5, 5, "100 %"),
            (999_999, 1_000_000, ">99.9 %"),
            (1, 1_000_000, "<0.001 %"),
            (770, 22_713_986, "0.003 %"),
            (1, 200, "0.50 %"),
            (1, 3, "33.3 %"),
        ] {
            assert_eq!(percent_text(part, whole), text);
        }
    }

    #[test]
    fn factors_and_ranges() {
        assert_eq!(factor_text(1.0), "1");
        assert_eq!(factor_text(0.95_f64.powi(11)), "0.569");
        assert_eq!(factor_text(0.000_25), "2.5e-4");
        assert_eq!(range_text("1".into(), "1".into()), "1");
        assert_eq!(range_text("1".into(), "2".into()), "1\u{2013}2");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(wrap("last:2", 10, 2), ["last:2"]);
        assert_eq!(wrap("abcdefgh", 4, 2), ["abcd", "efgh"]);
        assert_eq!(wrap("abcdefghi", 4, 2), ["abcd", "efg\u{2026}"]);
        assert_eq!(wrap("äöüßäöü", 4, 1), ["äöü\u{2026}"]);
        assert!(wrap("", 4, 2).is_empty());
        assert_eq!(wrap("freeze-embeddings", 14, 2), ["freeze-", "embeddings"]);
        assert_eq!(wrap("what each one trains", 12, 2), ["what each", "one trains"]);
    }
}
