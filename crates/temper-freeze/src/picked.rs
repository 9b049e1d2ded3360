//! Which parameters a strategy picks.

use temper_models::{ParameterTable, is_adapter};

use crate::levels::{Stacks, is_bias, is_embedding, is_head, is_norm};
use crate::path_regex::unanchored;
use crate::{FreezeError, Strategy};

/// Refuses a strategy that this model cannot have.
pub(crate) fn check(strategy: &Strategy, table: &ParameterTable, stacks: Stacks) -> Result<(), FreezeError> {
    let available = stacks.layers();
    let too_many = || FreezeError::TooManyLayers { strategy: strategy.to_string(), available };
    match strategy {
        Strategy::Lora if !table.parameters.iter().any(|parameter| is_adapter(&parameter.path)) => {
            Err(FreezeError::NoAdapters)
        }
        Strategy::LastLayers(asked) if *asked > available => Err(too_many()),
        Strategy::Layers(range) if *range.end() >= available => Err(too_many()),
        Strategy::Patterns(patterns) => check_matches(
            table,
            patterns
                .iter()
                .map(|pattern| (unanchored(pattern.as_str()), |path: &str| pattern.is_match(path))),
        ),
        Strategy::Groups(groups) => {
            let groups = groups.groups().iter();
            check_matches(
                table,
                groups.map(|group| (group.pattern.as_str(), |path: &str| group.is_match(path))),
            )
        }
        _ => Ok(()),
    }
}

/// Refuses a pattern that matches nothing: most likely a slip of the pen.
fn check_matches<'a, F: Fn(&str) -> bool>(
    table: &ParameterTable,
    mut patterns: impl Iterator<Item = (&'a str, F)>,
) -> Result<(), FreezeError> {
    let is_unmatched = |is_match: &F| !table.parameters.iter().any(|parameter| is_match(&parameter.path));
    match patterns.find(|(_, is_match)| is_unmatched(is_match)) {
        None => Ok(()),
        Some((pattern, _)) => Err(FreezeError::NoMatch {
            pattern: pattern.into(),
            example: table.parameters.last().map_or(String::new(), |last| last.path.clone()),
        }),
    }
}

/// The step from which on a parameter trains; of a gradual strategy, the number of its group.
pub(crate) fn begins(strategy: &Strategy, path: &str, stacks: Stacks) -> Option<usize> {
    match strategy {
        Strategy::Gradual(_) if is_head(path) => Some(0),
        Strategy::Gradual(_) => Some(stacks.top() - stacks.floor(path)),
        Strategy::Groups(groups) => groups.group_of(path).map(|group| group.from_step),
        _ => trains(strategy, path, stacks).then_some(0),
    }
}

fn trains(strategy: &Strategy, path: &str, stacks: Stacks) -> bool {
    let in_layer = |picked: &dyn Fn(usize) -> bool| !is_embedding(path) && picked(stacks.level(path));
    match strategy {
        Strategy::All | Strategy::Gradual(_) | Strategy::Groups(_) => true,
        Strategy::Head => is_head(path),
        Strategy::LastLayers(count) => in_layer(&|level| level + count >= stacks.layers()),
        Strategy::Layers(range) => is_head(path) || in_layer(&|level| range.contains(&level)),
        Strategy::Embeddings => is_head(path) || is_embedding(path),
        Strategy::FreezeEmbeddings => !is_embedding(path),
        Strategy::NormsAndHead => is_head(path) || is_norm(path),
        Strategy::BiasesAndHead => is_head(path) || is_bias(path),
        Strategy::Lora => is_head(path) || is_adapter(path),
        Strategy::Patterns(patterns) => patterns.iter().any(|pattern| pattern.is_match(path)),
    }
}
