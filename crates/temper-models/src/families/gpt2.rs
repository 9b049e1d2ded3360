//! GPT-2: decoder-only, pre-norm, learned positions, a norm after the last layer.
//!
//! Radford et al. 2019 (Language Models are Unsupervised Multitask Learners). Follows transformers 5.23,
//! `modeling_gpt2.py`. Its blocks are the default ones, causal and with the norm first; what is its own are
//! two switches of the attention's scale.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels, span, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse, token_id};
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace};
use crate::weights::{Row, WeightMap, conv1d, copy, foreign, fused_conv1d, ignore, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, ModelError, Parts};

/// GPT-2's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpt2Config {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding: the longest sequence.
    #[serde(alias = "max_position_embeddings")]
    pub n_positions: usize,
    /// Width of the hidden state.
    #[serde(alias = "hidden_size")]
    pub n_embd: usize,
    /// Number of layers.
    #[serde(alias = "num_hidden_layers")]
    pub n_layer: usize,
    /// Attention heads a layer; divides `n_embd`.
    #[serde(alias = "num_attention_heads")]
    pub n_head: usize,
    /// Inner width of the feed-forward layer; four times `n_embd` when absent.
    pub n_inner: Option<usize>,
    /// Activation of the feed-forward layer.
    pub activation_function: Activation,
    /// Dropout on the output of attention and feed-forward.
    pub resid_pdrop: f64,
    /// Dropout on embeddings.
    pub embd_pdrop: f64,
    /// Dropout on the attention weights.
    pub attn_pdrop: f64,
    /// Added to the variance in norms.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Whether scores are divided by the root of a head's width.
    pub scale_attn_weights: bool,
    /// Whether they are also divided by the layer's number, counted from 1.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Whether scores are f32; here they always are.
    pub reorder_and_upcast_attn: bool,
    /// Only `false` exists here.
    pub add_cross_attention: bool,
    /// Dropout before the labels of tokens.
    pub classifier_dropout: Option<f64>,
    /// The same, where the other is absent; 0.1 without both.
    pub hidden_dropout: Option<f64>,
    /// Id that fills up a batch; the classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Whether the language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for Gpt2Config {
    fn default() -> Self {
        Self {
            vocab_size: 50257,
            n_positions: 1024,
            n_embd: 768,
            n_layer: 12,
            n_head: 12,
            n_inner: None,
            activation_function: Activation::GeluTanh,
            resid_pdrop: 0.1,
            embd_pdrop: 0.1,
            attn_pdrop: 0.1,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            reorder_and_upcast_attn: false,
            add_cross_attention: false,
            classifier_dropout: None,
            hidden_dropout: None,
            pad_token_id: None,
            tie_word_embeddings: true,
        }
    }
}

impl Gpt2Config {
    fn head_dropout(&self) -> f64 {
        self.classifier_dropout.or(self.hidden_dropout).unwrap_or(0.1)
    }

    fn norm(&self) -> NormConfig {
        NormConfig::layer(self.n_embd, self.layer_norm_epsilon)
    }

    fn block(&self, layer: usize) -> BlockConfig {
        let mut attention = AttentionConfig::new(self.n_embd, self.n_head, self.attn_pdrop).causal();
        if !self.scale_attn_weights {
            attention.pattern.scale = 1.0;
        }
        if self.scale_attn_by_inverse_layer_idx {
            attention.pattern.scale /= (layer + 1) as f32;
        }
        let inner = self.n_inner.unwrap_or(4 * self.n_embd);
        BlockConfig {
            attention,
            cross_attention: None,
            ffn: FeedForwardConfig::new(self.n_embd, inner, self.activation_function),
            norm: self.norm(),
            norm_place: NormPlace::Before,
            dropout: self.resid_pdrop,
        }
    }
}

impl Family for Gpt2Config {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["resid_pdrop", "embd_pdrop"], attention: &["attn_pdrop"] };

    fn validate(&self) -> Result<(), ModelError> {
        if self.add_cross_attention {
            return refuse("add_cross_attention", true);
        }
        check_sizes(MOST_ROWS, &[("vocab_size", self.vocab_size), ("n_positions", self.n_positions)])?;
        let inner = self.n_inner.unwrap_or(self.n_embd);
        check_sizes(MOST_WIDTH, &[("n_embd", self.n_embd), ("n_inner", inner)])?;
        check_sizes(MOST_LAYERS, &[("n_layer", self.n_layer)])?;
        check_dropout(&[
            ("resid_pdrop", self.resid_pdrop),
            ("embd_pdrop", self.embd_pdrop),
            ("attn_pdrop", self.attn_pdrop),
            ("classifier_dropout", self.head_dropout()),
        ])?;
        check_heads("n_head", self.n_head, "n_embd", self.n_embd)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = (0..self.n_layer).map(|layer| self.block(layer));
        let config = DecoderConfig {
            positions: Some(self.n_positions),
            embedding_dropout: self.embd_pdrop,
            final_norm: Some(self.norm()),
            ..DecoderConfig::new(self.vocab_size, self.n_embd, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let dropout = self.head_dropout();
        FamilyFacts {
            weights: WEIGHTS,
            heads: vec![
                sequence_labels("GPT2ForSequenceClassification", self.pad_token_id),
                token_labels("GPT2ForTokenClassification", dropout),
                span("GPT2ForQuestionAnswering"),
                next_token("GPT2LMHeadModel", self.vocab_size, self.tie_word_embeddings),
            ],
            foreign: OTHER_HEADS,
            initializer_range: self.initializer_range,
            initial: RESIDUAL
                .map(|end| (end, self.initializer_range / (2.0 * self.n_layer as f64).sqrt()))
                .into(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.n_positions },
        }
    }
}

/// Where each tensor of a checkpoint goes.
/// Maps whose output is added to the residual stream: so many of them that they are drawn with a smaller deviation.
const RESIDUAL: [&str; 2] = ["attention.output.weight", "ffn.outer.weight"];

const WEIGHTS: WeightMap = WeightMap {
    prefix: "transformer.",
    groups: 1,
    rows: &[
        copy("wte.weight", "token_embedding.weight"),
        copy("wpe.weight", "position_embedding.weight"),
        norm("h.{}.ln_1", "layers.{}.attention_norm"),
        fused_conv1d(
            "h.{}.attn.c_attn",
            ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
        ),
        conv1d("h.{}.attn.c_proj", "layers.{}.attention.output"),
        ignore("h.{}.attn.bias"),        // The causal mask: a buffer of old versions.
        ignore("h.{}.attn.masked_bias"), // What it put in place of a score.
        norm("h.{}.ln_2", "layers.{}.ffn_norm"),
        conv1d("h.{}.mlp.c_fc", "layers.{}.ffn.inner"),
        conv1d("h.{}.mlp.c_proj", "layers.{}.ffn.outer"),
        norm("ln_f", "final_norm"),
    ],
};

/// The second head of `GPT2DoubleHeadsModel`.
const OTHER_HEADS: &[Row] = &[foreign("multiple_choice_head.*")];
