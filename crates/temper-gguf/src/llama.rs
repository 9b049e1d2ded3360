//! The architecture `llama`: its tensors and configuration as transformers 5.23 and llama.cpp have them.

use serde_json::{Map, Value as Json, json};

use crate::metadata::{Metadata, Value, of_size, size};
use crate::names::{Layout, OUTPUT_ROW, Row, Size, Sizes, Table, laid_out, same};
use crate::settings::Settings;

/// transformers' class of a model that predicts the next token.
const CLASS: &str = "LlamaForCausalLM";

/// Its tensors.
pub(crate) const TABLE: Table = Table {
    input: &[same("token_embd.weight", "model.embed_tokens.weight", &[Size::Vocab, Size::Hidden])],
    of_layer: LAYER,
    output: &[same("output_norm.weight", "model.norm.weight", &[Size::Hidden]), OUTPUT_ROW],
};

const LAYER: &[Row] = &[
    same("blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", &[Size::Hidden]),
    laid_out(
        "blk.{}.attn_q.weight",
        "model.layers.{}.self_attn.q_proj.weight",
        &[Size::Queries, Size::Hidden],
        Layout::QueryHeads,
    ),
    laid_out(
        "blk.{}.attn_k.weight",
        "model.layers.{}.self_attn.k_proj.weight",
        &[Size::Keys, Size::Hidden],
        Layout::KeyHeads,
    ),
    same("blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight", &[Size::Keys, Size::Hidden]),
    same(
        "blk.{}.attn_output.weight",
        "model.layers.{}.self_attn.o_proj.weight",
        &[Size::Hidden, Size::Queries],
    ),
    same("blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight", &[Size::Hidden]),
    same("blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight", &[Size::Inner, Size::Hidden]),
    same("blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight", &[Size::Inner, Size::Hidden]),
    same("blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight", &[Size::Hidden, Size::Inner]),
];

/// What a file says of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Llama {
    pub sizes: Sizes,
    epsilon: f32,
    /// The base of the frequencies of rotary positions.
    base: f32,
}

impl Llama {
    /// Reads a file's metadata.
    ///
    /// # Errors
    /// What is missing or cannot be honoured.
    pub fn of_metadata(metadata: &Metadata, vocab: usize, is_tied: bool) -> Result<Self, String> {
        let named = |key: &str| size(metadata, &format!("llama.{key}"));
        let or = |key: &str, other: usize| {
            if metadata.contains_key(&format!("llama.{key}")) { named(key) } else { Ok(other) }
        };
        let (heads, hidden) = (named("attention.head_count")?, named("embedding_length")?);
        let head = or("attention.key_length", hidden / heads)?;
        let values = or("attention.value_length", head)?;
        let rotated = or("rope.dimension_count", head)?;
        if rotated != head || values != head {
            return Err(format!(
                "a head has {head} places for keys and {values} for values, of which {rotated} are rotated, which is not honoured"
            ));
        }
        for key in ["expert_count", "rope.scaling.type", "attention.sliding_window"] {
            let value = metadata.get(&format!("llama.{key}"));
            let is_off =
                value.is_none_or(|value| value.as_u64() == Some(0) || value.as_text() == Some("none"));
            if !is_off {
                return Err(format!("llama.{key} is {value:?}, which is not honoured"));
            }
        }
        let number = |key: &str| metadata.get(&format!("llama.{key}")).and_then(Value::as_f64);
        let epsilon = number("attention.layer_norm_rms_epsilon");
        let sizes = Sizes {
            layers: named("block_count")?,
            vocab,
            positions: named("context_length")?,
            hidden,
            inner: named("feed_forward_length")?,
            heads,
            key_heads: or("attention.head_count_kv", heads)?,
            head,
            is_tied,
        };
        let epsilon = epsilon.ok_or("llama.attention.layer_norm_rms_epsilon is missing")? as f32;
        let base = number("rope.freq_base").unwrap_or(10_000.0) as f32;
        Self { sizes, epsilon, base }.checked()
    }

