//! What LLaMA and its descendants differ in.

use serde_json::{Value, json};

use crate::DropoutKeys;
use crate::weights::{Row, copy, ignore, linear, norm};

/// What a descendant of LLaMA has of its own.
#[derive(Debug)]
pub(super) struct Variant {
    pub model_type: &'static str,
    /// Its classes in transformers, by what they are for.
    pub classes: Classes,
    /// Fields that config.json may leave out, where the value is not LLaMA's.
    pub defaults: fn() -> Value,
    /// Optional fields that its class in transformers reads; it passes over the others.
    pub reads: &'static [&'static str],
    /// Whether query, key and value always have a bias, and the output none.
    pub has_query_bias: bool,
    /// Whether each head of queries and keys is normalised.
    pub has_head_norms: bool,
    /// Whether a part of each head may be left unturned; its classes in transformers turn whole heads otherwise.
    pub turns_partly: bool,
    /// Where each tensor of a checkpoint goes.
    pub rows: &'static [Row],
    /// Dropout that its configuration has.
    pub dropout: DropoutKeys,
}

/// Classes of heads.
#[derive(Debug)]
pub(super) struct Classes {
    pub causal: &'static str,
    pub sequences: &'static str,
    pub tokens: &'static str,
    /// With the prefix of the backbone's names; some have no such class.
    pub spans: Option<(&'static str, &'static str)>,
}

pub(super) const LLAMA: Variant = Variant {
    model_type: "llama",
    classes: Classes {
        causal: "LlamaForCausalLM",
        sequences: "LlamaForSequenceClassification",
        tokens: "LlamaForTokenClassification",
        spans: Some(("LlamaForQuestionAnswering", "transformer.")),
    },
    defaults: || json!({}),
    reads: &["attention_bias", "mlp_bias"],
    has_query_bias: false,
    has_head_norms: false,
    turns_partly: false,
    rows: ROWS,
    dropout: DropoutKeys { hidden: &[], attention: &["attention_dropout"] },
};

/// The names of LLaMA and of the descendants that store maps one by one.
pub(super) const ROWS: &[Row] = &[
    copy("embed_tokens.weight", "token_embedding.weight"),
    linear("layers.{}.self_attn.q_proj", "layers.{}.attention.query"),
    linear("layers.{}.self_attn.k_proj", "layers.{}.attention.key"),
    linear("layers.{}.self_attn.v_proj", "layers.{}.attention.value"),
    linear("layers.{}.self_attn.o_proj", "layers.{}.attention.output"),
    norm("layers.{}.self_attn.q_norm", "layers.{}.attention.query_norm"),
    norm("layers.{}.self_attn.k_norm", "layers.{}.attention.key_norm"),
    ignore("layers.{}.self_attn.rotary_emb.inv_freq"), // Frequencies: a buffer of old versions.
    norm("layers.{}.input_layernorm", "layers.{}.attention_norm"),
    linear("layers.{}.mlp.gate_proj", "layers.{}.ffn.gate"),
    linear("layers.{}.mlp.up_proj", "layers.{}.ffn.inner"),
    linear("layers.{}.mlp.down_proj", "layers.{}.ffn.outer"),
    norm("layers.{}.post_attention_layernorm", "layers.{}.ffn_norm"),
    norm("norm", "final_norm"),
];
