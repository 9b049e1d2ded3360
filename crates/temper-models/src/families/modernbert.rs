//! ModernBERT: encoder-only, rotary positions, gated feed-forward layers, norms before the sub-layers; most layers see a
//! window around each token alone.
//!
//! Warner et al. 2024 (arXiv 2412.13663). Follows transformers 5.23, `modeling_modernbert.py`. The first layer's attention
//! has no norm, since the embeddings have one; layers with and without a window turn queries and keys by frequencies of
//! their own; every head transforms the hidden state first.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decoder::{Decoder, DecoderConfig};
use super::layer_types::{LayerType, RopeByLayer, check_layer_types};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse};
use crate::heads::{ClassifierConfig, LanguageModelConfig, TransformConfig};
use crate::layers::{
    AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace, RopeConfig, RopeParameters,
    Rotary,
};
use crate::weights::{Fusion, Row, WeightMap, copy, fused_linear, fused_pair, linear, matrix, norm};
use crate::{
    Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts, Rows,
};

/// Numbers of the rotations of layers without and with a window.
const GLOBAL: usize = 0;
const LOCAL: usize = 1;

/// What a classifier of sequences reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassifierPooling {
    /// The first token.
    Cls,
    /// The mean over all tokens.
    Mean,
}

/// ModernBERT's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModernBertConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Inner width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Activation of the gate.
    pub hidden_activation: Activation,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// New weights lie within so many standard deviations; 3 where it is `null`.
    pub initializer_cutoff_factor: Option<f64>,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Whether norms have a bias.
    pub norm_bias: bool,
    /// Whether the maps of attention have a bias.
    pub attention_bias: bool,
    /// Dropout on the attention weights and on what attention adds.
    pub attention_dropout: f64,
    /// What each layer sees.
    pub layer_types: Option<Vec<LayerType>>,
    /// Without `layer_types`, every n-th layer has no window, from the first on.
    pub global_attn_every_n_layers: usize,
    /// Rotations.
    pub rope_parameters: Option<RopeByLayer>,
    /// The base of the frequencies of layers without a window, where `rope_parameters` does not name it.
    pub global_rope_theta: f64,
    /// The same of layers with a window.
    pub local_rope_theta: f64,
    /// Only `null` exists here.
    pub rope_scaling: Value,
    /// A layer with a window sees half as many tokens on each side.
    pub local_attention: usize,
    /// Dropout on the embeddings.
    pub embedding_dropout: f64,
    /// Whether the maps of the feed-forward layer have a bias.
    pub mlp_bias: bool,
    /// Dropout inside the feed-forward layer.
    pub mlp_dropout: f64,
    /// Whether the map to the vocabulary has a bias.
    pub decoder_bias: bool,
    /// What a classifier of sequences reads.
    pub classifier_pooling: ClassifierPooling,
    /// Dropout before a head's last map.
    pub classifier_dropout: f64,
    /// Whether a head's first map has a bias.
    pub classifier_bias: bool,
    /// After a head's first map.
    pub classifier_activation: Activation,
    /// Whether the masked language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for ModernBertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 50368,
            hidden_size: 768,
            intermediate_size: 1152,
            num_hidden_layers: 22,
            num_attention_heads: 12,
            hidden_activation: Activation::Gelu,
            max_position_embeddings: 8192,
            initializer_range: 0.02,
            initializer_cutoff_factor: Some(2.0),
            norm_eps: 1e-5,
            norm_bias: false,
            attention_bias: false,
            attention_dropout: 0.0,
            layer_types: None,
            global_attn_every_n_layers: 3,
            rope_parameters: None,
            global_rope_theta: 160_000.0,
            local_rope_theta: 10_000.0,
            rope_scaling: Value::Null,
            local_attention: 128,
            embedding_dropout: 0.0,
            mlp_bias: false,
            mlp_dropout: 0.0,
            decoder_bias: true,
            classifier_pooling: ClassifierPooling::Cls,
            classifier_dropout: 0.0,
            classifier_bias: false,
            classifier_activation: Activation::Gelu,
            tie_word_embeddings: true,
        }
    }
}

impl ModernBertConfig {
    fn layer_type(&self, layer: usize) -> LayerType {
        match &self.layer_types {
            Some(types) => types.get(layer).copied().unwrap_or(LayerType::FullAttention),
            None if layer.is_multiple_of(self.global_attn_every_n_layers) => LayerType::FullAttention,
            None => LayerType::SlidingAttention,
        }
    }

    /// The rotations of layers without and with a window.
    fn rotary(&self) -> Result<Vec<Rotary>, ModelError> {
        let given = self.rope_parameters.clone().unwrap_or_default();
        let kinds = [
            (given.full_attention, self.global_rope_theta),
            (given.sliding_attention, self.local_rope_theta),
        ];
        let rotary = |(parameters, theta): (Option<RopeParameters>, f64)| {
            let rope =
                RopeConfig { rope_parameters: parameters, rope_theta: Some(theta), ..RopeConfig::default() };
            rope.rotary(self.hidden_size / self.num_attention_heads, self.max_position_embeddings)
        };
        kinds.into_iter().map(rotary).collect()
    }

    fn norm(&self) -> NormConfig {
        NormConfig::layer(self.hidden_size, self.norm_eps).with_bias(self.norm_bias)
    }

