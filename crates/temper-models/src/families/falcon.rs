//! Falcon: decoder-only, in three shapes. 7B: attention and feed-forward side by side under one norm, a single
//! head of keys and values. 40B and 11B (`new_decoder_architecture`): side by side under two norms or one,
//! heads of keys and values shared by groups. RW: one after the other, ALiBi instead of rotary positions.
//!
//! Almazrouei et al. 2023 (arXiv 2311.16867), Penedo et al. 2023 (arXiv 2306.01116). Follows transformers
//! 5.23, `modeling_falcon.py`, with its default attention (`sdpa`; `eager` adds ALiBi twice). ALiBi is
//! computed in bfloat16 there and so it is here, at every position. What else is its own: ALiBi is added
//! before the scores are scaled, dropout on the attention weights exists with ALiBi only, and in RW's layers
//! `attention_dropout` also drops from what attention adds.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use temper_kernels::AttentionHeads;

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels, span, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse, token_id};
use crate::layers::{
    AttentionConfig, BlockConfig, DecoderLayerConfig, FeedForwardConfig, NormConfig, NormPlace,
    ParallelBlockConfig, RopeConfig, Rotary, alibi_slopes,
};
use crate::weights::{Fusion, Row, WeightMap, copy, fused_linear, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, ModelError, Parts};

/// Falcon's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FalconConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// The old name of `hidden_size`, before which it goes.
    pub n_embed: Option<usize>,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides the width of the hidden state.
    pub num_attention_heads: usize,
    /// Heads of keys and values in the new architecture; `num_attention_heads` when absent.
    pub num_kv_heads: Option<usize>,
    /// Norms of a layer whose sub-layers work side by side; two in the new architecture when absent.
    pub num_ln_in_parallel_attn: Option<usize>,
    /// Added to the variance in norms.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Dropout on what a layer adds.
    pub hidden_dropout: f64,
    /// Dropout on the attention weights with ALiBi, and on what attention adds where it comes first.
    pub attention_dropout: f64,
    /// Whether ALiBi takes the place of rotary positions.
    pub alibi: bool,
    /// Whether groups of heads share a head of keys and values.
    pub new_decoder_architecture: bool,
    /// Whether there is a single head of keys and values; not read in the new architecture.
    pub multi_query: bool,
    /// Whether attention and feed-forward work side by side.
    pub parallel_attn: bool,
    /// Whether linear maps have a bias.
    pub bias: bool,
    /// Inner width of the feed-forward layer; four times the hidden state's when absent.
    pub ffn_hidden_size: Option<usize>,
    /// Activation of the feed-forward layer.
    pub activation: Activation,
    /// The longest sequence, with rotary positions.
    pub max_position_embeddings: usize,
    /// Rotary positions.
    #[serde(flatten)]
    pub rope: RopeConfig,
    /// Id that fills up a batch; the classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Whether the language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
    /// Dropout before the classifier of tokens; `hidden_dropout` when absent.
    pub classifier_dropout: Option<f64>,
    /// Only `true` exists here.
    pub is_causal: bool,
}

impl Default for FalconConfig {
    fn default() -> Self {
        Self {
            vocab_size: 65024,
            hidden_size: 4544,
            n_embed: None,
            num_hidden_layers: 32,
            num_attention_heads: 71,
            num_kv_heads: None,
            num_ln_in_parallel_attn: None,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            hidden_dropout: 0.0,
            attention_dropout: 0.0,
            alibi: false,
            new_decoder_architecture: false,
            multi_query: true,
            parallel_attn: true,
            bias: false,
            ffn_hidden_size: None,
            activation: Activation::Gelu,
            max_position_embeddings: 2048,
            rope: RopeConfig::default(),
            pad_token_id: None,
            tie_word_embeddings: true,
            classifier_dropout: None,
            is_causal: true,
        }
    }
}

/// The norms of a layer.
enum Norms {
    /// One each, of sub-layers one after the other.
    Sequential,
    /// One for both, side by side.
    Shared,
    /// One each, side by side.
    Two,
}

impl FalconConfig {
    fn hidden(&self) -> usize {
        self.n_embed.unwrap_or(self.hidden_size)
    }

    fn check_sizes(&self) -> Result<(), ModelError> {
        check_sizes(
            MOST_ROWS,
            &[("vocab_size", self.vocab_size), ("max_position_embeddings", self.max_position_embeddings)],
        )?;
        let inner = self.ffn_hidden_size.unwrap_or(self.hidden());
        check_sizes(MOST_WIDTH, &[("hidden_size", self.hidden()), ("ffn_hidden_size", inner)])?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", self.num_hidden_layers)])?;
        check_dropout(&[
            ("hidden_dropout", self.hidden_dropout),
            ("attention_dropout", self.attention_dropout),
            ("classifier_dropout", self.classifier_dropout.unwrap_or(self.hidden_dropout)),
        ])
    }

    fn norms(&self) -> Norms {
        match (self.parallel_attn, self.new_decoder_architecture, self.num_ln_in_parallel_attn) {
            (false, _, _) => Norms::Sequential,
            (true, false, _) | (true, true, Some(1)) => Norms::Shared,
            (true, true, _) => Norms::Two,
        }
    }

    fn attention_heads(&self) -> AttentionHeads {
        let query_heads = self.num_attention_heads;
        let key_heads = match (self.new_decoder_architecture, self.multi_query) {
            (true, _) => self.num_kv_heads.unwrap_or(query_heads),
            (false, true) => 1,
            (false, false) => query_heads,
        };
        AttentionHeads { query_heads, key_heads, head: self.hidden() / query_heads }
    }

