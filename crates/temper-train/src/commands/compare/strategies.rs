//! The list of strategies of `temper compare`.

use temper_freeze::{FreezeError, Strategy};

use crate::TrainError;

/// One of several strategies.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::commands) struct NamedStrategy {
    /// As the user wrote it; used in tables and in the names of folders.
    pub(in crate::commands) name: String,
    /// As a run records it: for a file its content, not its path.
    pub(in crate::commands) strategy: String,
    /// Its own learning rate.
    pub(in crate::commands) learning_rate: Option<f64>,
}

impl NamedStrategy {
    /// Reads a strategy as `--strategy` of `temper finetune` accepts it, with an optional learning rate after it:
    /// `head@1e-3`.
    ///
    /// # Errors
    /// [`FreezeError::Strategy`] and [`FreezeError::File`].
    pub(in crate::commands) fn read(given: &str) -> Result<Self, FreezeError> {
        let rated = given.rsplit_once('@').and_then(|(name, rate)| Some((name, rate_of(rate)?)));
        let (name, learning_rate) = rated.map_or((given, None), |(name, rate)| (name, Some(rate)));
        let strategy = Strategy::from_name_or_file(name)?.to_string();
        Ok(Self { name: given.into(), strategy, learning_rate })
    }
}

fn rate_of(given: &str) -> Option<f64> {
    given.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
}

/// Splits a list of strategies at commas. One that follows `pattern:` belongs to the pattern, unless
/// what comes after it is a strategy by itself.
///
/// # Errors
/// [`TrainError::Freeze`] for an unknown strategy, [`TrainError::Usage`] for one that is listed twice.
pub(in crate::commands) fn split_strategies(list: &str) -> Result<Vec<NamedStrategy>, TrainError> {
    let mut names: Vec<String> = Vec::new();
    for part in list.split(',') {
        match names.last_mut() {
            Some(last) if last.starts_with("pattern:") && NamedStrategy::read(part).is_err() => {
                *last += &format!(",{part}");
            }
            _ => names.push(part.into()),
        }
    }
    if let Some((_, twice)) = names.iter().enumerate().find(|(number, name)| names[..*number].contains(name))
    {
        return Err(TrainError::Usage(format!("--strategies names {twice} twice")));
    }
    Ok(names.iter().map(|name| NamedStrategy::read(name)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_patterns_stay() {
        let split = |list: &str| -> Vec<String> {
            split_strategies(list).unwrap().into_iter().map(|strategy| strategy.name).collect()
        };
        assert_eq!(split("all,last:2,head"), ["all", "last:2", "head"]);
        assert_eq!(
            split(r"head,pattern:layers\.[0-9]\..*,head\..*,all"),
            ["head", r"pattern:layers\.[0-9]\..*,head\..*", "all"]
        );
    }

    #[test]
    fn a_strategy_may_have_a_rate_of_its_own() {
        let named = split_strategies("head@1e-3,lora@0.0005,all").unwrap();
        let rates: Vec<_> = named.iter().map(|named| named.learning_rate).collect();
        assert_eq!(rates, [Some(1e-3), Some(5e-4), None]);
        assert_eq!((named[0].name.as_str(), named[0].strategy.as_str()), ("head@1e-3", "head"));
        assert!(split_strategies("head@fast").is_err() && split_strategies("head@-1").is_err());
    }

    #[test]
    fn what_is_no_strategy_or_comes_twice_is_refused() {
        for (list, word) in [("all,,head", "\"\""), ("all,everything", "everything"), ("", "\"\"")] {
            let error = split_strategies(list).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(split_strategies("all,head,all").unwrap_err().to_string().contains("all twice"));
    }
}