    /// Reads config.json.
    ///
    /// # Errors
    /// What is missing, or what a file cannot say.
    pub fn of_config(config: &Map<String, Json>) -> Result<Self, String> {
        let settings = Settings(config);
        settings.must_be_architecture(CLASS)?;
        settings.must_be(&[
            ("hidden_act", json!("silu")),
            ("attention_bias", json!(false)),
            ("mlp_bias", json!(false)),
            ("partial_rotary_factor", json!(1.0)),
            ("sliding_window", Json::Null),
        ])?;
        let rope = rope(settings)?;
        let (heads, hidden) = (settings.size(&["num_attention_heads"])?, settings.size(&["hidden_size"])?);
        let sizes = Sizes {
            layers: settings.size(&["num_hidden_layers"])?,
            vocab: settings.size(&["vocab_size"])?,
            positions: settings.size(&["max_position_embeddings"])?,
            hidden,
            inner: settings.size(&["intermediate_size"])?,
            heads,
            key_heads: settings.size_or("num_key_value_heads", heads)?,
            head: settings.size_or("head_dim", hidden / heads)?,
            is_tied: settings.switch_or("tie_word_embeddings", false),
        };
        Self { sizes, epsilon: settings.number_or("rms_norm_eps", 1e-6)?, base: rope }.checked()
    }

    /// Refuses sizes that do not fit.
    fn checked(self) -> Result<Self, String> {
        let Sizes { hidden, heads, key_heads, head, .. } = self.sizes;
        if !hidden.is_multiple_of(heads) || !heads.is_multiple_of(key_heads) {
            return Err(format!("{heads} heads over {key_heads} do not fit a width of {hidden}"));
        }
        if head == 0 || !head.is_multiple_of(2) {
            return Err(format!("a head of {head} places has no halves to rotate"));
        }
        Ok(self)
    }

    /// config.json, but for the ids of tokens.
    pub fn config(&self) -> Json {
        let sizes = self.sizes;
        json!({
            "architectures": [CLASS],
            "model_type": "llama",
            "attention_bias": false,
            "attention_dropout": 0.0,
            "head_dim": sizes.head,
            "hidden_act": "silu",
            "hidden_size": sizes.hidden,
            "initializer_range": 0.02,
            "intermediate_size": sizes.inner,
            "max_position_embeddings": sizes.positions,
            "mlp_bias": false,
            "num_attention_heads": sizes.heads,
            "num_hidden_layers": sizes.layers,
            "num_key_value_heads": sizes.key_heads,
            "rms_norm_eps": Value::Float(self.epsilon).as_f64(),
            "rope_theta": Value::Float(self.base).as_f64(),
            "tie_word_embeddings": sizes.is_tied,
            "torch_dtype": "float32",
            "vocab_size": sizes.vocab,
        })
    }

    /// What a file says of it, without the architecture's name before the keys.
    pub fn metadata(&self) -> Vec<(&'static str, Value)> {
        let sizes = self.sizes;
        let own = [
            ("attention.head_count_kv", of_size(sizes.key_heads)),
            ("attention.key_length", of_size(sizes.head)),
            ("attention.value_length", of_size(sizes.head)),
            ("attention.layer_norm_rms_epsilon", Value::Float(self.epsilon)),
            ("rope.freq_base", Value::Float(self.base)),
            ("rope.dimension_count", of_size(sizes.head)),
            ("vocab_size", of_size(sizes.vocab)),
        ];
        sizes.metadata().into_iter().chain(own).collect()
    }
}

/// The base of rotary positions, of either spelling of config.json; other kinds of positions are refused.
fn rope(settings: Settings<'_>) -> Result<f32, String> {
    let object = |key: &str| settings.get(key).and_then(Json::as_object).filter(|object| !object.is_empty());
    // As transformers: the old spelling takes the place of the new one.
    let Some(rope) = object("rope_scaling").or_else(|| object("rope_parameters")).map(Settings) else {
        return settings.number_or("rope_theta", 10_000.0);
    };
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Json::as_str);
    if let Some(kind) = kind.filter(|&kind| kind != "default") {
        return Err(format!("its rotary positions are scaled ({kind}), which is not written"));
    }
    rope.must_be(&[("partial_rotary_factor", json!(1.0))])?;
    let base = if rope.get("rope_theta").is_some() { rope } else { settings };
    base.number_or("rope_theta", 10_000.0)
}
