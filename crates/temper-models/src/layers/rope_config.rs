//! Rotary positions as config.json describes them.

use serde::{Deserialize, Serialize};

use super::Rotary;
use super::rope_scaling::{Llama3, RopeParameters, Yarn, long_rope, needed};
use crate::ModelError;

/// transformers' base of the frequencies where config.json names none.
const DEFAULT_THETA: f64 = 10_000.0;

/// The part of config.json that describes rotary positions, in the spelling of transformers 5 and the one
/// before. To be flattened into a family's configuration.
///
/// Follows transformers 5.23, `modeling_rope_utils.py`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RopeConfig {
    /// The spelling since transformers 5.
    pub rope_parameters: Option<RopeParameters>,
    /// The spelling before; where it is there, it takes the whole place of `rope_parameters`.
    pub rope_scaling: Option<RopeParameters>,
    /// The base of the frequencies, where the others do not name it.
    pub rope_theta: Option<f64>,
    /// As in [`RopeParameters`], where that has none.
    pub partial_rotary_factor: Option<f64>,
    /// As in [`RopeParameters`], before which it goes.
    pub original_max_position_embeddings: Option<f64>,
}

impl RopeConfig {
    /// The rotation of whole heads of this width.
    ///
    /// # Errors
    /// As [`Self::partial_rotary`]; [`ModelError::Unsupported`] where only a part of a head turns.
    pub fn rotary(&self, head: usize, max_position_embeddings: usize) -> Result<Rotary, ModelError> {
        match self.partial_factor() {
            1.0 => self.partial_rotary(head, max_position_embeddings),
            partial => unsupported("partial_rotary_factor", partial.to_string()),
        }
    }

    /// The rotation of heads of this width, or of a part of them.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a kind that does not exist here, [`ModelError::Config`] for a number
    /// that is missing or wrong, and for a head that has no halves.
    pub fn partial_rotary(&self, head: usize, max_position_embeddings: usize) -> Result<Rotary, ModelError> {
        let parameters = self.parameters();
        let turning = (head as f64 * self.partial_factor()) as usize;
        if turning == 0 || turning > head || !turning.is_multiple_of(2) {
            let reason =
                format!("rotary positions need an even number of at most {head} numbers, not {turning}");
            return Err(ModelError::Config { reason });
        }
        let theta = parameters.rope_theta.or(self.rope_theta).unwrap_or(DEFAULT_THETA);
        let rotary = Rotary::partial(head, turning, theta);
        let given = self.original_max_position_embeddings.or(parameters.original_max_position_embeddings);
        let most = max_position_embeddings as f64;
        let context = given.unwrap_or(most);
        match parameters.kind() {
            "default" => Ok(rotary),
            "linear" => {
                let factor = needed("factor", parameters.factor)?;
                Ok(rotary.rescaled(|frequency| frequency / factor))
            }
            "llama3" => {
                let scaling = Llama3::new(&parameters, context)?;
                Ok(rotary.rescaled(|frequency| scaling.rescale(frequency)))
            }
            "yarn" => {
                let yarn = Yarn {
                    parameters: &parameters,
                    factor: needed("factor", parameters.factor)?,
                    context,
                    theta,
                    turning,
                };
                Ok(yarn.applied(rotary))
            }
            "longrope" => {
                let factor = parameters.factor.or(given.map(|context| most / context));
                long_rope(rotary, &parameters, needed("factor", factor)?, context)
            }
            other => unsupported("rope_type", other.to_owned()),
        }
    }

    /// The part of a head that turns.
    fn partial_factor(&self) -> f64 {
        self.parameters().partial_rotary_factor.or(self.partial_rotary_factor).unwrap_or(1.0)
    }

    /// What is in force; an empty object counts as absent.
    fn parameters(&self) -> RopeParameters {
        let old = self.rope_scaling.clone().filter(|scaling| *scaling != RopeParameters::default());
        old.or_else(|| self.rope_parameters.clone()).unwrap_or_default()
    }
}

