//! Patterns of PEFT's configuration: regular expressions of Python's `re` over names of modules.

use fancy_regex::Regex;

/// Letters that may follow a backslash in Python.
const ESCAPES: &str = "AbBdDsSwWZafnrtvxuU";
/// What may follow `(?` in Python.
const GROUPS: [&str; 9] = [":", "=", "!", "<=", "<!", "P<", "P=", ">", "("];

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
        let refuse = |reason: String| {
            format!("{given:?} is not a regular expression that Python and Temper read alike: {reason}")
        };
        unlike_python(given, flags).map_or(Ok(()), |reason| Err(refuse(reason)))?;
        let compiled = |pattern: &str| Regex::new(pattern).map_err(|error| refuse(error.to_string()));
        // By itself, too: parentheses that the ones around it would complete are a mistake.
        compiled(given)?;
        let regex = compiled(&format!("^(?:{whole})"))?;
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
    let (mut rest, mut is_class, mut repeats) = (pattern, false, false);
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let mut length = first.len_utf8();
        if first == '\\' {
            let letter = after.chars().next()?;
            if let Some(reason) = unknown_escape(letter, is_class) {
                return Some(reason);
            }
            length += letter.len_utf8();
            repeats = !"AbBZ".contains(letter);
        } else if is_class {
            if first == '[' || ["&&", "--", "~~"].iter().any(|operator| rest.starts_with(operator)) {
                return Some(format!("{first} within [] means something else here; write \\{first}"));
            }
            is_class = first != ']';
        } else if let Some(quantifier) = quantifier(rest) {
            if !repeats || quantifier.is_empty() {
                return Some(format!("{first} has nothing to repeat, or too much"));
            }
            length = quantifier.len();
            repeats = false;
        } else if first == '[' {
            // A ] that comes first is itself one of the class.
            let body = after.strip_prefix('^').unwrap_or(after);
            length = rest.len() - body.strip_prefix(']').unwrap_or(body).len();
            (is_class, repeats) = (true, true);
        } else {
            if first == '('
                && let Some(kind) = after.strip_prefix('?')
            {
                let Some(opening) = opening(kind, flags && rest.len() == pattern.len()) else {
                    let shown: String = rest.chars().take(4).collect();
                    return Some(format!("{shown} is not read by Python here"));
                };
                length += 1 + opening;
            }
            repeats = !"(|^$".contains(first);
        }
        rest = &rest[length..];
    }
    None
}

/// Why a letter after a backslash is not taken.
fn unknown_escape(letter: char, is_class: bool) -> Option<String> {
    if letter.is_ascii_digit() && !is_class {
        // PEFT puts groups of its own around a pattern, which shifts the numbers.
        return Some(format!("\\{letter} counts groups that the pattern does not have; name the group"));
    }
    (letter.is_ascii_alphabetic() && !ESCAPES.contains(letter))
        .then(|| format!("\\{letter} is unknown to Python"))
}

/// The quantifier that a pattern begins with, with its `?` or `+`; empty where it has more at least than at most.
fn quantifier(pattern: &str) -> Option<&str> {
    let length = match pattern.chars().next()? {
        '*' | '+' | '?' => 1,
        '{' => {
            let end = pattern.find('}')?;
            let (least, most) = pattern[1..end].split_once(',').unwrap_or((&pattern[1..end], ""));
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            // Anything else in braces is read as it is.
            if pattern[1..end].is_empty() || !is_number(least) || !is_number(most) {
                return None;
            }
            if let (Ok(least), Ok(most)) = (least.parse::<u64>(), most.parse::<u64>())
                && least > most
            {
                return Some("");
            }
            end + 1
        }
        _ => return None,
    };
    let mode = pattern[length..].starts_with(['?', '+']);
    Some(&pattern[..length + usize::from(mode)])
}

/// Bytes after `(?` that open a group, or set flags for a group or, with `whole`, for all of the pattern.
fn opening(kind: &str, whole: bool) -> Option<usize> {
    let flags = kind.len() - kind.trim_start_matches(['i', 'm', 's', 'x']).len();
    match GROUPS.iter().find(|group| kind.starts_with(**group)) {
        Some(&"P<") => Some(kind.find('>')? + 1),
        Some(group) => Some(group.len()),
        None if flags == 0 => None,
        None => {
            (kind[flags..].starts_with(':') || (whole && kind[flags..].starts_with(')'))).then_some(flags + 1)
        }
    }
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
            (r"(?P<n>a|b)\.(?P=n)", "x.a.a", true),
            (r"(?P<n>a|b)\.(?P=n)", "x.a.b", false),
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
            r"(a)\1",
            "{2}",
            "a**",
            ")|(",
            r"\b+",
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
