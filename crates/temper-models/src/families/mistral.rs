//! Mistral: LLaMA whose layers see a window of the last tokens.
//!
//! Jiang et al. 2023 (arXiv 2310.06825). Follows transformers 5.23, `modeling_mistral.py`.

use serde_json::json;

use super::llama_variant::{Classes, LLAMA, Variant};

pub(super) const VARIANT: Variant = Variant {
    model_type: "mistral",
    classes: Classes {
        causal: "MistralForCausalLM",
        sequences: "MistralForSequenceClassification",
        tokens: "MistralForTokenClassification",
        spans: Some(("MistralForQuestionAnswering", "model.")),
    },
    defaults: || {
        json!({
            "intermediate_size": 14336,
            "max_position_embeddings": 131_072,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
        })
    },
    reads: &["sliding_window"],
    ..LLAMA
};
