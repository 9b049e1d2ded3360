//! The settings of adapters.

use serde::{Deserialize, Serialize};
use temper_models::layers::LowRankConfig;

/// What adapters are made from; names and defaults are those of PEFT's `LoraConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraSettings {
    /// Rank: columns of A, rows of B.
    pub r: usize,
    /// What the path adds is multiplied by `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Dropout on the input of the path.
    pub lora_dropout: f64,
    /// The linear maps that get an adapter, in Temper's names: the end of a path (`query`,
    /// `attention.output`, `ffn.inner`), a regex that matches a whole path
    /// (`layers\.[0-3]\.attention\..*`), or `all-linear` for every map but the head's.
    pub target_modules: Vec<String>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            // PEFT's choice for every family here, under one name.
            target_modules: vec!["query".into(), "value".into()],
        }
    }
}

impl LoraSettings {
    /// Rank, scale and dropout of each adapter.
    pub fn low_rank(&self) -> LowRankConfig {
        LowRankConfig { rank: self.r, scale: self.lora_alpha / self.r as f64, dropout: self.lora_dropout }
    }
}
