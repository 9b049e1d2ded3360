//! The architecture `gpt2`: its tensors and configuration as transformers 5.23 and llama.cpp have them.

use serde_json::{Map, Value as Json, json};

use crate::metadata::{Metadata, Value, size};
use crate::names::{Layout, OUTPUT_ROW, Row, Size, Sizes, Table, laid_out, same};
use crate::settings::Settings;

/// transformers' class of a model that predicts the next token.
const CLASS: &str = "GPT2LMHeadModel";

/// Its tensors.
pub(crate) const TABLE: Table = Table {
    input: &[
        same("token_embd.weight", "transformer.wte.weight", &[Size::Vocab, Size::Hidden]),
        same("position_embd.weight", "transformer.wpe.weight", &[Size::Positions, Size::Hidden]),
    ],
    of_layer: LAYER,
    output: &[
        same("output_norm.weight", "transformer.ln_f.weight", &[Size::Hidden]),
        same("output_norm.bias", "transformer.ln_f.bias", &[Size::Hidden]),
        OUTPUT_ROW,
    ],
};

const LAYER: &[Row] = &[
    same("blk.{}.attn_norm.weight", "transformer.h.{}.ln_1.weight", &[Size::Hidden]),
    same("blk.{}.attn_norm.bias", "transformer.h.{}.ln_1.bias", &[Size::Hidden]),
    laid_out(
        "blk.{}.attn_qkv.weight",
        "transformer.h.{}.attn.c_attn.weight",
        &[Size::Fused, Size::Hidden],
        Layout::Transposed,
    ),
    same("blk.{}.attn_qkv.bias", "transformer.h.{}.attn.c_attn.bias", &[Size::Fused]),
    laid_out(
        "blk.{}.attn_output.weight",
        "transformer.h.{}.attn.c_proj.weight",
        &[Size::Hidden, Size::Hidden],
        Layout::Transposed,
    ),
    same("blk.{}.attn_output.bias", "transformer.h.{}.attn.c_proj.bias", &[Size::Hidden]),
    same("blk.{}.ffn_norm.weight", "transformer.h.{}.ln_2.weight", &[Size::Hidden]),
    same("blk.{}.ffn_norm.bias", "transformer.h.{}.ln_2.bias", &[Size::Hidden]),
    laid_out(
        "blk.{}.ffn_up.weight",
        "transformer.h.{}.mlp.c_fc.weight",
        &[Size::Inner, Size::Hidden],
        Layout::Transposed,
    ),
    same("blk.{}.ffn_up.bias", "transformer.h.{}.mlp.c_fc.bias", &[Size::Inner]),
    laid_out(
        "blk.{}.ffn_down.weight",
        "transformer.h.{}.mlp.c_proj.weight",
        &[Size::Hidden, Size::Inner],
        Layout::Transposed,
    ),
    same("blk.{}.ffn_down.bias", "transformer.h.{}.mlp.c_proj.bias", &[Size::Hidden]),
];

/// What a file says of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gpt2 {
    pub sizes: Sizes,
    epsilon: f32,
}

impl Gpt2 {
    /// Reads a file's metadata.
    ///
    /// # Errors
    /// What is missing or cannot be honoured.
    pub fn of_metadata(metadata: &Metadata, vocab: usize, is_tied: bool) -> Result<Self, String> {
        let named = |key: &str| size(metadata, &format!("gpt2.{key}"));
        let epsilon = metadata.get("gpt2.attention.layer_norm_epsilon").and_then(Value::as_f64);
        let (heads, hidden) = (named("attention.head_count")?, named("embedding_length")?);
        let sizes = Sizes {
            layers: named("block_count")?,
            vocab,
            positions: named("context_length")?,
            hidden,
            inner: named("feed_forward_length")?,
            heads,
            key_heads: heads,
            head: hidden / heads,
            is_tied,
        };
        let epsilon = epsilon.ok_or("gpt2.attention.layer_norm_epsilon is missing")? as f32;
        Self { sizes, epsilon }.checked()
    }

    /// Reads config.json.
    ///
    /// # Errors
    /// What is missing, or what a file cannot say.
    pub fn of_config(config: &Map<String, Json>) -> Result<Self, String> {
        let settings = Settings(config);
        settings.must_be_architecture(CLASS)?;
        settings.must_be(&[
            ("activation_function", json!("gelu_new")),
            ("scale_attn_weights", json!(true)),
            ("scale_attn_by_inverse_layer_idx", json!(false)),
            ("add_cross_attention", json!(false)),
        ])?;
        let (heads, hidden) =
            (settings.size(&["n_head", "num_attention_heads"])?, settings.size(&["n_embd", "hidden_size"])?);
        let sizes = Sizes {
            layers: settings.size(&["n_layer", "num_hidden_layers"])?,
            vocab: settings.size(&["vocab_size"])?,
            positions: settings.size(&["n_positions", "max_position_embeddings"])?,
            hidden,
            inner: settings.size_or("n_inner", hidden.saturating_mul(4))?,
            heads,
            key_heads: heads,
            head: hidden / heads,
            is_tied: settings.switch_or("tie_word_embeddings", true),
        };
        Self { sizes, epsilon: settings.number_or("layer_norm_epsilon", 1e-5)? }.checked()
    }

    /// Refuses sizes that do not fit.
    fn checked(self) -> Result<Self, String> {
        let Sizes { hidden, heads, .. } = self.sizes;
        match hidden.is_multiple_of(heads) {
            true => Ok(self),
            false => Err(format!("{heads} heads do not fit a width of {hidden}")),
        }
    }

    /// config.json, but for the ids of tokens. Dropout, which a file does not name, is transformers' default.
    pub fn config(&self) -> Json {
        let sizes = self.sizes;
        json!({
            "architectures": [CLASS],
            "model_type": "gpt2",
            "activation_function": "gelu_new",
            "add_cross_attention": false,
            "attn_pdrop": 0.1,
            "embd_pdrop": 0.1,
            "initializer_range": 0.02,
            "layer_norm_epsilon": Value::Float(self.epsilon).as_f64(),
            "n_embd": sizes.hidden,
            "n_head": sizes.heads,
            "n_inner": sizes.inner,
            "n_layer": sizes.layers,
            "n_positions": sizes.positions,
            "reorder_and_upcast_attn": false,
            "resid_pdrop": 0.1,
            "scale_attn_by_inverse_layer_idx": false,
            "scale_attn_weights": true,
            "tie_word_embeddings": sizes.is_tied,
            "torch_dtype": "float32",
            "vocab_size": sizes.vocab,
        })
    }

    /// What a file says of it, without the architecture's name before the keys.
    pub fn metadata(&self) -> Vec<(&'static str, Value)> {
        let sizes = self.sizes;
        let own = [("attention.layer_norm_epsilon", Value::Float(self.epsilon))];
        sizes.metadata().into_iter().chain(own).collect()
    }
}
