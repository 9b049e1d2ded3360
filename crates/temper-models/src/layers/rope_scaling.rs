//! How the frequencies of rotary positions are changed for longer contexts.
//!
//! Follows transformers 5.23, `modeling_rope_utils.py`.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{LongFrequencies, Rotary};
use crate::ModelError;

/// How the frequencies are made, as config.json says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RopeParameters {
    /// `default`, `linear`, `llama3`, `yarn` or `longrope`; others are refused.
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
    /// `llama3`, `yarn`, `longrope`: the old context; `max_position_embeddings` when absent.
    pub original_max_position_embeddings: Option<f64>,
    /// The part of a head that turns; all of it when absent.
    pub partial_rotary_factor: Option<f64>,
    /// `yarn`, `longrope`: multiplies sines and cosines; computed from `factor` when absent.
    pub attention_factor: Option<f64>,
    /// `yarn`: frequencies with more turns within the old context stay.
    pub beta_fast: Option<f64>,
    /// `yarn`: frequencies with fewer turns within the old context are divided.
    pub beta_slow: Option<f64>,
    /// `yarn`: with the next, another `attention_factor`.
    pub mscale: Option<f64>,
    /// `yarn`: see `mscale`.
    pub mscale_all_dim: Option<f64>,
    /// `yarn`: whether the bounds of the blended frequencies are whole numbers; they are when absent.
    pub truncate: Option<bool>,
    /// `longrope`: divide the frequencies of sequences within the old context, one a pair.
    pub short_factor: Option<Vec<f64>>,
    /// `longrope`: divide those of longer sequences.
    pub long_factor: Option<Vec<f64>>,
}

impl RopeParameters {
    pub(super) fn kind(&self) -> &str {
        self.rope_type.as_deref().or(self.old_type.as_deref()).unwrap_or("default")
    }
}

/// The scaling of Llama 3.1: long waves are stretched, short ones stay, those between are blended.
pub(super) struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    context: f64,
}

impl Llama3 {
    pub fn new(parameters: &RopeParameters, context: f64) -> Result<Self, ModelError> {
        Ok(Self {
            factor: needed("factor", parameters.factor)?,
            low: needed("low_freq_factor", parameters.low_freq_factor)?,
            high: needed("high_freq_factor", parameters.high_freq_factor)?,
            context,
        })
    }

    pub fn rescale(&self, frequency: f64) -> f64 {
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

/// YaRN (Peng et al. 2023, arXiv 2309.00071): pairs that turn often stay, those that turn seldom are stretched, and those
/// between are blended.
pub(super) struct Yarn<'a> {
    pub parameters: &'a RopeParameters,
    pub factor: f64,
    pub context: f64,
    pub theta: f64,
    /// Numbers of a head that turn.
    pub turning: usize,
}

impl Yarn<'_> {
    pub fn applied(&self, mut rotary: Rotary) -> Rotary {
        rotary.scale = self.scale() as f32;
        let [low, high] = self.bounds();
        rotary.rescaled_by_pair(|pair, frequency| {
            let stretched = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
            frequency / self.factor * stretched + frequency * (1.0 - stretched)
        })
    }

    /// What multiplies sines and cosines.
    fn scale(&self) -> f64 {
        let of = |scale: f64| if self.factor <= 1.0 { 1.0 } else { 0.1 * scale * self.factor.ln() + 1.0 };
        let RopeParameters { attention_factor, mscale, mscale_all_dim, .. } = *self.parameters;
        let both = mscale.zip(mscale_all_dim).filter(|(one, other)| *one != 0.0 && *other != 0.0);
        attention_factor.unwrap_or_else(|| both.map_or(of(1.0), |(one, other)| of(one) / of(other)))
    }

    /// The first pair that is stretched, and the first that is stretched wholly.
    fn bounds(&self) -> [f64; 2] {
        let RopeParameters { beta_fast, beta_slow, truncate, .. } = *self.parameters;
        // The pair that turns so often within the old context.
        let pair =
            |turns: f64| self.turning as f64 * (self.context / (turns * TAU)).ln() / (2.0 * self.theta.ln());
        let given = |beta: Option<f64>, default: f64| beta.filter(|&beta| beta != 0.0).unwrap_or(default);
        let (mut low, mut high) = (pair(given(beta_fast, 32.0)), pair(given(beta_slow, 1.0)));
        if truncate.unwrap_or(true) {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, high) = (low.max(0.0), high.min(self.turning as f64 - 1.0));
        // As transformers: no division by zero.
        [low, if low == high { high + 0.001 } else { high }]
    }
}

/// LongRoPE (Ding et al. 2024, arXiv 2402.13753): a factor for each pair, others for sequences beyond the old context.
pub(super) fn long_rope(
    rotary: Rotary,
    parameters: &RopeParameters,
    factor: f64,
    context: f64,
) -> Result<Rotary, ModelError> {
    let pairs = rotary.frequencies.len();
    let divided = |field: &str, factors: &Option<Vec<f64>>| match factors {
        Some(factors) if factors.len() == pairs => {
            Ok(rotary.clone().rescaled_by_pair(|pair, frequency| frequency / factors[pair]))
        }
        Some(factors) => Err(ModelError::Config {
            reason: format!("{field} has {} numbers; {pairs} pairs turn", factors.len()),
        }),
        None => Err(ModelError::Config { reason: format!("the rope_type needs {field}") }),
    };
    let short = divided("short_factor", &parameters.short_factor)?;
    let long = divided("long_factor", &parameters.long_factor)?;
    let computed = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / context.ln()).sqrt() };
    Ok(Rotary {
        scale: parameters.attention_factor.unwrap_or(computed) as f32,
        long: Some(LongFrequencies { context: context as usize, frequencies: long.frequencies }),
        ..short
    })
}

/// A number that a kind cannot do without.
pub(super) fn needed(field: &str, value: Option<f64>) -> Result<f64, ModelError> {
    value.ok_or_else(|| ModelError::Config { reason: format!("the rope_type needs {field}") })
}
