//! Under which names a family's config.json keeps its rates of dropout, and a configuration with others.

use serde_json::json;

use crate::{ModelConfig, ModelError};

/// The keys of config.json with a family's rates of dropout, as transformers 5.23 names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropoutKeys {
    /// Dropout of hidden states: after the embeddings, and on what each part of a layer adds.
    pub hidden: &'static [&'static str],
    /// Dropout of attention weights.
    pub attention: &'static [&'static str],
}

impl ModelConfig {
    /// The same with other rates of dropout; `None` leaves one as it is. A rate that a head has of its own
    /// (`classifier_dropout`) stays.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a rate that the family does not have; [`ModelError::Config`] for a number that is no
    /// rate.
    pub fn with_dropout(self, hidden: Option<f64>, attention: Option<f64>) -> Result<Self, ModelError> {
        let keys = self.dropout_keys();
        let mut raw = self.raw().clone();
        for (setting, rate, own, others) in [
            ("dropout", hidden, keys.hidden, ("attention_dropout", keys.attention)),
            ("attention_dropout", attention, keys.attention, ("dropout", keys.hidden)),
        ] {
            let Some(rate) = rate else { continue };
            if own.is_empty() {
                let reason = without(self.model_type(), setting, others);
                return Err(ModelError::Setting { setting, value: rate.to_string(), reason });
            }
            raw.extend(own.iter().map(|&key| (key.to_owned(), json!(rate))));
        }
        crate::registry::parse(raw)
    }
}

fn without(family: &str, setting: &str, (other, keys): (&str, &[&str])) -> String {
    let has = match keys {
        [] => "it has none".to_owned(),
        keys => format!("{other} sets what it has ({})", keys.join(", ")),
    };
    format!("a model of the family {family} has no rate of its own for {setting}; {has}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::families;

    fn config(model_type: &str) -> ModelConfig {
        crate::registry::smallest_config(model_type).expect("a family that is registered")
    }

    #[test]
    fn each_family_has_its_rates_under_its_own_names() {
        for family in families() {
            let config = config(family.model_type);
            let keys = config.dropout_keys();
            assert!(!keys.hidden.is_empty() || !keys.attention.is_empty(), "{}", family.model_type);
            let hidden = (!keys.hidden.is_empty()).then_some(0.25);
            let attention = (!keys.attention.is_empty()).then_some(0.375);
            let changed = config.clone().with_dropout(hidden, attention).unwrap();
            for (keys, rate) in [(keys.hidden, 0.25), (keys.attention, 0.375)] {
                for &key in keys {
                    assert_eq!(changed.raw()[key], json!(rate), "{}", family.model_type);
                }
            }
            assert_eq!(config.clone().with_dropout(None, None).unwrap(), config);
            // A key that the family does not read would be passed over: as a text, it must be refused.
            for &key in keys.hidden.iter().chain(keys.attention) {
                let mut raw = config.raw().clone();
                raw.insert(key.into(), Value::from("none"));
                assert!(crate::registry::parse(raw).is_err(), "{} does not read {key}", family.model_type);
            }
        }
    }

    #[test]
    fn a_rate_that_is_not_there_is_refused_with_the_one_that_is() {
        let error = config("t5").with_dropout(None, Some(0.1)).unwrap_err().to_string();
        assert!(error.contains("attention_dropout") && error.contains("dropout_rate"), "{error}");
        let error = config("llama").with_dropout(Some(0.1), None).unwrap_err().to_string();
        assert!(error.contains("llama") && error.contains("attention_dropout"), "{error}");
        let error = config("bert").with_dropout(Some(1.0), None).unwrap_err().to_string();
        assert!(error.contains("hidden_dropout_prob"), "{error}");
    }
}
