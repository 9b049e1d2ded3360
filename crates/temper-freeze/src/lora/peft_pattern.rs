//! Patterns of PEFT's configuration: regular expressions of Python's `re` over names of modules.

use fancy_regex::Regex;

/// A pattern that means here what it means in Python.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    given: String,
    regex: Regex,
}

impl Pattern {
    /// A key of `rank_pattern` and `alpha_pattern`: the end of a name, from a dot on. Follows PEFT,
    /// `get_pattern_key`.
    pub(super) fn end(given: &str) -> Result<Self, String> {
        Self::new(given, &format!(r"(.*\.)?({given})$"), false)
    }

    /// A whole name: `re.fullmatch`.
    pub(super) fn whole(given: &str) -> Result<Self, String> {
        Self::new(given, &format!("(?:{given})$"), true)
    }

    /// A module and what is in it. Follows PEFT, `check_target_module_exists`.
    pub(super) fn within(given: &str) -> Result<Self, String> {
        Self::new(given, &format!(r"(^|.*\.){given}($|\..*)"), false)
    }

    /// A list of layers before a layer's number; the number is its group `idx`.
    pub(super) fn layers(given: &str) -> Result<Self, String> {
        Self::new(given, &format!(r"(?:^|.*?\.){given}\.(?P<idx>\d+)\."), false)
    }

    /// `flags`: whether Python takes flags at the pattern's beginning.
    fn new(given: &str, whole: &str, flags: bool) -> Result<Self, String> {
        let refuse =
            |reason: String| format!("{given:?} is no regular expression that is read alike: {reason}");
        unlike_python(given, flags).map_or(Ok(()), |reason| Err(refuse(reason)))?;
        let regex = Regex::new(&format!("^(?:{whole})")).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { given: given.into(), regex })
    }

    pub(super) fn matches(&self, name: &str) -> Result<bool, String> {
        self.regex.is_match(name).map_err(|error| self.failed(name, &error))
    }

    /// The layer's number in a name, of a pattern of [`Self::layers`].
    pub(super) fn layer(&self, name: &str) -> Result<Option<u64>, String> {
        let found = self.regex.captures(name).map_err(|error| self.failed(name, &error))?;
        Ok(found.and_then(|found| found.name("idx")?.as_str().parse().ok()))
    }

    fn failed(&self, name: &str, error: &fancy_regex::Error) -> String {
        format!("{:?} cannot be tried on {name}: {error}", self.given)
    }
}

/// What a pattern has that Python refuses or reads in another way.
fn unlike_python(pattern: &str, flags: bool) -> Option<String> {
    /// Letters that may follow a backslash in Python.
    const ESCAPES: &str = "AbBdDsSwWZafnrtvxuU";
    /// What may follow `(?`.
    const GROUPS: [&str; 9] = [":", "=", "!", "<=", "<!", "P<", "P=", ">", "("];
    let mut is_class = false;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let next = after.chars().next();
        let is_operator = ["&&", "--", "~~"].iter().any(|operator| rest.starts_with(operator));
        match first {
            '\\' => {
                let letter = next?;
                if letter.is_ascii_alphabetic() && !ESCAPES.contains(letter) {
                    return Some(format!("\\{letter} is unknown to Python"));
                }
                rest = &after[letter.len_utf8()..];
                continue;
            }
            '[' if is_class => return Some("a [ within [] means something else here; write \\[".into()),
            _ if is_class && is_operator => {
                return Some(format!("{first}{first} within [] means something else here"));
            }
            '[' => {
                is_class = true;
                // A ] that comes first is itself one of the class.
                let body = after.strip_prefix('^').unwrap_or(after);
                rest = body.strip_prefix(']').unwrap_or(body);
                continue;
            }
            ']' => is_class = false,
            '(' if !is_class && next == Some('?') => {
                let kind = &after[1..];
                let is_first = rest.len() == pattern.len();
                if !GROUPS.iter().any(|group| kind.starts_with(group)) && !is_flags(kind, flags && is_first) {
                    let shown: String = rest.chars().take(4).collect();
                    return Some(format!("{shown} is not read by Python here"));
                }
            }
            _ => {}
        }
        rest = after;
    }
    None
}

/// `i)` and the like, which hold for all of the pattern, or `i:`, which hold for a group.
fn is_flags(kind: &str, whole: bool) -> bool {
    let letters = kind.trim_start_matches(['i', 'm', 's', 'x']);
    letters.len() < kind.len() && (letters.starts_with(':') || (whole && letters.starts_with(')')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_begins_at_a_dot() {
        for (given, name, expected) in [
            ("q_proj", "model.layers.0.self_attn.q_proj", true),
            ("q_proj", "q_proj", true),
            ("proj", "model.q_proj", false),
            (r"layers\.1\..*proj", "model.layers.1.self_attn.q_proj", true),
            (r"layers\.1\..*proj", "model.layers.11.self_attn.q_proj", false),
            ("^model.layers.0.q", "model.layers.0.q", true),
            ("^layers.0.q", "model.layers.0.q", false),
            (r"bert(?!.*layer\.1).*value", "bert.encoder.layer.0.attention.self.value", true),
            (r"bert(?!.*layer\.1).*value", "bert.encoder.layer.1.attention.self.value", false),
            (r".*(?<!\.0\.attn)\.value", "layers.0.attn.value", false),
            (r".*(?<!\.0\.attn)\.value", "layers.1.attn.value", true),
            (r"(a|b)\.\2", "x.a.a", true),
            (r"(a|b)\.\2", "x.a.b", false),
            ("q|v", "layers.0.v", true),
        ] {
            assert_eq!(Pattern::end(given).unwrap().matches(name), Ok(expected), "{given} {name}");
        }
        assert!(!Pattern::whole("q|layers.0.v").unwrap().matches("layers.0.q").unwrap());
        assert!(Pattern::whole("(?i)LAYERS.*").unwrap().matches("layers.0.q").unwrap());
        let layers = Pattern::layers("layers").unwrap();
        assert_eq!(layers.layer("model.layers.3.experts.7.q"), Ok(Some(3)));
        assert_eq!(layers.layer("model.h.3.q"), Ok(None));
    }

    #[test]
    fn what_python_refuses_or_reads_otherwise_is_refused() {
        for given in [
            "(",
            "[a",
            "*",
            r"\p{L}",
            "[a[b]",
            "[a&&b]",
            "(?i)q",
            "x(?i)q",
            "(?<name>q)",
            "(?U:q)",
            r"\hq",
            r"(?<=a*)b",
            "a{2,1}",
            r"\",
        ] {
            let error = Pattern::end(given).expect_err(given);
            assert!(error.contains(&format!("{given:?}")), "{error}");
        }
        assert!(Pattern::whole("x(?i)q").is_err());
        for given in ["[]a]", "[^]a]", r"[\[]", "(?P<n>a)(?P=n)", "(?i:q)", "[a-z_]+", "a{1,2}"] {
            assert!(Pattern::end(given).is_ok(), "{given}");
        }
    }

    #[test]
    fn a_pattern_that_does_not_end_is_given_up() {
        let error = Pattern::end(r"(?:(?=a)a|b|a)*c").unwrap().matches(&"a".repeat(300));
        assert!(error != Ok(true), "{error:?}");
    }
}
