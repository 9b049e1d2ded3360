//! Qwen2 and Qwen2.5: LLaMA with biases of query, key and value, and windows in the upper layers if asked for.
//!
//! Yang et al. 2024 (arXiv 2407.10671, 2412.15115). Follows transformers 5.23, `modeling_qwen2.py`.

use serde_json::{Value, json};

use super::llama_variant::{Classes, LLAMA, Variant};

pub(super) const VARIANT: Variant = Variant {
    model_type: "qwen2",
    classes: Classes {
        causal: "Qwen2ForCausalLM",
        sequences: "Qwen2ForSequenceClassification",
        tokens: "Qwen2ForTokenClassification",
        spans: Some(("Qwen2ForQuestionAnswering", "transformer.")),
    },
    defaults,
    reads: &["sliding_window", "use_sliding_window", "max_window_layers", "layer_types"],
    has_query_bias: true,
    ..LLAMA
};

/// What Qwen3 has, too.
pub(super) fn defaults() -> Value {
    json!({
        "vocab_size": 151_936,
        "intermediate_size": 22016,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "sliding_window": 4096,
        "use_sliding_window": false,
        "max_window_layers": 28,
    })
}
