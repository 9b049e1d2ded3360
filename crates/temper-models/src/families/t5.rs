//! T5: encoder-decoder, pre-norm without biases and means, learned biases for relative positions.
//!
//! Raffel et al. 2019 (arXiv 1910.10683); version 1.1 and Flan-T5 (Chung et al. 2022, arXiv 2210.11416)
//! gate the feed-forward layers. Follows transformers 5.23, `modeling_t5.py`.
//! Its own are: attention scores are not scaled, a table of biases a stack that all its layers add to the
//! scores of self-attention, dropout after the final norms. The output map is the token embedding unless
//! the checkpoint has another.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::Value;
use temper_kernels::AttentionHeads;

use super::encoder_decoder::{
    EncoderDecoder, EncoderDecoderConfig, StackConfig, check_start, sequence_labels,
};
use super::heads::{span, token_labels};
use super::{MOST_HEADS, MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_sizes, refuse, token_id};
use crate::heads::LanguageModelConfig;
use crate::layers::{
    AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace, relative_buckets,
};
use crate::weights::{Row, WeightMap, copy, ignore, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// T5's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct T5Config {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    #[serde(alias = "hidden_size")]
    pub d_model: usize,
    /// Width of an attention head.
    #[serde(alias = "head_dim")]
    pub d_kv: usize,
    /// Inner width of the feed-forward layers.
    pub d_ff: usize,
    /// Number of the encoder's layers.
    #[serde(alias = "num_hidden_layers")]
    pub num_layers: usize,
    /// Number of the decoder's layers; `num_layers` when absent.
    pub num_decoder_layers: Option<usize>,
    /// Attention heads a layer.
    #[serde(alias = "num_attention_heads")]
    pub num_heads: usize,
    /// Rows of a table of relative biases.
    pub relative_attention_num_buckets: usize,
    /// From this distance on there is one bias.
    pub relative_attention_max_distance: usize,
    /// Dropout everywhere but in the classification heads.
    pub dropout_rate: f64,
    /// Added to the mean square in norms.
    pub layer_norm_epsilon: f64,
    /// Multiplies newly initialised weights.
    pub initializer_factor: f64,
    /// Activation of the feed-forward layers, and whether they are gated.
    pub feed_forward_proj: Projection,
    /// Overrules the activation of `feed_forward_proj`.
    pub dense_act_fn: Option<Activation>,
    /// Overrules whether `feed_forward_proj` is gated.
    pub is_gated_act: Option<bool>,
    /// Dropout before the maps of the classification heads.
    pub classifier_dropout: f64,
    /// The token that decoding begins with.
    pub decoder_start_token_id: Option<u32>,
    /// Ends a text; the classifier reads the last one.
    #[serde(deserialize_with = "token_id")]
    pub eos_token_id: Option<u32>,
    /// Says nothing about tying; see `scale_decoder_outputs`.
    pub tie_word_embeddings: Option<bool>,
    /// Whether the language model divides the hidden state by the root of `d_model`; when absent, unless
    /// `tie_word_embeddings` is `false`.
    pub scale_decoder_outputs: Option<bool>,
    /// Only `false` exists here.
    pub is_decoder: bool,
    /// False for an encoder alone.
    pub is_encoder_decoder: bool,
}

impl Default for T5Config {
    fn default() -> Self {
        Self {
            vocab_size: 32128,
            d_model: 512,
            d_kv: 64,
            d_ff: 2048,
            num_layers: 6,
            num_decoder_layers: None,
            num_heads: 8,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            dropout_rate: 0.1,
            layer_norm_epsilon: 1e-6,
            initializer_factor: 1.0,
            feed_forward_proj: Projection { activation: Activation::Relu, gated: false },
            dense_act_fn: None,
            is_gated_act: None,
            classifier_dropout: 0.0,
            decoder_start_token_id: None,
            eos_token_id: Some(1),
            tie_word_embeddings: None,
            scale_decoder_outputs: None,
            is_decoder: false,
            is_encoder_decoder: true,
        }
    }
}

/// `feed_forward_proj`: the name of an activation, `gated-` before it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Projection {
    /// Between the two maps.
    pub activation: Activation,
    /// Whether a second map gates the first.
    pub gated: bool,
}

impl TryFrom<String> for Projection {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // "gelu" alone is the exact form; gated, transformers takes it for the other one.
        if text == "gated-gelu" {
            return Ok(Self { activation: Activation::GeluTanh, gated: true });
        }
        let (name, gated) = match text.strip_prefix("gated-") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let activation = serde_json::from_value(Value::from(name));
        let activation = activation.map_err(|error| format!("{text}: {error}"))?;
        Ok(Self { activation, gated })
    }
}

