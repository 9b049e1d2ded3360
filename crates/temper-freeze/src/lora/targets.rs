//! Which linear maps get an adapter.

use std::collections::BTreeSet;

use regex::Regex;

use crate::FreezeError;
use crate::path_regex::anchored;

/// PEFT's word for every linear map but the head's.
pub(super) const ALL_LINEAR: &str = "all-linear";

/// One target, as given and as understood.
struct Target {
    given: String,
    rule: Rule,
    met: bool,
}

enum Rule {
    All,
    /// The end of a path, from a dot on.
    Name,
    /// A whole path.
    Pattern(Regex),
}

/// The targets of some settings, and which of them have met a map.
pub(super) struct Targets {
    targets: Vec<Target>,
    /// Names of maps without their layer, for messages.
    seen: BTreeSet<String>,
}

impl Targets {
    pub(super) fn new(given: &[String]) -> Result<Self, FreezeError> {
        let targets = given.iter().map(|given| {
            let given = given.trim();
            Ok(Target { given: given.into(), rule: Rule::of(given)?, met: false })
        });
        let targets = targets.collect::<Result<Vec<_>, FreezeError>>()?;
        if targets.is_empty() {
            return Err(FreezeError::NoTargets);
        }
        Ok(Self { targets, seen: BTreeSet::new() })
    }

    /// Whether the map at this path gets an adapter.
    pub(super) fn pick(&mut self, path: &str) -> bool {
        self.seen.insert(without_layer(path));
        let mut picked = false;
        for target in &mut self.targets {
            if target.picks(path) {
                target.met = true;
                picked = true;
            }
        }
        picked
    }

    /// Refuses a target that met no map.
    pub(super) fn check(self) -> Result<(), FreezeError> {
        match self.targets.into_iter().find(|target| !target.met) {
            None => Ok(()),
            Some(target) => Err(FreezeError::Target {
                target: target.given,
                known: self.seen.into_iter().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

impl Rule {
    fn of(given: &str) -> Result<Self, FreezeError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        if given == ALL_LINEAR {
            return Ok(Self::All);
        }
        if !given.is_empty() && given.bytes().all(is_name) {
            return Ok(Self::Name);
        }
        anchored(given)
            .map(Self::Pattern)
            .map_err(|error| FreezeError::TargetPattern { target: given.into(), reason: error.to_string() })
    }
}

impl Target {
    fn picks(&self, path: &str) -> bool {
        match &self.rule {
            Rule::All => true,
            Rule::Name => ends_with_name(path, &self.given),
            Rule::Pattern(pattern) => pattern.is_match(path),
        }
    }
}

/// True where a path is this name or ends with it after a dot: PEFT's rule.
pub(super) fn ends_with_name(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// `attention.query` for `decoder.layers.3.attention.query`.
fn without_layer(path: &str) -> String {
    match path.split_once("layers.").and_then(|(_, rest)| rest.split_once('.')) {
        Some((_, name)) => name.into(),
        None => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 5] = [
        "layers.0.attention.query",
        "layers.1.attention.query",
        "layers.10.attention.query",
        "layers.1.cross_attention.output",
        "pooler",
    ];

    fn picked(given: &[&str]) -> Result<Vec<&'static str>, FreezeError> {
        let given: Vec<String> = given.iter().map(|&given| given.into()).collect();
        let mut targets = Targets::new(&given)?;
        let picked = PATHS.into_iter().filter(|path| targets.pick(path)).collect();
        targets.check().map(|()| picked)
    }

    #[test]
    fn names_are_ends_of_paths_and_patterns_whole_paths() {
        assert_eq!(picked(&["query"]).unwrap(), PATHS[..3]);
        assert_eq!(picked(&["layers\\.1\\.attention\\.query"]).unwrap(), [PATHS[1]]);
        assert_eq!(picked(&["1.attention.query"]).unwrap(), [PATHS[1]]);
        assert_eq!(picked(&["all-linear"]).unwrap(), PATHS);
        assert_eq!(picked(&["pooler", "layers\\.[01]\\..*"]).unwrap().len(), 4);
    }

    #[test]
    fn a_target_that_meets_nothing_is_refused_with_the_choices() {
        // `attention.output` is not the end of `cross_attention.output` after a dot.
        let error = picked(&["query", "attention.output"]).unwrap_err().to_string();
        for word in ["\"attention.output\"", "attention.query", "cross_attention.output", "pooler"] {
            assert!(error.contains(word), "{word} is not in {error}");
        }
        assert!(matches!(picked(&[]), Err(FreezeError::NoTargets)));
        assert!(matches!(picked(&["("]), Err(FreezeError::TargetPattern { .. })));
    }
}
