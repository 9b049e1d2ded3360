//! LLaMA 1, 2 and 3 and what descends from it: decoder-only, norms before the sub-layers, rotary positions, a gated
//! feed-forward layer.
//!
//! Touvron et al. 2023 (arXiv 2302.13971, 2307.09288), Grattafiori et al. 2024 (arXiv 2407.21783). Follows
//! transformers 5.23, `modeling_llama.py`. From the default block it differs by its norms, which divide by
//! the root mean square, by rotated queries and keys, by the gate, and by heads of keys and values that
//! several heads of queries share. What a descendant has otherwise is its `Variant`, in a file of its own.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use temper_kernels::AttentionHeads;

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels, span, token_scores};
use super::layer_types::{LayerType, check_layer_types};
use super::llama_variant::{LLAMA, Variant};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes};
use super::{add_defaults, refuse, token_id};
use super::{mistral, phi3, qwen2, qwen3};
use crate::layers::{
    AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace, RopeConfig, Rotary,
};
use crate::weights::WeightMap;
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, ModelError, Parts};

/// Fields of [`LlamaConfig`] that not every descendant reads.
const OPTIONAL: &[&str] = &[
    "attention_bias",
    "mlp_bias",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "resid_pdrop",
];

/// The first one stands in for a `model_type` that is not listed.
const VARIANTS: &[&Variant] = &[&LLAMA, &mistral::VARIANT, &phi3::VARIANT, &qwen2::VARIANT, &qwen3::VARIANT];

/// LLaMA's configuration, with Hugging Face's field names and defaults, and what its descendants add.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Fields {
    vocab_size: usize,
    hidden_size: usize,
    /// Inner width of the feed-forward layer.
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    /// `num_attention_heads` when absent.
    num_key_value_heads: Option<usize>,
    /// `hidden_size / num_attention_heads` when absent.
    head_dim: Option<usize>,
    /// Activation of the gate.
    hidden_act: Activation,
    max_position_embeddings: usize,
    initializer_range: f64,
    rms_norm_eps: f64,
    #[serde(flatten)]
    rope: RopeConfig,
    /// Whether query, key, value and output have a bias.
    attention_bias: bool,
    attention_dropout: f64,
    /// Whether the feed-forward layer has biases.
    mlp_bias: bool,
    /// Dropout on what each sub-layer adds.
    resid_pdrop: f64,
    /// Tokens that a layer with a window sees.
    sliding_window: Option<usize>,
    /// Whether there are windows.
    use_sliding_window: bool,
    /// The first layer with a window.
    max_window_layers: usize,
    /// What each layer sees; goes before `max_window_layers`.
    layer_types: Option<Vec<LayerType>>,
    /// The classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pad_token_id: Option<u32>,
    tie_word_embeddings: bool,
    /// Dropout before the classifier of tokens.
    classifier_dropout: Option<f64>,
    /// The same, where `classifier_dropout` is absent; nothing else reads it.
    hidden_dropout: Option<f64>,
    /// Only `true` exists here.
    token_classification_bias: bool,
    /// Only `true` exists here.
    is_causal: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            vocab_size: 32000,
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: Activation::Silu,
            max_position_embeddings: 2048,
            initializer_range: 0.02,
            rms_norm_eps: 1e-6,
            rope: RopeConfig::default(),
            attention_bias: false,
            attention_dropout: 0.0,
            mlp_bias: false,
            resid_pdrop: 0.0,
            sliding_window: None,
            use_sliding_window: true,
            max_window_layers: 0,
            layer_types: None,
            pad_token_id: None,
            tie_word_embeddings: false,
            classifier_dropout: None,
            hidden_dropout: None,
            token_classification_bias: true,
            is_causal: true,
        }
    }
}

/// The configuration of LLaMA or of a descendant.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct LlamaConfig {
    fields: Fields,
    variant: &'static Variant,
}

impl TryFrom<Map<String, Value>> for LlamaConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        let named = |variant: &&Variant| raw.get("model_type").is_some_and(|name| name == variant.model_type);
        let variant = VARIANTS.iter().copied().find(named).unwrap_or(VARIANTS[0]);
        raw.retain(|key, _| !OPTIONAL.contains(&key.as_str()) || variant.reads.contains(&key.as_str()));
        add_defaults(&mut raw, (variant.defaults)());
        Ok(Self { fields: Fields::deserialize(Value::Object(raw))?, variant })
    }
}

impl LlamaConfig {
    fn head_dropout(&self) -> f64 {
        self.fields.classifier_dropout.or(self.fields.hidden_dropout).unwrap_or(0.1)
    }

    fn attention_heads(&self) -> AttentionHeads {
        let query_heads = self.fields.num_attention_heads;
        AttentionHeads {
            query_heads,
            key_heads: self.fields.num_key_value_heads.unwrap_or(query_heads),
            head: self.fields.head_dim.unwrap_or(self.fields.hidden_size / query_heads),
        }
    }