impl T5Config {
    fn check_sizes(&self) -> Result<(), ModelError> {
        check_sizes(MOST_ROWS, &[("vocab_size", self.vocab_size)])?;
        check_sizes(
            MOST_WIDTH,
            &[
                ("d_model", self.d_model),
                ("d_ff", self.d_ff),
                ("d_kv", self.d_kv),
                ("relative_attention_num_buckets", self.relative_attention_num_buckets),
                ("relative_attention_max_distance", self.relative_attention_max_distance),
            ],
        )?;
        check_sizes(MOST_HEADS, &[("num_heads", self.num_heads)])?;
        let decoder_layers = self.num_decoder_layers.unwrap_or(self.num_layers);
        check_sizes(MOST_LAYERS, &[("num_layers", self.num_layers), ("num_decoder_layers", decoder_layers)])?;
        check_dropout(&[("dropout_rate", self.dropout_rate), ("classifier_dropout", self.classifier_dropout)])
    }

    fn is_gated(&self) -> bool {
        self.is_gated_act.unwrap_or(self.feed_forward_proj.gated)
    }

    fn stack(&self, layers: usize, is_decoder: bool) -> StackConfig {
        let (hidden, heads) = (self.d_model, self.num_heads);
        let norm = NormConfig::rms(hidden, self.layer_norm_epsilon);
        let mut plain = AttentionConfig {
            heads: AttentionHeads { query_heads: heads, key_heads: heads, head: self.d_kv },
            bias: false,
            output_bias: false,
            ..AttentionConfig::new(hidden, heads, self.dropout_rate)
        };
        plain.pattern.scale = 1.0;
        let mut attention = if is_decoder { plain.clone().causal() } else { plain.clone() };
        let (buckets, reach) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        attention.pattern.relative = Some(relative_buckets(buckets, reach, is_decoder));
        let activation = self.dense_act_fn.unwrap_or(self.feed_forward_proj.activation);
        StackConfig {
            embedding_scale: 1.0,
            positions: None,
            embedding_norm: None,
            buckets: Some(self.relative_attention_num_buckets),
            layers,
            block: BlockConfig {
                attention,
                cross_attention: is_decoder.then_some(plain),
                ffn: FeedForwardConfig {
                    gated: self.is_gated(),
                    bias: false,
                    dropout: self.dropout_rate,
                    ..FeedForwardConfig::new(hidden, self.d_ff, activation)
                },
                norm,
                norm_place: NormPlace::Before,
                dropout: self.dropout_rate,
            },
            final_norm: Some(norm),
            dropout: self.dropout_rate,
        }
    }

    /// Attention has no factor on its scores: the map of queries is drawn as if it had.
    fn initial(&self) -> Vec<(&'static str, f64)> {
        let deviation = |inputs: usize| self.initializer_factor * (inputs as f64).powf(-0.5);
        vec![
            ("attention.query.weight", deviation(self.d_model * self.d_kv)),
            ("attention.output.weight", deviation(self.num_heads * self.d_kv)),
            ("ffn.outer.weight", deviation(self.d_ff)),
            ("token_embedding.weight", self.initializer_factor),
        ]
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let is_scaled = self.scale_decoder_outputs.unwrap_or(self.tie_word_embeddings != Some(false));
        let scale = if is_scaled { (self.d_model as f64).powf(-0.5) } else { 1.0 };
        let language = LanguageModelConfig { scale, ..LanguageModelConfig::plain(self.vocab_size, true) };
        let (language, dropout) = (HeadKind::Seq2SeqLm(language), self.classifier_dropout);
        let factor = self.initializer_factor;
        vec![
            HeadFacts::new("T5ForConditionalGeneration", language.clone(), LANGUAGE_MODEL).drawn_with(factor),
            HeadFacts::new("T5WithLMHeadModel", language, LANGUAGE_MODEL).drawn_with(factor), // Its name in old files.
            sequence_labels("T5ForSequenceClassification", dropout, self.eos_token_id).under("transformer."),
            token_labels("T5ForTokenClassification", dropout)
                .under("transformer.")
                .over(Parts::ENCODER)
                .drawn_with(factor),
            span("T5ForQuestionAnswering"),
        ]
    }
}

impl Family for T5Config {
    type Backbone = EncoderDecoder;
    const DROPOUT: DropoutKeys = DropoutKeys { hidden: &["dropout_rate"], attention: &[] };
    const NEEDED: &'static [(&'static str, &'static str)] = &[("decoder_start_token_id", "0")];

    fn validate(&self) -> Result<(), ModelError> {
        if self.is_decoder {
            return refuse("is_decoder", true);
        }
        if self.is_encoder_decoder {
            check_start(self.decoder_start_token_id, self.vocab_size)?;
        }
        self.check_sizes()?;
        let (buckets, reach) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        if buckets < 4 || reach <= buckets / 2 {
            let reason = format!("{buckets} buckets of relative positions do not fit a distance of {reach}");
            return Err(ModelError::Config { reason });
        }
        Ok(())
    }

