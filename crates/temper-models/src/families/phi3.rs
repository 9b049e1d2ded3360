//! Phi-3: LLaMA whose query, key and value are one stored map, and so are gate and inner map.
//!
//! Abdin et al. 2024 (arXiv 2404.14219). Follows transformers 5.23, `modeling_phi3.py`.

use serde_json::json;

use super::llama_variant::{Classes, LLAMA, Variant};
use crate::DropoutKeys;
use crate::weights::{Fusion, Row, copy, fused_linear, fused_pair, ignore, linear, norm};

pub(super) const VARIANT: Variant = Variant {
    model_type: "phi3",
    classes: Classes {
        causal: "Phi3ForCausalLM",
        sequences: "Phi3ForSequenceClassification",
        tokens: "Phi3ForTokenClassification",
        spans: None,
    },
    defaults: || {
        json!({
            "vocab_size": 32064,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "max_position_embeddings": 4096,
            "pad_token_id": 32000,
            "rms_norm_eps": 1e-5,
        })
    },
    reads: &["sliding_window", "resid_pdrop"],
    turns_partly: true,
    rows: ROWS,
    dropout: DropoutKeys { hidden: &["resid_pdrop"], attention: &["attention_dropout"] },
    ..LLAMA
};

const ROWS: &[Row] = &[
    copy("embed_tokens.weight", "token_embedding.weight"),
    fused_linear(
        "layers.{}.self_attn.qkv_proj",
        ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
        Fusion::Blocks,
    ),
    linear("layers.{}.self_attn.o_proj", "layers.{}.attention.output"),
    ignore("layers.{}.self_attn.rotary_emb.inv_freq"), // Frequencies: a buffer of old versions.
    norm("layers.{}.input_layernorm", "layers.{}.attention_norm"),
    fused_pair("layers.{}.mlp.gate_up_proj", ["layers.{}.ffn.gate", "layers.{}.ffn.inner"]),
    linear("layers.{}.mlp.down_proj", "layers.{}.ffn.outer"),
    norm("layers.{}.post_attention_layernorm", "layers.{}.ffn_norm"),
    norm("norm", "final_norm"),
];