    fn rotary(&self) -> Result<Rotary, ModelError> {
        let (rope, head) = (&self.fields.rope, self.attention_heads().head);
        let positions = self.fields.max_position_embeddings;
        if self.variant.turns_partly {
            rope.partial_rotary(head, positions)
        } else {
            rope.rotary(head, positions)
        }
    }

    /// Tokens that a layer sees, where it does not see all.
    fn window(&self, layer: usize) -> Option<usize> {
        let fields = &self.fields;
        let slides = match &fields.layer_types {
            Some(types) => types.get(layer) == Some(&LayerType::SlidingAttention),
            None => layer >= fields.max_window_layers,
        };
        fields.sliding_window.filter(|_| fields.use_sliding_window && slides)
    }

    fn check_windows(&self) -> Result<(), ModelError> {
        let (fields, wrong) = (&self.fields, |reason| Err(ModelError::Config { reason }));
        if fields.sliding_window == Some(0) {
            return wrong("sliding_window = 0 hides a token from itself".into());
        }
        check_layer_types(fields.layer_types.as_deref(), fields.num_hidden_layers)?;
        let slides = fields.layer_types.iter().flatten().any(|kind| *kind == LayerType::SlidingAttention);
        let has_window = fields.use_sliding_window && fields.sliding_window.is_some();
        if slides && !has_window {
            return wrong("layer_types has sliding_attention, but there is no sliding_window".into());
        }
        Ok(())
    }

    fn block(&self, layer: usize) -> BlockConfig {
        let (fields, heads) = (&self.fields, self.attention_heads());
        let plain = AttentionConfig::new(fields.hidden_size, heads.query_heads, fields.attention_dropout);
        let mut attention = AttentionConfig {
            bias: fields.attention_bias || self.variant.has_query_bias,
            output_bias: fields.attention_bias,
            head_norm: self.variant.has_head_norms.then(|| NormConfig::rms(heads.head, fields.rms_norm_eps)),
            ..plain.causal().with_heads(heads).rotated(0)
        };
        attention.pattern.window = self.window(layer);
        BlockConfig {
            attention,
            cross_attention: None,
            ffn: FeedForwardConfig {
                gated: true,
                bias: fields.mlp_bias,
                ..FeedForwardConfig::new(fields.hidden_size, fields.intermediate_size, fields.hidden_act)
            },
            norm: NormConfig::rms(fields.hidden_size, fields.rms_norm_eps),
            norm_place: NormPlace::Before,
            dropout: fields.resid_pdrop,
        }
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let (fields, classes) = (&self.fields, &self.variant.classes);
        let mut heads = vec![
            next_token(classes.causal, fields.vocab_size, fields.tie_word_embeddings),
            sequence_labels(classes.sequences, fields.pad_token_id),
            token_scores(classes.tokens, self.head_dropout()),
        ];
        heads.extend(classes.spans.map(|(class, prefix)| span(class).under(prefix)));
        heads
    }
}

impl Family for LlamaConfig {
    type Backbone = Decoder;

    fn dropout_keys(&self) -> DropoutKeys {
        self.variant.dropout
    }

    fn validate(&self) -> Result<(), ModelError> {
        let fields = &self.fields;
        if !fields.is_causal {
            return refuse("is_causal", false);
        }
        if !fields.token_classification_bias {
            return refuse("token_classification_bias", false);
        }
        check_sizes(
            MOST_ROWS,
            &[
                ("vocab_size", fields.vocab_size),
                ("max_position_embeddings", fields.max_position_embeddings),
                ("sliding_window", fields.sliding_window.unwrap_or(1).max(1)),
            ],
        )?;
        check_sizes(
            MOST_WIDTH,
            &[
                ("hidden_size", fields.hidden_size),
                ("intermediate_size", fields.intermediate_size),
                ("head_dim", fields.head_dim.unwrap_or(1)),
            ],
        )?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", fields.num_hidden_layers)])?;
        check_dropout(&[
            ("attention_dropout", fields.attention_dropout),
            ("resid_pdrop", fields.resid_pdrop),
            ("classifier_dropout", self.head_dropout()),
        ])?;
        let heads = fields.num_attention_heads;
        check_heads("num_attention_heads", heads, "hidden_size", fields.hidden_size)?;
        let key_heads = self.attention_heads().key_heads;
        check_heads("num_key_value_heads", key_heads, "num_attention_heads", heads)?;
        self.check_windows()?;
        self.rotary().map(drop)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let fields = &self.fields;
        let layers = (0..fields.num_hidden_layers).map(|layer| self.block(layer));
        let config = DecoderConfig {
            rotary: vec![self.rotary().expect("`validate` refuses other rotary positions")],
            final_norm: Some(NormConfig::rms(fields.hidden_size, fields.rms_norm_eps)),
            ..DecoderConfig::new(fields.vocab_size, fields.hidden_size, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let fields = &self.fields;
        FamilyFacts {
            weights: WeightMap { prefix: "model.", groups: 1, rows: self.variant.rows },
            heads: self.heads(),
            foreign: &[],
            initializer_range: fields.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: fields.vocab_size, max_positions: fields.max_position_embeddings },
        }
    }
}