    fn block(&self, layer: usize) -> BlockConfig {
        let slides = self.layer_type(layer) == LayerType::SlidingAttention;
        let plain = AttentionConfig::new(self.hidden_size, self.num_attention_heads, self.attention_dropout);
        let mut attention = AttentionConfig {
            bias: self.attention_bias,
            output_bias: self.attention_bias,
            residual_dropout: Some(self.attention_dropout),
            ..plain.rotated(if slides { LOCAL } else { GLOBAL })
        };
        // The token itself and half a window on each side.
        attention.pattern.window = slides.then_some(self.local_attention / 2 + 1);
        BlockConfig {
            attention,
            cross_attention: None,
            ffn: FeedForwardConfig {
                gated: true,
                bias: self.mlp_bias,
                dropout: self.mlp_dropout,
                ..FeedForwardConfig::new(self.hidden_size, self.intermediate_size, self.hidden_activation)
            },
            norm: self.norm(),
            norm_place: if layer == 0 { NormPlace::BeforeFeedForward } else { NormPlace::Before },
            dropout: 0.0,
        }
    }

    /// Standard deviation of the maps that give what is added.
    fn of_outputs(&self) -> f64 {
        self.initializer_range / (2.0 * self.num_hidden_layers as f64).sqrt()
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let transform = Some(TransformConfig {
            bias: self.classifier_bias,
            norm_bias: self.norm_bias,
            ..TransformConfig::normed(self.classifier_activation, self.norm_eps)
        });
        let (dropout, mean) = (self.classifier_dropout, self.classifier_pooling == ClassifierPooling::Mean);
        let rows = if mean { Rows::All } else { Rows::First };
        let sequences = HeadKind::SequenceClassification(ClassifierConfig {
            rows,
            mean,
            transform,
            ..ClassifierConfig::first_token(dropout)
        });
        let plain = LanguageModelConfig::plain(self.vocab_size, self.tie_word_embeddings);
        let masked = HeadKind::MaskedLm(LanguageModelConfig { bias: self.decoder_bias, transform, ..plain });
        let tokens = HeadKind::TokenClassification { dropout, transform };
        let spans = HeadKind::QuestionAnswering { dropout, transform };
        let deviation = (self.hidden_size as f64).powf(-0.5);
        vec![
            HeadFacts::new("ModernBertForSequenceClassification", sequences, LABELS).drawn_with(deviation),
            HeadFacts::new("ModernBertForTokenClassification", tokens, LABELS).drawn_with(deviation),
            HeadFacts::new("ModernBertForQuestionAnswering", spans, LABELS).drawn_with(deviation),
            HeadFacts::new("ModernBertForMaskedLM", masked, MASKED).drawn_with(self.of_outputs()),
        ]
    }
}

impl Family for ModernBertConfig {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["embedding_dropout", "mlp_dropout"], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        if !self.rope_scaling.is_null() {
            return refuse("rope_scaling", &self.rope_scaling);
        }
        check_sizes(
            MOST_ROWS,
            &[
                ("vocab_size", self.vocab_size),
                ("max_position_embeddings", self.max_position_embeddings),
                ("local_attention", self.local_attention),
                ("global_attn_every_n_layers", self.global_attn_every_n_layers),
            ],
        )?;
        let inner = self.intermediate_size;
        check_sizes(MOST_WIDTH, &[("hidden_size", self.hidden_size), ("intermediate_size", inner)])?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", self.num_hidden_layers)])?;
        check_dropout(&[
            ("attention_dropout", self.attention_dropout),
            ("embedding_dropout", self.embedding_dropout),
            ("mlp_dropout", self.mlp_dropout),
            ("classifier_dropout", self.classifier_dropout),
        ])?;
        check_heads("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        check_layer_types(self.layer_types.as_deref(), self.num_hidden_layers)?;
        self.rotary().map(drop)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = (0..self.num_hidden_layers).map(|layer| self.block(layer));
        let config = DecoderConfig {
            embedding_norm: Some(self.norm()),
            embedding_dropout: self.embedding_dropout,
            rotary: self.rotary().expect("`validate` refuses other rotary positions"),
            final_norm: Some(self.norm()),
            ..DecoderConfig::new(self.vocab_size, self.hidden_size, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WeightMap { prefix: "model.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: &[],
            initializer_range: self.initializer_range,
            initial: ["attention.output.weight", "ffn.outer.weight", "head.dense.weight"]
                .map(|path| (path, self.of_outputs()))
                .into(),
            cutoff: Some(self.initializer_cutoff_factor.unwrap_or(3.0)),
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_position_embeddings },
        }
    }
}

/// Where each tensor of a checkpoint goes.
const ROWS: &[Row] = &[
    copy("embeddings.tok_embeddings.weight", "token_embedding.weight"),
    norm("embeddings.norm", "embedding_norm"),
    norm("layers.{}.attn_norm", "layers.{}.attention_norm"),
    fused_linear(
        "layers.{}.attn.Wqkv",
        ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
        Fusion::Blocks,
    ),
    linear("layers.{}.attn.Wo", "layers.{}.attention.output"),
    norm("layers.{}.mlp_norm", "layers.{}.ffn_norm"),
    fused_pair("layers.{}.mlp.Wi", ["layers.{}.ffn.gate", "layers.{}.ffn.inner"]),
    linear("layers.{}.mlp.Wo", "layers.{}.ffn.outer"),
    norm("final_norm", "final_norm"),
];

const LABELS: &[Row] = &[
    linear("head.dense", "head.dense"),
    norm("head.norm", "head.norm"),
    linear("classifier", "head.output"),
];
const MASKED: &[Row] = &[
    linear("head.dense", "head.dense"),
    norm("head.norm", "head.norm"),
    matrix("decoder.weight", "head.output.weight"), // Mostly the token embedding.
    copy("decoder.bias", "head.bias"),
];
