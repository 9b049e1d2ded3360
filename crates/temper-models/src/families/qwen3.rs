//! Qwen3: LLaMA with norms of each head of queries and keys, and windows in the upper layers if asked for.
//!
//! Yang et al. 2025 (arXiv 2505.09388). Follows transformers 5.23, `modeling_qwen3.py`.

use serde_json::json;

use super::llama_variant::{Classes, LLAMA, Variant};
use super::qwen2;

pub(super) const VARIANT: Variant = Variant {
    model_type: "qwen3",
    classes: Classes {
        causal: "Qwen3ForCausalLM",
        sequences: "Qwen3ForSequenceClassification",
        tokens: "Qwen3ForTokenClassification",
        spans: Some(("Qwen3ForQuestionAnswering", "transformer.")),
    },
    defaults: || {
        let mut defaults = qwen2::defaults();
        defaults["head_dim"] = json!(128);
        defaults
    },
    reads: &["attention_bias", "sliding_window", "use_sliding_window", "max_window_layers", "layer_types"],
    has_head_norms: true,
    ..LLAMA
};
