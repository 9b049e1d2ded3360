//! The architecture `llama`: names and configuration as transformers 5.23 has them, and the order of rows.

use serde_json::{Map, Value as Json, json};

use crate::metadata::{Metadata, Value};

/// A tensor's name in transformers, and how its rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub name: String,
    /// Heads whose rows are to be put back into their order; none for most tensors.
    pub heads: Option<usize>,
}

/// What is needed to read the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Llama {
    layers: usize,
    heads: usize,
    key_heads: usize,
    hidden: usize,
    /// Rows of the vocabulary.
    vocab: usize,
    /// Whether the map to the vocabulary is the token embedding.
    pub is_tied: bool,
}

impl Llama {
    /// Reads the sizes.
    ///
    /// # Errors
    /// What is missing or cannot be honoured.
    pub fn of(metadata: &Metadata, vocab: usize, is_tied: bool) -> Result<Self, String> {
        let size = |key: &str| -> Result<usize, String> {
            let value = metadata.get(&format!("llama.{key}")).and_then(Value::as_u64);
            let value = value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
            value.ok_or_else(|| format!("llama.{key} is no size"))
        };
        let heads = size("attention.head_count")?;
        let key_heads = match metadata.contains_key("llama.attention.head_count_kv") {
            true => size("attention.head_count_kv")?,
            false => heads,
        };
        let hidden = size("embedding_length")?;
        if !hidden.is_multiple_of(heads) || !heads.is_multiple_of(key_heads) {
            return Err(format!("{heads} heads over {key_heads} do not fit a width of {hidden}"));
        }
        for key in ["expert_count", "rope.scaling.type", "attention.sliding_window"] {
            let value = metadata.get(&format!("llama.{key}"));
            let is_off =
                value.is_none_or(|value| value.as_u64() == Some(0) || value.as_text() == Some("none"));
            if !is_off {
                return Err(format!("llama.{key} is {value:?}, which is not honoured"));
            }
        }
        Ok(Self { layers: size("block_count")?, heads, key_heads, hidden, vocab, is_tied })
    }

    /// config.json.
    ///
    /// # Errors
    /// What is missing.
    pub fn config(&self, metadata: &Metadata) -> Result<Map<String, Json>, String> {
        let number = |key: &str| metadata.get(&format!("llama.{key}")).and_then(Value::as_f64);
        let whole = |key: &str| metadata.get(&format!("llama.{key}")).and_then(Value::as_u64);
        let needed = |key: &str| whole(key).ok_or_else(|| format!("llama.{key} is missing"));
        let epsilon = number("attention.layer_norm_rms_epsilon");
        let epsilon = epsilon.ok_or("llama.attention.layer_norm_rms_epsilon is missing")?;
        let head_dim = whole("attention.key_length").unwrap_or((self.hidden / self.heads) as u64);
        let rotated = whole("rope.dimension_count").unwrap_or(head_dim);
        if rotated != head_dim {
            return Err(format!(
                "{rotated} of {head_dim} places of a head are rotated, which is not honoured"
            ));
        }
        let token = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}")).and_then(Value::as_u64);
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": token("bos_token_id"),
            "eos_token_id": token("eos_token_id"),
            "pad_token_id": token("padding_token_id"),
            "head_dim": head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": needed("feed_forward_length")?,
            "max_position_embeddings": needed("context_length")?,
            "mlp_bias": false,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.key_heads,
            "rms_norm_eps": epsilon,
            "rope_theta": number("rope.freq_base").unwrap_or(10_000.0),
            "tie_word_embeddings": self.is_tied,
            "torch_dtype": "float32",
            "vocab_size": self.vocab,
        });
        match config {
            Json::Object(config) => Ok(config),
            _ => Err("no object".into()),
        }
    }

    /// The name of a tensor in transformers; none for one that the architecture does not have.
    pub fn stored(&self, name: &str) -> Option<Stored> {
        let plain = |name: &str| Stored { name: name.into(), heads: None };
        match name {
            "token_embd.weight" => return Some(plain("model.embed_tokens.weight")),
            "output_norm.weight" => return Some(plain("model.norm.weight")),
            "output.weight" => return Some(plain("lm_head.weight")),
            _ => {}
        }
        let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
        let layer: usize = layer.parse().ok().filter(|&layer| layer < self.layers)?;
        let (part, heads) = match part.strip_suffix(".weight")? {
            "attn_norm" => ("input_layernorm", None),
            "attn_q" => ("self_attn.q_proj", Some(self.heads)),
            "attn_k" => ("self_attn.k_proj", Some(self.key_heads)),
            "attn_v" => ("self_attn.v_proj", None),
            "attn_output" => ("self_attn.o_proj", None),
            "ffn_norm" => ("post_attention_layernorm", None),
            "ffn_gate" => ("mlp.gate_proj", None),
            "ffn_up" => ("mlp.up_proj", None),
            "ffn_down" => ("mlp.down_proj", None),
            _ => return None,
        };
        Some(Stored { name: format!("model.layers.{layer}.{part}.weight"), heads })
    }

    /// All names that a file must have.
    pub fn needed(&self) -> Vec<String> {
        let parts = [
            "attn_norm",
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_norm",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
        ];
        let of_layers =
            (0..self.layers).flat_map(|layer| parts.map(|part| format!("blk.{layer}.{part}.weight")));
        ["token_embd.weight".to_owned(), "output_norm.weight".to_owned()]
            .into_iter()
            .chain(of_layers)
            .collect()
    }
}

/// Rows of queries and keys in transformers' order. llama.cpp rotates neighbouring places, transformers the two halves of a
/// head: its converter (`LlamaModel.permute` of convert_hf_to_gguf.py) puts the rows of the halves by turns, and this
/// takes that back.
///
/// # Shapes
/// - numbers: `[heads * places, columns]`, and so the output
pub(crate) fn in_halves(numbers: &[f32], heads: usize, columns: usize) -> Vec<f32> {
    let places = numbers.len() / columns / heads;
    let row = |head: usize, place: usize| {
        // Place p of the first half was put at 2p, of the second at 2p + 1.
        let half = places / 2;
        let source = if place < half { 2 * place } else { 2 * (place - half) + 1 };
        &numbers[(head * places + source) * columns..][..columns]
    };
    (0..heads).flat_map(|head| (0..places).flat_map(move |place| row(head, place))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `permute` of convert_hf_to_gguf.py: reshape(heads, 2, places / 2, ...).swapaxes(1, 2).
    fn permuted(rows: &[f32], heads: usize) -> Vec<f32> {
        let places = rows.len() / heads;
        let mut out = Vec::new();
        for head in 0..heads {
            for place in 0..places / 2 {
                for half in 0..2 {
                    out.push(rows[head * places + half * (places / 2) + place]);
                }
            }
        }
        out
    }

    #[test]
    fn the_order_of_rows_is_taken_back() {
        let rows: Vec<f32> = (0..24).map(|row| row as f32).collect();
        assert_eq!(permuted(&rows, 3)[..4], [0.0, 4.0, 1.0, 5.0]);
        assert_eq!(in_halves(&permuted(&rows, 3), 3, 1), rows);
    }
}
