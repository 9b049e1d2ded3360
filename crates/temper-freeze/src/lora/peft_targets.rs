//! Which modules an adapter's configuration names; follows PEFT, `check_target_module_exists`.

use std::collections::BTreeMap;

use super::modules::Module;
use super::peft_pattern::Pattern;
use super::targets::ends_with_name;

/// Names of modules, as PEFT has them in `target_modules` and `exclude_modules`.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// One text: it matches a whole name.
    Pattern(Pattern),
    /// A list: ends of names, from a dot on.
    List(Vec<String>),
}

impl Names {
    fn contain(&self, module: &str) -> Result<bool, String> {
        match self {
            Self::Pattern(pattern) => pattern.matches(module),
            Self::List(names) => Ok(names.iter().any(|name| ends_with_name(module, name))),
        }
    }
}

/// Which modules get an adapter.
#[derive(Clone, Debug)]
pub(super) enum Targets {
    /// Every linear map but the one that gives logits.
    AllLinear,
    Names(Names),
}

/// What decides whether a module has an adapter.
#[derive(Clone, Debug, Default)]
pub(super) struct PeftTargets {
    /// `target_modules`; PEFT looks into a table of its own where there are none.
    pub(super) targets: Option<Targets>,
    /// `exclude_modules`
    pub(super) exclude: Option<Names>,
    /// `modules_to_save`: no adapter is on a module that is stored whole.
    pub(super) whole: Vec<Pattern>,
    /// `layers_to_transform`; empty for all.
    pub(super) layers: Vec<u64>,
    /// `layers_pattern`; empty for any.
    pub(super) layer_lists: Vec<Pattern>,
}

impl PeftTargets {
    /// The modules of a model that should have an adapter; `None` where the configuration does not say.
    pub(super) fn of<'a>(
        &self,
        modules: &'a BTreeMap<String, Module>,
    ) -> Result<Option<Vec<&'a str>>, String> {
        let Some(targets) = &self.targets else { return Ok(None) };
        let mut found = Vec::new();
        for (name, module) in modules {
            if !self.excludes(name)? && self.names(targets, name, module)? {
                found.push(name.as_str());
            }
        }
        Ok(Some(found))
    }

    fn excludes(&self, name: &str) -> Result<bool, String> {
        if self.exclude.as_ref().map_or(Ok(false), |names| names.contain(name))? {
            return Ok(true);
        }
        any(&self.whole, |pattern| pattern.matches(name))
    }

    fn names(&self, targets: &Targets, name: &str, module: &Module) -> Result<bool, String> {
        match targets {
            Targets::AllLinear => Ok(!module.is_output()),
            Targets::Names(names @ Names::Pattern(_)) => names.contain(name),
            Targets::Names(Names::List(names)) if names.iter().any(|whole| whole == name) => Ok(true),
            Targets::Names(names) => Ok(names.contain(name)? && self.is_in_layers(name)?),
        }
    }

    fn is_in_layers(&self, name: &str) -> Result<bool, String> {
        if self.layers.is_empty() {
            return Ok(true);
        }
        if self.layer_lists.is_empty() {
            return Ok(first_layer(name).is_some_and(|layer| self.layers.contains(&layer)));
        }
        for pattern in &self.layer_lists {
            if let Some(layer) = pattern.layer(name)? {
                return Ok(self.layers.contains(&layer));
            }
        }
        Ok(false)
    }
}

fn any(patterns: &[Pattern], test: impl Fn(&Pattern) -> Result<bool, String>) -> Result<bool, String> {
    for pattern in patterns {
        if test(pattern)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first part of a name that is a number, after two other parts and before another: PEFT's
/// `.*?\.[^.]*\.(?P<idx>\d+)\.`.
fn first_layer(name: &str) -> Option<u64> {
    let parts: Vec<&str> = name.split('.').collect();
    let inner = parts.get(2..parts.len().saturating_sub(1))?;
    inner.iter().find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = [
        "bert.encoder.layer.0.attention.self.query",
        "bert.encoder.layer.1.attention.self.query",
        "bert.encoder.layer.1.output.dense",
        "classifier",
        "classifier.dense",
    ];

    fn found(rule: &PeftTargets) -> Vec<&'static str> {
        let module = |name: &str| Module {
            paths: vec![if name == "classifier" { "head.output".into() } else { name.into() }],
            ranges: Vec::new(),
            sizes: [1, 1],
            is_conv1d: false,
        };
        let modules: BTreeMap<String, Module> =
            NAMES.iter().map(|&name| (name.to_owned(), module(name))).collect();
        let found: Vec<String> = rule.of(&modules).unwrap().unwrap().into_iter().map(str::to_owned).collect();
        NAMES.into_iter().filter(|name| found.iter().any(|found| found == name)).collect()
    }

    fn list(names: &[&str]) -> Names {
        Names::List(names.iter().map(|&name| name.to_owned()).collect())
    }

    fn targets(names: Names) -> PeftTargets {
        PeftTargets { targets: Some(Targets::Names(names)), ..PeftTargets::default() }
    }

    #[test]
    fn lists_are_ends_of_names_and_a_text_is_a_pattern() {
        assert_eq!(found(&targets(list(&["query"]))), NAMES[..2]);
        assert_eq!(found(&targets(list(&["dense"]))), [NAMES[2], NAMES[4]]);
        assert_eq!(found(&targets(list(&["ense"]))), [""; 0]);
        let pattern = |given: &str| targets(Names::Pattern(Pattern::whole(given).unwrap()));
        assert_eq!(found(&pattern("query")), [""; 0]);
        assert_eq!(found(&pattern(r".*\.(?!0)\d+\..*")), NAMES[1..3]);
        let all = PeftTargets { targets: Some(Targets::AllLinear), ..PeftTargets::default() };
        assert_eq!(found(&all), [NAMES[0], NAMES[1], NAMES[2], NAMES[4]]);
    }

    #[test]
    fn what_is_excluded_or_stored_whole_has_no_adapter() {
        let rule = PeftTargets { exclude: Some(list(&["output.dense"])), ..targets(list(&["dense"])) };
        assert_eq!(found(&rule), [NAMES[4]]);
        let whole = vec![Pattern::within("classifier").unwrap()];
        let rule = PeftTargets { whole, ..targets(list(&["dense"])) };
        assert_eq!(found(&rule), [NAMES[2]]);
        let exclude = Some(Names::Pattern(Pattern::whole(r".*layer\.0.*").unwrap()));
        assert_eq!(found(&PeftTargets { exclude, ..targets(list(&["query"])) }), [NAMES[1]]);
    }

    #[test]
    fn layers_are_the_first_number_of_a_name() {
        let rule = PeftTargets { layers: vec![1], ..targets(list(&["query"])) };
        assert_eq!(found(&rule), [NAMES[1]]);
        let rule = |pattern: &str| PeftTargets {
            layers: vec![1],
            layer_lists: vec![Pattern::layers(pattern).unwrap()],
            ..targets(list(&["query"]))
        };
        assert_eq!(found(&rule("layer")), [NAMES[1]]);
        assert_eq!(found(&rule("h")), [""; 0]);
        // A whole name is taken whatever its layer.
        let rule = PeftTargets { layers: vec![1], ..targets(list(&[NAMES[0]])) };
        assert_eq!(found(&rule), [NAMES[0]]);
        assert_eq!(first_layer("model.layers.1.experts.0.up"), Some(1));
        assert_eq!(first_layer("h.0.attn"), None);
    }
}