    fn init(&self, parts: Parts, device: &Device) -> EncoderDecoder {
        let decoder_layers = self.num_decoder_layers.unwrap_or(self.num_layers);
        let config = EncoderDecoderConfig {
            vocab_size: self.vocab_size,
            hidden: self.d_model,
            encoder: self.stack(self.num_layers, false),
            decoder: parts.decoder.then(|| self.stack(decoder_layers, true)),
            decoder_start: self.decoder_start_token_id.unwrap_or_default(),
        };
        EncoderDecoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let rows = if self.is_gated() { GATED } else { PLAIN };
        FamilyFacts {
            weights: WeightMap { prefix: "", groups: 1, rows },
            heads: self.heads(),
            foreign: &[],
            initializer_range: self.initializer_factor * (self.d_model as f64).powf(-0.5),
            initial: self.initial(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: usize::MAX },
        }
    }
}

/// Where each tensor of a checkpoint goes; `inner` names the inner maps of both stacks.
const fn rows(inner: [&'static str; 2]) -> [Row; 31] {
    [
        copy("shared.weight", "token_embedding.weight"),
        ignore("encoder.embed_tokens.weight"), // The same as `shared.weight`, in old files.
        ignore("decoder.embed_tokens.weight"),
        linear("encoder.block.{}.layer.0.SelfAttention.q", "encoder.layers.{}.attention.query"),
        linear("encoder.block.{}.layer.0.SelfAttention.k", "encoder.layers.{}.attention.key"),
        linear("encoder.block.{}.layer.0.SelfAttention.v", "encoder.layers.{}.attention.value"),
        linear("encoder.block.{}.layer.0.SelfAttention.o", "encoder.layers.{}.attention.output"),
        copy(
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "encoder.relative_bias.weight",
        ),
        norm("encoder.block.{}.layer.0.layer_norm", "encoder.layers.{}.attention_norm"),
        linear(inner[0], "encoder.layers.{}.ffn.inner"),
        linear("encoder.block.{}.layer.1.DenseReluDense.wi_0", "encoder.layers.{}.ffn.gate"),
        linear("encoder.block.{}.layer.1.DenseReluDense.wo", "encoder.layers.{}.ffn.outer"),
        norm("encoder.block.{}.layer.1.layer_norm", "encoder.layers.{}.ffn_norm"),
        norm("encoder.final_layer_norm", "encoder.final_norm"),
        linear("decoder.block.{}.layer.0.SelfAttention.q", "decoder.layers.{}.attention.query"),
        linear("decoder.block.{}.layer.0.SelfAttention.k", "decoder.layers.{}.attention.key"),
        linear("decoder.block.{}.layer.0.SelfAttention.v", "decoder.layers.{}.attention.value"),
        linear("decoder.block.{}.layer.0.SelfAttention.o", "decoder.layers.{}.attention.output"),
        copy(
            "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "decoder.relative_bias.weight",
        ),
        norm("decoder.block.{}.layer.0.layer_norm", "decoder.layers.{}.attention_norm"),
        linear("decoder.block.{}.layer.1.EncDecAttention.q", "decoder.layers.{}.cross_attention.query"),
        linear("decoder.block.{}.layer.1.EncDecAttention.k", "decoder.layers.{}.cross_attention.key"),
        linear("decoder.block.{}.layer.1.EncDecAttention.v", "decoder.layers.{}.cross_attention.value"),
        linear("decoder.block.{}.layer.1.EncDecAttention.o", "decoder.layers.{}.cross_attention.output"),
        // In the first files, and never read.
        ignore("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"),
        norm("decoder.block.{}.layer.1.layer_norm", "decoder.layers.{}.cross_attention_norm"),
        linear(inner[1], "decoder.layers.{}.ffn.inner"),
        linear("decoder.block.{}.layer.2.DenseReluDense.wi_0", "decoder.layers.{}.ffn.gate"),
        linear("decoder.block.{}.layer.2.DenseReluDense.wo", "decoder.layers.{}.ffn.outer"),
        norm("decoder.block.{}.layer.2.layer_norm", "decoder.layers.{}.ffn_norm"),
        norm("decoder.final_layer_norm", "decoder.final_norm"),
    ]
}

const PLAIN: &[Row] =
    &rows(["encoder.block.{}.layer.1.DenseReluDense.wi", "decoder.block.{}.layer.2.DenseReluDense.wi"]);
const GATED: &[Row] =
    &rows(["encoder.block.{}.layer.1.DenseReluDense.wi_1", "decoder.block.{}.layer.2.DenseReluDense.wi_1"]);
const LANGUAGE_MODEL: &[Row] = &[linear("lm_head", "head.output")];
