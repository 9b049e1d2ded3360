//! GPT-Neo: GPT-2 whose layers see all tokens before or only the nearest ones, alternately.
//!
//! Black et al. 2021 (GPT-Neo, Mesh-TensorFlow). Follows transformers 5.23, `modeling_gpt_neo.py`. Scores are
//! not scaled; query, key and value have no bias; local layers see a window.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels, span, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, token_id};
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace};
use crate::weights::{WeightMap, copy, ignore, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, ModelError, Parts};

/// What a layer's attention sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Every token before.
    Global,
    /// The last `window_size` tokens, its own among them.
    Local,
}

/// GPT-Neo's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GptNeoConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    #[serde(alias = "num_hidden_layers")]
    pub num_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    #[serde(alias = "num_attention_heads")]
    pub num_heads: usize,
    /// Kinds of layers and how often they repeat; 12 times global and local when absent.
    pub attention_types: Option<Vec<(Vec<Reach>, usize)>>,
    /// The same written out, one a layer; goes before `attention_types`.
    pub attention_layers: Option<Vec<Reach>>,
    /// Tokens that a local layer sees.
    pub window_size: usize,
    /// Inner width of the feed-forward layer; four times `hidden_size` when absent.
    pub intermediate_size: Option<usize>,
    /// Activation of the feed-forward layer.
    pub activation_function: Activation,
    /// Dropout on the output of attention and feed-forward.
    pub resid_dropout: f64,
    /// Dropout on embeddings.
    pub embed_dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Dropout before the labels of tokens.
    pub classifier_dropout: f64,
    /// Added to the variance in norms.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Id that fills up a batch; the classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Whether the language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for GptNeoConfig {
    fn default() -> Self {
        Self {
            vocab_size: 50257,
            max_position_embeddings: 2048,
            hidden_size: 2048,
            num_layers: 24,
            num_heads: 16,
            attention_types: None,
            attention_layers: None,
            window_size: 256,
            intermediate_size: None,
            activation_function: Activation::GeluTanh,
            resid_dropout: 0.0,
            embed_dropout: 0.0,
            attention_dropout: 0.0,
            classifier_dropout: 0.1,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            pad_token_id: None,
            tie_word_embeddings: true,
        }
    }
}

impl GptNeoConfig {
    /// What each layer sees.
    pub fn reaches(&self) -> Vec<Reach> {
        match (&self.attention_layers, &self.attention_types) {
            (Some(layers), _) => layers.clone(),
            (None, Some(types)) => types.iter().flat_map(|(kinds, times)| kinds.repeat(*times)).collect(),
            (None, None) => [Reach::Global, Reach::Local].repeat(12),
        }
    }

    /// Layers that `attention_layers` or `attention_types` describe, without writing them out.
    fn described_layers(&self) -> usize {
        match (&self.attention_layers, &self.attention_types) {
            (Some(layers), _) => layers.len(),
            (None, Some(types)) => types
                .iter()
                .fold(0, |sum, (kinds, times)| sum.saturating_add(kinds.len().saturating_mul(*times))),
            (None, None) => 24,
        }
    }

    fn norm(&self) -> NormConfig {
        NormConfig::layer(self.hidden_size, self.layer_norm_epsilon)
    }

    fn block(&self, reach: Reach) -> BlockConfig {
        let mut attention = AttentionConfig {
            bias: false,
            ..AttentionConfig::new(self.hidden_size, self.num_heads, self.attention_dropout).causal()
        };
        attention.pattern.scale = 1.0;
        attention.pattern.window = (reach == Reach::Local).then_some(self.window_size);
        let inner = self.intermediate_size.unwrap_or(4 * self.hidden_size);
        BlockConfig {
            attention,
            cross_attention: None,
            ffn: FeedForwardConfig::new(self.hidden_size, inner, self.activation_function),
            norm: self.norm(),
            norm_place: NormPlace::Before,
            dropout: self.resid_dropout,
        }
    }
}

impl Family for GptNeoConfig {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["resid_dropout", "embed_dropout"], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        let wrong = |reason: String| Err(ModelError::Config { reason });
        check_sizes(
            MOST_ROWS,
            &[("vocab_size", self.vocab_size), ("max_position_embeddings", self.max_position_embeddings)],
        )?;
        let inner = self.intermediate_size.unwrap_or(self.hidden_size);
        check_sizes(MOST_WIDTH, &[("hidden_size", self.hidden_size), ("intermediate_size", inner)])?;
        check_sizes(MOST_LAYERS, &[("num_layers", self.num_layers)])?;
        check_dropout(&[
            ("resid_dropout", self.resid_dropout),
            ("embed_dropout", self.embed_dropout),
            ("attention_dropout", self.attention_dropout),
            ("classifier_dropout", self.classifier_dropout),
        ])?;
        let (known, layers) = (self.described_layers(), self.num_layers);
        if known != layers {
            return wrong(format!("attention_types describe {known} layers, num_layers = {layers}"));
        }
        if self.window_size == 0 {
            return wrong("window_size = 0 hides a token from itself".into());
        }
        check_heads("num_heads", self.num_heads, "hidden_size", self.hidden_size)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = self.reaches().into_iter().map(|reach| self.block(reach));
        let config = DecoderConfig {
            positions: Some(self.max_position_embeddings),
            embedding_dropout: self.embed_dropout,
            final_norm: Some(self.norm()),
            ..DecoderConfig::new(self.vocab_size, self.hidden_size, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WEIGHTS,
            heads: vec![
                sequence_labels("GPTNeoForSequenceClassification", self.pad_token_id),
                token_labels("GPTNeoForTokenClassification", self.classifier_dropout),
                span("GPTNeoForQuestionAnswering"),
                next_token("GPTNeoForCausalLM", self.vocab_size, self.tie_word_embeddings),
            ],
            foreign: &[],
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_position_embeddings },
        }
    }
}

/// Where each tensor of a checkpoint goes.
const WEIGHTS: WeightMap = WeightMap {
    prefix: "transformer.",
    groups: 1,
    rows: &[
        copy("wte.weight", "token_embedding.weight"),
        copy("wpe.weight", "position_embedding.weight"),
        norm("h.{}.ln_1", "layers.{}.attention_norm"),
        linear("h.{}.attn.attention.q_proj", "layers.{}.attention.query"),
        linear("h.{}.attn.attention.k_proj", "layers.{}.attention.key"),
        linear("h.{}.attn.attention.v_proj", "layers.{}.attention.value"),
        linear("h.{}.attn.attention.out_proj", "layers.{}.attention.output"),
        ignore("h.{}.attn.attention.bias"), // The causal mask: a buffer of old versions.
        ignore("h.{}.attn.attention.masked_bias"), // What it put in place of a score.
        norm("h.{}.ln_2", "layers.{}.ffn_norm"),
        linear("h.{}.mlp.c_fc", "layers.{}.ffn.inner"),
        linear("h.{}.mlp.c_proj", "layers.{}.ffn.outer"),
        norm("ln_f", "final_norm"),
    ],
};
