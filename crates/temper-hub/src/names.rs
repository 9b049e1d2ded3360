//! Names that look like the one asked for.

/// At most this many suggestions: more is a list, not a hint.
const MOST: usize = 3;

/// The known names nearest to `asked`, best first, at most three; for "did you mean".
///
/// ```
/// let near = temper_hub::near_names("brt", ["bert", "bart", "gpt2"].into_iter());
/// assert_eq!(near, ["bart", "bert"]);
/// ```
pub fn near_names<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let asked = asked.to_lowercase();
    // A third of the letters may be wrong, and at least one: `brt` is near `bert`, `xyz` is not.
    let allowed = (asked.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = known
        .map(|name| (strsim::damerau_levenshtein(&asked, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, name)| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::near_names;

    const KNOWN: [&str; 5] = ["bert", "distilbert", "roberta", "gpt2", "gpt-neo"];

    #[test]
    fn nearest_first_and_case_does_not_count() {
        assert_eq!(near_names("BRET", KNOWN.into_iter()), ["bert"]);
        assert_eq!(near_names("distillbert", KNOWN.into_iter()), ["distilbert"]);
        assert_eq!(near_names("gptneo", KNOWN.into_iter()), ["gpt-neo"]);
    }

    #[test]
    fn nothing_is_suggested_for_a_stranger() {
        assert!(near_names("whisper", KNOWN.into_iter()).is_empty());
        assert!(near_names("", KNOWN.into_iter()).is_empty());
    }
}
