//! BART: encoder-decoder, post-norm, learned positions.
//!
//! Lewis et al. 2019 (arXiv 1910.13461). Follows transformers 5.23, `modeling_bart.py`.
//! Both stacks are made of the default block of this crate. Their position tables have two rows in front
//! that no token reads, and the language model adds `final_logits_bias`, which does not train.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::encoder_decoder::{
    EncoderDecoder, EncoderDecoderConfig, PositionsConfig, StackConfig, check_start, sequence_labels,
};
use super::heads::span;
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse, token_id};
use crate::heads::LanguageModelConfig;
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace};
use crate::weights::{Row, WeightMap, copy, ignore, linear, norm, one_row};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// PyTorch's default; no configuration names it.
const NORM_EPSILON: f64 = 1e-5;
/// Rows of the position tables in front of a sequence's first token.
const UNUSED_POSITIONS: usize = 2;

/// BART's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BartConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Number of the encoder's layers.
    pub encoder_layers: usize,
    /// Another name of `encoder_layers`, which wins where a file has both, as old ones do.
    pub num_hidden_layers: Option<usize>,
    /// Inner width of the encoder's feed-forward layers.
    pub encoder_ffn_dim: usize,
    /// Attention heads of the encoder's layers; divides `d_model`.
    #[serde(alias = "num_attention_heads")]
    pub encoder_attention_heads: usize,
    /// Number of the decoder's layers.
    pub decoder_layers: usize,
    /// Inner width of the decoder's feed-forward layers.
    pub decoder_ffn_dim: usize,
    /// Attention heads of the decoder's layers; divides `d_model`.
    pub decoder_attention_heads: usize,
    /// Only 0 exists here.
    pub encoder_layerdrop: f64,
    /// Only 0 exists here.
    pub decoder_layerdrop: f64,
    /// Activation of the feed-forward layers.
    pub activation_function: Activation,
    /// Width of the hidden state.
    #[serde(alias = "hidden_size")]
    pub d_model: usize,
    /// Dropout on embeddings and on the output of attention and feed-forward.
    pub dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Dropout after the activation of the feed-forward layers.
    pub activation_dropout: f64,
    /// Standard deviation of newly initialised weights.
    pub init_std: f64,
    /// Dropout before each map of the classification head.
    pub classifier_dropout: f64,
    /// Whether token embeddings are multiplied by the root of `d_model`.
    pub scale_embedding: bool,
    /// The token that decoding begins with.
    pub decoder_start_token_id: Option<u32>,
    /// Ends a text; the classifier reads the last one.
    #[serde(deserialize_with = "token_id")]
    pub eos_token_id: Option<u32>,
    /// Only `false` exists here.
    pub is_decoder: bool,
    /// Only `true` exists here.
    pub is_encoder_decoder: bool,
    /// Only `true` exists here: otherwise each stack has a token embedding of its own.
    pub tie_word_embeddings: bool,
}

impl Default for BartConfig {
    fn default() -> Self {
        Self {
            vocab_size: 50265,
            max_position_embeddings: 1024,
            encoder_layers: 12,
            num_hidden_layers: None,
            encoder_ffn_dim: 4096,
            encoder_attention_heads: 16,
            decoder_layers: 12,
            decoder_ffn_dim: 4096,
            decoder_attention_heads: 16,
            encoder_layerdrop: 0.0,
            decoder_layerdrop: 0.0,
            activation_function: Activation::Gelu,
            d_model: 1024,
            dropout: 0.1,
            attention_dropout: 0.0,
            activation_dropout: 0.0,
            init_std: 0.02,
            classifier_dropout: 0.0,
            scale_embedding: false,
            decoder_start_token_id: Some(2),
            eos_token_id: Some(2),
            is_decoder: false,
            is_encoder_decoder: true,
            tie_word_embeddings: true,
        }
    }
}

impl BartConfig {
    fn stack(&self, layers: usize, heads: usize, ffn: usize, is_decoder: bool) -> StackConfig {
        let norm = NormConfig::layer(self.d_model, NORM_EPSILON);
        let attention = AttentionConfig::new(self.d_model, heads, self.attention_dropout);
        StackConfig {
            embedding_scale: if self.scale_embedding { (self.d_model as f64).sqrt() } else { 1.0 },
            positions: Some(PositionsConfig {
                rows: self.max_position_embeddings + UNUSED_POSITIONS,
                first: UNUSED_POSITIONS,
            }),
            embedding_norm: Some(norm),
            buckets: None,
            layers,
            block: BlockConfig {
                cross_attention: is_decoder.then(|| attention.clone()),
                attention: if is_decoder { attention.causal() } else { attention },
                ffn: FeedForwardConfig {
                    dropout: self.activation_dropout,
                    ..FeedForwardConfig::new(self.d_model, ffn, self.activation_function)
                },
                norm,
                norm_place: NormPlace::After,
                dropout: self.dropout,
            },
            final_norm: None,
            dropout: self.dropout,
        }
    }

    fn check_sizes(&self) -> Result<(), ModelError> {
        check_sizes(
            MOST_ROWS,
            &[("vocab_size", self.vocab_size), ("max_position_embeddings", self.max_position_embeddings)],
        )?;
        check_sizes(
            MOST_WIDTH,
            &[
                ("d_model", self.d_model),
                ("encoder_ffn_dim", self.encoder_ffn_dim),
                ("decoder_ffn_dim", self.decoder_ffn_dim),
            ],
        )?;
        check_sizes(
            MOST_LAYERS,
            &[
                ("encoder_layers", self.encoder_layers),
                ("num_hidden_layers", self.num_hidden_layers.unwrap_or(self.encoder_layers)),
                ("decoder_layers", self.decoder_layers),
            ],
        )?;
        check_dropout(&[
            ("dropout", self.dropout),
            ("attention_dropout", self.attention_dropout),
            ("activation_dropout", self.activation_dropout),
            ("classifier_dropout", self.classifier_dropout),
        ])
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let language =
            LanguageModelConfig { fixed_bias: true, ..LanguageModelConfig::plain(self.vocab_size, true) };
        vec![
            HeadFacts::new("BartForConditionalGeneration", HeadKind::Seq2SeqLm(language), LANGUAGE_MODEL),
            sequence_labels("BartForSequenceClassification", self.classifier_dropout, self.eos_token_id),
            span("BartForQuestionAnswering"),
        ]
    }
}