    fn rotary(&self) -> Result<Option<Rotary>, ModelError> {
        if self.alibi {
            return Ok(None);
        }
        self.rope.rotary(self.attention_heads().head, self.max_position_embeddings).map(Some)
    }

    fn norm(&self) -> NormConfig {
        NormConfig::layer(self.hidden(), self.layer_norm_epsilon)
    }

    fn attention(&self) -> AttentionConfig {
        let dropout = if self.alibi { self.attention_dropout } else { 0.0 };
        let plain = AttentionConfig::new(self.hidden(), self.num_attention_heads, dropout);
        let mut config = plain.causal().with_heads(self.attention_heads());
        config.bias = self.bias;
        config.output_bias = self.bias;
        // Of layers one after the other alone: a parallel block has one dropout for both.
        config.residual_dropout = Some(self.attention_dropout);
        if self.alibi {
            config.pattern.alibi = Some(alibi_slopes(self.num_attention_heads).into());
            config.pattern.alibi_in_bfloat16 = true;
            return config;
        }
        config.rotated(0)
    }

    fn layer(&self) -> DecoderLayerConfig {
        let (attention, norm, hidden) = (self.attention(), self.norm(), self.hidden());
        let inner = self.ffn_hidden_size.unwrap_or(4 * hidden);
        let ffn =
            FeedForwardConfig { bias: self.bias, ..FeedForwardConfig::new(hidden, inner, self.activation) };
        let dropout = self.hidden_dropout;
        if let Norms::Sequential = self.norms() {
            let norm_place = NormPlace::Before;
            let config = BlockConfig { attention, cross_attention: None, ffn, norm, norm_place, dropout };
            return DecoderLayerConfig::Sequential(config);
        }
        let has_ffn_norm = matches!(self.norms(), Norms::Two);
        DecoderLayerConfig::Parallel(ParallelBlockConfig { attention, ffn, norm, has_ffn_norm, dropout })
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let dropout = self.classifier_dropout.unwrap_or(self.hidden_dropout);
        vec![
            next_token("FalconForCausalLM", self.vocab_size, self.tie_word_embeddings),
            sequence_labels("FalconForSequenceClassification", self.pad_token_id),
            token_labels("FalconForTokenClassification", dropout),
            span("FalconForQuestionAnswering"),
        ]
    }
}

impl Family for FalconConfig {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["hidden_dropout"], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        if !self.is_causal {
            return refuse("is_causal", false);
        }
        // transformers builds other norms than it reads in these two cases, and fails.
        if self.new_decoder_architecture && !self.parallel_attn {
            return refuse("parallel_attn", "false in the new architecture");
        }
        let most_norms = if self.new_decoder_architecture { 2 } else { 1 };
        if let (true, Some(norms)) = (self.parallel_attn, self.num_ln_in_parallel_attn)
            && !(1..=most_norms).contains(&norms)
        {
            return refuse("num_ln_in_parallel_attn", norms);
        }
        self.check_sizes()?;
        let heads = self.num_attention_heads;
        check_heads("num_attention_heads", heads, "hidden_size", self.hidden())?;
        let key_heads = self.attention_heads().key_heads;
        check_heads("num_kv_heads", key_heads, "num_attention_heads", heads)?;
        let has_own_keys = !self.new_decoder_architecture && !self.multi_query;
        if let Some(given) = self.num_kv_heads.filter(|&given| has_own_keys && given != heads) {
            let reason = format!("num_kv_heads = {given}, but multi_query = false means {heads}");
            return Err(ModelError::Config { reason });
        }
        self.rotary().map(drop)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = vec![self.layer(); self.num_hidden_layers];
        let rotary = self.rotary().expect("`validate` refuses other rotary positions");
        let config = DecoderConfig {
            rotary: rotary.into_iter().collect(),
            final_norm: Some(self.norm()),
            ..DecoderConfig::new(self.vocab_size, self.hidden(), layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let rows = match self.norms() {
            Norms::Sequential => SEQUENTIAL,
            Norms::Shared => SHARED_NORM,
            Norms::Two => TWO_NORMS,
        };
        let max_positions = if self.alibi { usize::MAX } else { self.max_position_embeddings };
        FamilyFacts {
            weights: WeightMap { prefix: "transformer.", rows, groups: self.attention_heads().key_heads },
            heads: self.heads(),
            foreign: &[],
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions },
        }
    }
}

/// Where each tensor of a checkpoint goes; the names of a layer's norms depend on their arrangement.
const fn rows(attention_norm: &'static str, ffn_norm: &'static str) -> [Row; 8] {
    [
        copy("word_embeddings.weight", "token_embedding.weight"),
        fused_linear(
            "h.{}.self_attention.query_key_value",
            ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
            Fusion::Groups,
        ),
        linear("h.{}.self_attention.dense", "layers.{}.attention.output"),
        norm(attention_norm, "layers.{}.attention_norm"),
        linear("h.{}.mlp.dense_h_to_4h", "layers.{}.ffn.inner"),
        linear("h.{}.mlp.dense_4h_to_h", "layers.{}.ffn.outer"),
        norm(ffn_norm, "layers.{}.ffn_norm"),
        norm("ln_f", "final_norm"),
    ]
}

const SEQUENTIAL: &[Row] = &rows("h.{}.input_layernorm", "h.{}.post_attention_layernorm");
const TWO_NORMS: &[Row] = &rows("h.{}.ln_attn", "h.{}.ln_mlp");
// Without a norm of the feed-forward layer, the row for it finds no parameter, and its tensor is refused.
const SHARED_NORM: &[Row] = &rows("h.{}.input_layernorm", "h.{}.ln_mlp");
