use temper_freeze::Strategy;

use crate::TrainError;

/// Splits a list of strategies at commas. One that follows `pattern:` belongs to the pattern, unless
/// what comes after it is a strategy by itself.
///
/// # Errors
/// [`TrainError::Freeze`] for what is no strategy, [`TrainError::Usage`] for one that comes twice.
pub(super) fn split_strategies(list: &str) -> Result<Vec<String>, TrainError> {
    let mut strategies: Vec<String> = Vec::new();
    for part in list.split(',') {
        match strategies.last_mut() {
            Some(last) if last.starts_with("pattern:") && part.parse::<Strategy>().is_err() => {
                *last += &format!(",{part}");
            }
            _ => strategies.push(part.into()),
        }
    }
    for (number, strategy) in strategies.iter().enumerate() {
        strategy.parse::<Strategy>()?;
        if strategies[..number].contains(strategy) {
            return Err(TrainError::Usage(format!("--strategies names {strategy} twice")));
        }
    }
    Ok(strategies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_patterns_stay() {
        let split = |list: &str| split_strategies(list).unwrap();
        assert_eq!(split("all,last:2,head"), ["all", "last:2", "head"]);
        assert_eq!(
            split(r"head,pattern:layers\.[0-9]\..*,head\..*,all"),
            ["head", r"pattern:layers\.[0-9]\..*,head\..*", "all"]
        );
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