fn unsupported(field: &'static str, value: String) -> Result<Rotary, ModelError> {
    Err(ModelError::Unsupported { field, value })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The frequencies of heads of eight numbers in a model of 40 positions.
    fn frequencies(config: Value) -> Vec<f32> {
        let config: RopeConfig = serde_json::from_value(config).expect("a configuration");
        config.rotary(8, 40).expect("a kind that exists").frequencies
    }

    fn refused(config: Value) -> String {
        let config: RopeConfig = serde_json::from_value(config).expect("a configuration");
        config.rotary(8, 40).expect_err("refused").to_string()
    }

    #[test]
    fn both_spellings_mean_the_same() {
        assert_eq!(frequencies(json!({})), [1.0, 0.1, 0.01, 0.001]);
        let halves = [0.5, 0.1 / 2.0 * 10_f32.sqrt(), 0.05, 0.005 * 10_f32.sqrt()];
        for config in [
            json!({"rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 100}}),
            json!({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 100.0}),
            json!({"rope_scaling": {"rope_type": "linear", "type": "yarn", "factor": 2.0, "rope_theta": 100.0}}),
            // The theta of what is replaced is lost; an empty replacement is none.
            json!({
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "rope_parameters": {"rope_type": "yarn", "rope_theta": 7.0},
                "rope_theta": 100.0,
            }),
            json!({
                "rope_scaling": {},
                "rope_parameters": {"rope_type": "linear", "factor": 2.0},
                "rope_theta": 100.0,
            }),
        ] {
            for (ours, expected) in frequencies(config.clone()).into_iter().zip(halves) {
                assert!((ours - expected).abs() < 1e-7, "{config}: {ours}, not {expected}");
            }
        }
    }

    #[test]
    fn the_old_context_of_llama3_may_stand_in_three_places() {
        let scaling = |context: Value| {
            let mut scaling = json!({
                "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "rope_theta": 100.0,
            });
            scaling["original_max_position_embeddings"] = context;
            scaling
        };
        let expected = frequencies(json!({"rope_parameters": scaling(json!(40))}));
        assert_eq!(expected[0], 1.0);
        assert!((expected[3] - 0.25 * 100_f32.powf(-0.75)).abs() < 1e-7);
        assert_eq!(frequencies(json!({"rope_parameters": scaling(Value::Null)})), expected);
        let outside = json!({"rope_scaling": scaling(json!(7)), "original_max_position_embeddings": 40});
        assert_eq!(frequencies(outside), expected);
    }

    fn rotary(head: usize, parameters: Value) -> Rotary {
        let config: RopeConfig =
            serde_json::from_value(json!({ "rope_parameters": parameters })).expect("a configuration");
        config.partial_rotary(head, 40).expect("a kind that exists")
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected.abs(), "{found}, not {expected}");
        }
    }

    /// Of transformers 5.23: `ROPE_INIT_FUNCTIONS["yarn"]` of a LlamaConfig with heads of eight numbers.
    #[test]
    fn yarn_is_that_of_transformers() {
        let yarn = |changes: &[(&str, Value)]| {
            let mut given = json!({
                "rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0, "original_max_position_embeddings": 40,
            });
            for (field, value) in changes {
                given[field] = value.clone();
            }
            rotary(8, given)
        };
        let usual = [1.0, 0.197_642_36, 0.025, 0.007_905_695];
        for (changes, scale) in [
            (vec![], 1.138_629_4),
            (vec![("mscale", json!(1.0)), ("mscale_all_dim", json!(0.5))], 1.064_821_6),
            (vec![("attention_factor", json!(1.25)), ("beta_fast", json!(3))], 1.25),
        ] {
            let found = yarn(&changes);
            assert_close(&found.frequencies, &usual);
            assert_close(&[found.scale], &[scale]);
        }
        let exact = yarn(&[
            ("rope_theta", json!(10000.0)),
            ("beta_fast", json!(4)),
            ("beta_slow", json!(0.5)),
            ("truncate", json!(false)),
        ]);
        assert_close(&exact.frequencies, &[1.0, 0.033_712_596, 0.0025, 0.00025]);
    }

    /// Of transformers 5.23: `ROPE_INIT_FUNCTIONS["longrope"]`, without and with a length beyond the old context.
    #[test]
    fn longrope_is_that_of_transformers() {
        let parameters = json!({
            "rope_type": "longrope", "rope_theta": 100.0, "original_max_position_embeddings": 10,
            "short_factor": [1.0, 1.5, 2.0], "long_factor": [2.0, 3.0, 5.0], "partial_rotary_factor": 0.75,
        });
        let found = rotary(8, parameters.clone());
        assert_eq!(found.head, 8);
        assert_close(&found.frequencies, &[1.0, 0.143_628_97, 0.023_207_942]);
        assert_close(&[found.scale], &[1.265_725_1]);
        let long = found.long.expect("sequences beyond the context differ");
        assert_eq!(long.context, 10);
        assert_close(&long.frequencies, &[0.5, 0.071_814_485, 0.009_283_177]);
        let mut wrong = parameters;
        wrong["long_factor"] = json!([2.0]);
        let config: RopeConfig = serde_json::from_value(json!({ "rope_parameters": wrong })).unwrap();
        let message = config.partial_rotary(8, 40).expect_err("too few factors").to_string();
        assert!(message.contains("long_factor has 1 numbers; 3 pairs turn"), "{message}");
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        for kind in ["dynamic", "proportional", "new"] {
            let message = refused(json!({"rope_scaling": {"type": kind, "factor": 2.0}}));
            assert!(message.contains(&format!("rope_type = {kind}")), "{message}");
        }
        assert!(refused(json!({"partial_rotary_factor": 0.5})).contains("partial_rotary_factor = 0.5"));
        assert!(refused(json!({"rope_parameters": {"rope_type": "linear"}})).contains("needs factor"));
    }
}
