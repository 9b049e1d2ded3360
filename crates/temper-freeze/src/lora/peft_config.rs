//! `adapter_config.json`, as PEFT writes it.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::FreezeError;

/// Name of the configuration in an adapter's folder.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of the weights in an adapter's folder.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// Fields that change what is computed, and the values under which they do not.
const NEUTRAL: &[(&str, &[&str])] = &[
    ("peft_type", &["\"LORA\""]),
    ("use_dora", &["false"]),
    ("use_rslora", &["false"]),
    ("use_qalora", &["false"]),
    ("use_bdlora", &["false"]),
    ("lora_bias", &["false"]),
    ("bias", &["\"none\""]),
    ("layer_replication", &[]),
    ("trainable_token_indices", &[]),
    ("target_parameters", &[]),
    ("alora_invocation_tokens", &[]),
    ("arrow_config", &[]),
    ("megatron_config", &[]),
    ("kasa_config", &[]),
    ("monteclora_config", &[]),
    ("velora_config", &[]),
    // The others change the weights that the adapter lies beside.
    ("init_lora_weights", &["true", "false", "\"gaussian\"", "\"eva\"", "\"orthogonal\""]),
];

/// The part of an adapter's configuration that says what to compute.
#[derive(Clone, Debug, Deserialize)]
pub struct PeftConfig {
    /// The adapter's task, such as `SEQ_CLS`.
    #[serde(default)]
    pub task_type: Option<String>,
    /// Rank of an adapter without an entry in `rank_pattern`.
    pub r: usize,
    /// Alpha of an adapter without an entry in `alpha_pattern`.
    pub lora_alpha: f64,
    /// Dropout on the input of the path.
    #[serde(default)]
    pub lora_dropout: f64,
    #[serde(default)]
    rank_pattern: Option<BTreeMap<String, usize>>,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f64>>,
}

impl PeftConfig {
    /// Reads the configuration in an adapter's folder.
    ///
    /// # Errors
    /// [`FreezeError::Adapter`] for a file that cannot be read, [`FreezeError::UnsupportedAdapter`] for a
    /// kind of adapter that is computed otherwise.
    pub fn read(dir: &Path) -> Result<Self, FreezeError> {
        let path = dir.join(ADAPTER_CONFIG);
        let broken = |reason: String| FreezeError::Adapter { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
        let raw: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        for &(field, neutral) in NEUTRAL {
            let Some(value) = raw.get(field).filter(|value| !value.is_null()) else { continue };
            if !neutral.contains(&value.to_string().as_str()) {
                let value = value.to_string();
                return Err(FreezeError::UnsupportedAdapter { path, field, value });
            }
        }
        let config: Self =
            serde_json::from_value(Value::Object(raw)).map_err(|error| broken(error.to_string()))?;
        if !(0.0..1.0).contains(&config.lora_dropout) {
            return Err(broken(format!("lora_dropout = {} is no probability below 1", config.lora_dropout)));
        }
        Ok(config)
    }

    /// Rank of the adapter on a module.
    pub(super) fn rank(&self, module: &str) -> usize {
        pattern(self.rank_pattern.as_ref(), module).unwrap_or(self.r)
    }

    /// Alpha of the adapter on a module.
    pub(super) fn alpha(&self, module: &str) -> f64 {
        pattern(self.alpha_pattern.as_ref(), module).unwrap_or(self.lora_alpha)
    }
}

/// The value of the first pattern that a module's name ends with; follows PEFT, `get_pattern_key`.
fn pattern<V: Copy>(patterns: Option<&BTreeMap<String, V>>, module: &str) -> Option<V> {
    let is_match =
        |key: &str| Regex::new(&format!(r"^(?:.*\.)?(?:{key})$")).is_ok_and(|key| key.is_match(module));
    patterns?.iter().find(|(key, _)| is_match(key)).map(|(_, &value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<PeftConfig, FreezeError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(ADAPTER_CONFIG), value.to_string()).unwrap();
        PeftConfig::read(dir.path())
    }

    #[test]
    fn patterns_win_over_the_defaults() {
        let config = read(&json!({
            "peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "init_lora_weights": true,
            "rank_pattern": {"self.query": 2, "layer\\.1\\..*value": 3}, "alpha_pattern": {"value": 1.5},
        }))
        .unwrap();
        assert_eq!(config.rank("encoder.layer.0.attention.self.query"), 2);
        assert_eq!(config.rank("encoder.layer.1.attention.self.value"), 3);
        assert_eq!(config.rank("encoder.layer.11.attention.self.value"), 4);
        assert_eq!(config.rank("encoder.layer.0.myself.query"), 4, "from a dot on");
        assert_eq!(config.alpha("encoder.layer.1.attention.self.value"), 1.5);
        assert_eq!(config.alpha("encoder.layer.1.attention.self.query"), 8.0);
    }

    #[test]
    fn what_is_computed_otherwise_is_refused_by_name() {
        for (field, value) in [
            ("use_dora", json!(true)),
            ("use_rslora", json!(true)),
            ("bias", json!("all")),
            ("lora_bias", json!(true)),
            ("init_lora_weights", json!("pissa")),
            ("peft_type", json!("IA3")),
            ("layer_replication", json!([[0, 2]])),
        ] {
            let mut config = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8});
            config[field] = value;
            let error = read(&config).unwrap_err();
            assert!(matches!(&error, FreezeError::UnsupportedAdapter { .. }), "{error}");
            assert!(error.to_string().contains(field), "{error}");
        }
        assert!(matches!(read(&json!({"peft_type": "LORA"})), Err(FreezeError::Adapter { .. })));
    }
}