impl Family for BartConfig {
    type Backbone = EncoderDecoder;
    const DROPOUT: DropoutKeys = DropoutKeys { hidden: &["dropout"], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        if self.encoder_layerdrop != 0.0 {
            return refuse("encoder_layerdrop", self.encoder_layerdrop);
        }
        if self.decoder_layerdrop != 0.0 {
            return refuse("decoder_layerdrop", self.decoder_layerdrop);
        }
        if self.is_decoder {
            return refuse("is_decoder", true);
        }
        if !self.is_encoder_decoder {
            return refuse("is_encoder_decoder", false);
        }
        if !self.tie_word_embeddings {
            return refuse("tie_word_embeddings", false);
        }
        check_start(self.decoder_start_token_id, self.vocab_size)?;
        self.check_sizes()?;
        check_heads("encoder_attention_heads", self.encoder_attention_heads, "d_model", self.d_model)?;
        check_heads("decoder_attention_heads", self.decoder_attention_heads, "d_model", self.d_model)
    }

    fn init(&self, parts: Parts, device: &Device) -> EncoderDecoder {
        let encoder_layers = self.num_hidden_layers.unwrap_or(self.encoder_layers);
        let encoder = self.stack(encoder_layers, self.encoder_attention_heads, self.encoder_ffn_dim, false);
        let decoder =
            self.stack(self.decoder_layers, self.decoder_attention_heads, self.decoder_ffn_dim, true);
        let config = EncoderDecoderConfig {
            vocab_size: self.vocab_size,
            hidden: self.d_model,
            encoder,
            decoder: parts.decoder.then_some(decoder),
            decoder_start: self.decoder_start_token_id.unwrap_or_default(),
        };
        EncoderDecoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WeightMap { prefix: "model.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: &[],
            initializer_range: self.init_std,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_position_embeddings },
        }
    }
}

/// Where each tensor of a checkpoint goes.
const ROWS: &[Row] = &[
    copy("shared.weight", "token_embedding.weight"),
    ignore("encoder.embed_tokens.weight"), // The same as `shared.weight`, in old files.
    ignore("decoder.embed_tokens.weight"),
    ignore("encoder.version"), // fairseq's.
    ignore("decoder.version"),
    copy("encoder.embed_positions.weight", "encoder.position_embedding.weight"),
    norm("encoder.layernorm_embedding", "encoder.embedding_norm"),
    linear("encoder.layers.{}.self_attn.q_proj", "encoder.layers.{}.attention.query"),
    linear("encoder.layers.{}.self_attn.k_proj", "encoder.layers.{}.attention.key"),
    linear("encoder.layers.{}.self_attn.v_proj", "encoder.layers.{}.attention.value"),
    linear("encoder.layers.{}.self_attn.out_proj", "encoder.layers.{}.attention.output"),
    norm("encoder.layers.{}.self_attn_layer_norm", "encoder.layers.{}.attention_norm"),
    linear("encoder.layers.{}.fc1", "encoder.layers.{}.ffn.inner"),
    linear("encoder.layers.{}.fc2", "encoder.layers.{}.ffn.outer"),
    norm("encoder.layers.{}.final_layer_norm", "encoder.layers.{}.ffn_norm"),
    copy("decoder.embed_positions.weight", "decoder.position_embedding.weight"),
    norm("decoder.layernorm_embedding", "decoder.embedding_norm"),
    linear("decoder.layers.{}.self_attn.q_proj", "decoder.layers.{}.attention.query"),
    linear("decoder.layers.{}.self_attn.k_proj", "decoder.layers.{}.attention.key"),
    linear("decoder.layers.{}.self_attn.v_proj", "decoder.layers.{}.attention.value"),
    linear("decoder.layers.{}.self_attn.out_proj", "decoder.layers.{}.attention.output"),
    norm("decoder.layers.{}.self_attn_layer_norm", "decoder.layers.{}.attention_norm"),
    linear("decoder.layers.{}.encoder_attn.q_proj", "decoder.layers.{}.cross_attention.query"),
    linear("decoder.layers.{}.encoder_attn.k_proj", "decoder.layers.{}.cross_attention.key"),
    linear("decoder.layers.{}.encoder_attn.v_proj", "decoder.layers.{}.cross_attention.value"),
    linear("decoder.layers.{}.encoder_attn.out_proj", "decoder.layers.{}.cross_attention.output"),
    norm("decoder.layers.{}.encoder_attn_layer_norm", "decoder.layers.{}.cross_attention_norm"),
    linear("decoder.layers.{}.fc1", "decoder.layers.{}.ffn.inner"),
    linear("decoder.layers.{}.fc2", "decoder.layers.{}.ffn.outer"),
    norm("decoder.layers.{}.final_layer_norm", "decoder.layers.{}.ffn_norm"),
];

const LANGUAGE_MODEL: &[Row] = &[
    linear("lm_head", "head.output"), // In old files; the token embedding.
    one_row("final_logits_bias", "head.fixed_bias"),
];
