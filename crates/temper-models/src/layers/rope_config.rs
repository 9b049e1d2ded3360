//! Rotary positions as config.json describes them.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::Rotary;
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
    /// Only the whole head is rotated here.
    pub partial_rotary_factor: Option<f64>,
    /// As in [`RopeParameters`], before which it goes.
    pub original_max_position_embeddings: Option<f64>,
}

/// How the frequencies are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RopeParameters {
    /// `default`, `linear` or `llama3`; others are refused.
    pub rope_type: Option<String>,
    /// The old name of `rope_type`.
    #[serde(rename = "type")]
    pub old_type: Option<String>,
    /// The base of the frequencies.
    pub rope_theta: Option<f64>,
    /// How often longer the context is than it was in pretraining.
    pub factor: Option<f64>,
    /// `llama3`: frequencies with longer waves than the old context divided by this are divided.
    pub low_freq_factor: Option<f64>,
    /// `llama3`: frequencies with shorter waves than the old context divided by this stay.
    pub high_freq_factor: Option<f64>,
    /// `llama3`: the old context; `max_position_embeddings` when absent.
    pub original_max_position_embeddings: Option<f64>,
    /// Only the whole head is rotated here.
    pub partial_rotary_factor: Option<f64>,
}

impl RopeConfig {
    /// The rotation of heads of this width.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a kind that does not exist here, [`ModelError::Config`] for a number
    /// that is missing and for a head that has no halves.
    pub fn rotary(&self, head: usize, max_position_embeddings: usize) -> Result<Rotary, ModelError> {
        let parameters = self.parameters();
        let partial = parameters.partial_rotary_factor.or(self.partial_rotary_factor);
        if let Some(partial) = partial.filter(|&partial| partial != 1.0) {
            return unsupported("partial_rotary_factor", partial.to_string());
        }
        if head == 0 || !head.is_multiple_of(2) {
            let reason = format!("rotary positions need heads of even width, not {head}");
            return Err(ModelError::Config { reason });
        }
        let rotary = Rotary::new(head, parameters.rope_theta.or(self.rope_theta).unwrap_or(DEFAULT_THETA));
        match parameters.kind() {
            "default" => Ok(rotary),
            "linear" => {
                let factor = needed("factor", parameters.factor)?;
                Ok(rotary.rescaled(|frequency| frequency / factor))
            }
            "llama3" => {
                let context = self.original_max_position_embeddings;
                let context = context.or(parameters.original_max_position_embeddings);
                let context = context.unwrap_or(max_position_embeddings as f64);
                let scaling = Llama3::new(&parameters, context)?;
                Ok(rotary.rescaled(|frequency| scaling.rescale(frequency)))
            }
            other => unsupported("rope_type", other.to_owned()),
        }
    }

    /// What is in force; an empty object counts as absent.
    fn parameters(&self) -> RopeParameters {
        let old = self.rope_scaling.clone().filter(|scaling| *scaling != RopeParameters::default());
        old.or_else(|| self.rope_parameters.clone()).unwrap_or_default()
    }
}

impl RopeParameters {
    fn kind(&self) -> &str {
        self.rope_type.as_deref().or(self.old_type.as_deref()).unwrap_or("default")
    }
}

/// The scaling of Llama 3.1: long waves are stretched, short ones stay, those between are blended.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    context: f64,
}

impl Llama3 {
    fn new(parameters: &RopeParameters, context: f64) -> Result<Self, ModelError> {
        Ok(Self {
            factor: needed("factor", parameters.factor)?,
            low: needed("low_freq_factor", parameters.low_freq_factor)?,
            high: needed("high_freq_factor", parameters.high_freq_factor)?,
            context,
        })
    }

    fn rescale(&self, frequency: f64) -> f64 {
        let wave = TAU / frequency;
        if wave > self.context / self.low {
            return frequency / self.factor;
        }
        if wave < self.context / self.high {
            return frequency;
        }
        let kept = (self.context / wave - self.low) / (self.high - self.low);
        (1.0 - kept) * frequency / self.factor + kept * frequency
    }
}

fn needed(field: &str, value: Option<f64>) -> Result<f64, ModelError> {
    value.ok_or_else(|| ModelError::Config { reason: format!("the rope_type needs {field}") })
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

    #[test]
    fn other_kinds_are_refused_by_name() {
        for kind in ["dynamic", "yarn", "longrope", "proportional", "new"] {
            let message = refused(json!({"rope_scaling": {"type": kind, "factor": 2.0}}));
            assert!(message.contains(&format!("rope_type = {kind}")), "{message}");
        }
        assert!(refused(json!({"partial_rotary_factor": 0.5})).contains("partial_rotary_factor = 0.5"));
        assert!(refused(json!({"rope_parameters": {"rope_type": "linear"}})).contains("needs factor"));
    }
}
