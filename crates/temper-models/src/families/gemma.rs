//! Gemma 1, 2 and 3, of text alone: LLaMA's layers with scaled embeddings and norms whose gain is one more than their
//! weight. Gemma 2 normalises what a sub-layer adds, too, caps scores and logits, and gives every second layer a window;
//! Gemma 3 normalises heads instead of capping scores, and gives most layers a window and frequencies of their own.
//!
//! Gemma Team 2024 (arXiv 2403.08295, 2408.00118), 2025 (arXiv 2503.19786). Follows transformers 5.23,
//! `modeling_gemma.py`, `modeling_gemma2.py` and `modeling_gemma3.py`.

use burn::tensor::Device;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use temper_kernels::AttentionHeads;

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels, token_scores};
use super::layer_types::{LayerType, RopeByLayer, check_layer_types};
use super::llama_variant::ROWS as LLAMA_ROWS;
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes};
use super::{add_defaults, refuse, token_id};
use crate::heads::LanguageModelConfig;
use crate::layers::{
    AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace, RopeConfig, RopeParameters,
    Rotary,
};
use crate::weights::{Row, WeightMap, copy, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// Which Gemma it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    First,
    Second,
    Third,
}

/// The fields of all three, with Hugging Face's names.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Fields {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    /// Activation of the gate.
    hidden_activation: Activation,
    max_position_embeddings: usize,
    initializer_range: f64,
    rms_norm_eps: f64,
    attention_bias: bool,
    attention_dropout: f64,
    /// Scores are divided by its root.
    query_pre_attn_scalar: f64,
    /// Tokens that a layer with a window sees.
    sliding_window: Option<usize>,
    layer_types: Option<Vec<LayerType>>,
    /// Without `layer_types`, every n-th layer has no window.
    sliding_window_pattern: usize,
    /// The base of the frequencies of layers with a window, where `rope_parameters` does not name it.
    rope_local_base_freq: f64,
    final_logit_softcapping: Option<f64>,
    attn_logit_softcapping: Option<f64>,
    /// Only `false` and `null` exist here.
    use_bidirectional_attention: Option<bool>,
    #[serde(deserialize_with = "token_id")]
    pad_token_id: Option<u32>,
    tie_word_embeddings: bool,
    #[serde(default)]
    classifier_dropout: Option<f64>,
    #[serde(default)]
    hidden_dropout: Option<f64>,
    /// Only `true` exists here.
    token_classification_bias: bool,
}

/// Gemma's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct GemmaConfig {
    fields: Fields,
    generation: Generation,
    /// Of layers without and with a window; one for both before Gemma 3.
    rope: Vec<RopeConfig>,
}

impl TryFrom<Map<String, Value>> for GemmaConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        let generation = match raw.get("model_type").and_then(Value::as_str) {
            Some("gemma2") => Generation::Second,
            Some("gemma3_text") => Generation::Third,
            _ => Generation::First,
        };
        for field in generation.unread() {
            raw.shift_remove(*field);
        }
        if generation == Generation::First {
            // "gelu" has always meant the other form in its files.
            let activation = raw.get("hidden_act").filter(|name| *name != "gelu").cloned();
            raw.insert("hidden_activation".into(), activation.unwrap_or(json!("gelu_pytorch_tanh")));
        }
        add_defaults(&mut raw, generation.defaults());
        add_defaults(&mut raw, defaults());
        let rope = match generation {
            Generation::Third => rope_by_layer(&raw)?.into(),
            _ => vec![RopeConfig::deserialize(Value::Object(raw.clone()))?],
        };
        let mut fields = Fields::deserialize(Value::Object(raw))?;
        if generation == Generation::First {
            fields.query_pre_attn_scalar = fields.head_dim as f64;
        }
        Ok(Self { fields, generation, rope })
    }
}

impl Generation {
    /// Fields of the others, over which its class in transformers passes.
    fn unread(self) -> &'static [&'static str] {
        match self {
            Self::First => &[
                "query_pre_attn_scalar",
                "sliding_window",
                "layer_types",
                "sliding_window_pattern",
                "final_logit_softcapping",
                "attn_logit_softcapping",
                "rope_local_base_freq",
            ],
            Self::Second => &["sliding_window_pattern", "rope_local_base_freq"],
            Self::Third => &["attn_logit_softcapping"],
        }
    }

    /// What config.json may leave out, where it is its own.
    fn defaults(self) -> Value {
        match self {
            Self::First => json!({
                "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
                "num_attention_heads": 16, "num_key_value_heads": 16, "sliding_window": null,
            }),
            Self::Second => json!({
                "sliding_window_pattern": 2, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0,
            }),
            Self::Third => json!({"vocab_size": 262_208, "max_position_embeddings": 131_072}),
        }
    }
}

/// What all three have in common.
fn defaults() -> Value {
    json!({
        "vocab_size": 256_000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192, "initializer_range": 0.02,
        "rms_norm_eps": 1e-6, "attention_bias": false, "attention_dropout": 0.0, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "layer_types": null, "sliding_window_pattern": 6,
        "rope_local_base_freq": 10_000.0, "final_logit_softcapping": null, "attn_logit_softcapping": null,
        "use_bidirectional_attention": null, "pad_token_id": 0, "tie_word_embeddings": true,
        "token_classification_bias": true,
    })
}

/// Gemma 3's rotations of layers without and with a window. `rope_scaling` changes those without alone.
fn rope_by_layer(raw: &Map<String, Value>) -> Result<[RopeConfig; 2], serde_json::Error> {
    let field = |name: &str| raw.get(name).cloned().unwrap_or_default();
    let (given, scaling) = (field("rope_parameters"), field("rope_scaling"));
    // What is neither an object nor `null` fails here.
    Option::<RopeByLayer>::deserialize(&given)?;
    Option::<RopeParameters>::deserialize(&scaling)?;
    let of_kind = |kind: &str| {
        let given = given.get(kind).filter(|given| !given.is_null());
        given.cloned().unwrap_or_else(|| json!({"rope_type": "default"}))
    };
    let mut full = of_kind("full_attention");
    if let (Value::Object(full), Value::Object(scaling)) = (&mut full, scaling) {
        full.extend(scaling);
    }
    let rope = |parameters: Value, theta: f64| -> Result<RopeConfig, serde_json::Error> {
        let rope_parameters = Some(RopeParameters::deserialize(parameters)?);
        Ok(RopeConfig { rope_parameters, rope_theta: Some(theta), ..RopeConfig::default() })
    };
    let number = |name: &str, value: &Value| {
        f64::deserialize(value).map_err(|error| serde_json::Error::custom(format!("{name}: {error}")))
    };
    let global = raw.get("rope_theta").map_or(Ok(1_000_000.0), |theta| number("rope_theta", theta))?;
    let local = number("rope_local_base_freq", &field("rope_local_base_freq"))?;
    Ok([rope(full, global)?, rope(of_kind("sliding_attention"), local)?])
}

impl GemmaConfig {
    fn heads_of_attention(&self) -> AttentionHeads {
        let fields = &self.fields;
        AttentionHeads {
            query_heads: fields.num_attention_heads,
            key_heads: fields.num_key_value_heads,
            head: fields.head_dim,
        }
    }

    fn slides(&self, layer: usize) -> bool {
        match &self.fields.layer_types {
            _ if self.generation == Generation::First => false,
            Some(types) => types.get(layer) == Some(&LayerType::SlidingAttention),
            None => !(layer + 1).is_multiple_of(self.fields.sliding_window_pattern),
        }
    }

    fn rotary(&self) -> Result<Vec<Rotary>, ModelError> {
        let fields = &self.fields;
        self.rope.iter().map(|rope| rope.rotary(fields.head_dim, fields.max_position_embeddings)).collect()
    }

    fn norm(&self, width: usize) -> NormConfig {
        NormConfig::rms(width, self.fields.rms_norm_eps).above_one()
    }

    fn block(&self, layer: usize) -> BlockConfig {
        let (fields, heads) = (&self.fields, self.heads_of_attention());
        let (slides, is_third) = (self.slides(layer), self.generation == Generation::Third);
        let plain = AttentionConfig::new(fields.hidden_size, heads.query_heads, fields.attention_dropout);
        let mut attention = AttentionConfig {
            bias: fields.attention_bias,
            output_bias: fields.attention_bias,
            head_norm: is_third.then(|| self.norm(heads.head)),
            ..plain.causal().with_heads(heads).rotated(usize::from(is_third && slides))
        };
        attention.pattern.scale = fields.query_pre_attn_scalar.powf(-0.5) as f32;
        attention.pattern.window = fields.sliding_window.filter(|_| slides);
        attention.pattern.soft_cap = fields.attn_logit_softcapping.map(|cap| cap as f32);
        let inner = fields.intermediate_size;
        BlockConfig {
            attention,
            cross_attention: None,
            ffn: FeedForwardConfig {
                gated: true,
                bias: false,
                ..FeedForwardConfig::new(fields.hidden_size, inner, fields.hidden_activation)
            },
            norm: self.norm(fields.hidden_size),
            norm_place: match self.generation {
                Generation::First => NormPlace::Before,
                _ => NormPlace::BeforeAndAfter,
            },
            dropout: 0.0,
        }
    }

    fn check_windows(&self) -> Result<(), ModelError> {
        let (fields, wrong) = (&self.fields, |reason| Err(ModelError::Config { reason }));
        let layers = fields.num_hidden_layers;
        check_layer_types(fields.layer_types.as_deref(), layers)?;
        if (0..layers).any(|layer| self.slides(layer))
            && fields.sliding_window.is_none_or(|window| window == 0)
        {
            return wrong("some layers have a window, but there is no sliding_window".into());
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), ModelError> {
        let fields = &self.fields;
        let caps = [
            ("query_pre_attn_scalar", Some(fields.query_pre_attn_scalar)),
            ("final_logit_softcapping", fields.final_logit_softcapping),
            ("attn_logit_softcapping", fields.attn_logit_softcapping),
        ];
        match caps.into_iter().find(|(_, value)| value.is_some_and(|value| value.is_nan() || value <= 0.0)) {
            Some((field, value)) => {
                let reason = format!("{field} = {} is not above zero", value.unwrap_or_default());
                Err(ModelError::Config { reason })
            }
            None => Ok(()),
        }
    }
}

impl Family for GemmaConfig {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys = DropoutKeys { hidden: &[], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        let fields = &self.fields;
        if fields.use_bidirectional_attention == Some(true) {
            return refuse("use_bidirectional_attention", true);
        }
        if !fields.token_classification_bias {
            return refuse("token_classification_bias", false);
        }
        check_sizes(
            MOST_ROWS,
            &[
                ("vocab_size", fields.vocab_size),
                ("max_position_embeddings", fields.max_position_embeddings),
                ("sliding_window_pattern", fields.sliding_window_pattern),
                ("sliding_window", fields.sliding_window.unwrap_or(1).max(1)),
            ],
        )?;
        check_sizes(
            MOST_WIDTH,
            &[
                ("hidden_size", fields.hidden_size),
                ("intermediate_size", fields.intermediate_size),
                ("head_dim", fields.head_dim),
            ],
        )?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", fields.num_hidden_layers)])?;
        check_dropout(&[
            ("attention_dropout", fields.attention_dropout),
            ("classifier_dropout", self.head_dropout()),
        ])?;
        let heads = fields.num_attention_heads;
        check_heads("num_attention_heads", heads, "hidden_size", fields.hidden_size)?;
        check_heads("num_key_value_heads", fields.num_key_value_heads, "num_attention_heads", heads)?;
        self.check_windows()?;
        self.check_numbers()?;
        self.rotary().map(drop)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let fields = &self.fields;
        let layers = (0..fields.num_hidden_layers).map(|layer| self.block(layer));
        let config = DecoderConfig {
            embedding_scale: (fields.hidden_size as f64).sqrt(),
            rotary: self.rotary().expect("`validate` refuses other rotary positions"),
            final_norm: Some(self.norm(fields.hidden_size)),
            ..DecoderConfig::new(fields.vocab_size, fields.hidden_size, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let fields = &self.fields;
        FamilyFacts {
            weights: WeightMap {
                prefix: "model.",
                groups: 1,
                rows: if self.generation == Generation::First { LLAMA_ROWS } else { ROWS },
            },
            heads: self.heads(),
            foreign: &[],
            initializer_range: fields.initializer_range,
            initial: vec![("norm.weight", 0.0)],
            cutoff: None,
            bounds: Bounds { vocab_size: fields.vocab_size, max_positions: fields.max_position_embeddings },
        }
    }
}

impl GemmaConfig {
    fn head_dropout(&self) -> f64 {
        self.fields.classifier_dropout.or(self.fields.hidden_dropout).unwrap_or(0.1)
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let (fields, dropout) = (&self.fields, self.head_dropout());
        let [causal, sequences, tokens] = match self.generation {
            Generation::First => {
                ["GemmaForCausalLM", "GemmaForSequenceClassification", "GemmaForTokenClassification"]
            }
            Generation::Second => {
                ["Gemma2ForCausalLM", "Gemma2ForSequenceClassification", "Gemma2ForTokenClassification"]
            }
            Generation::Third => ["Gemma3ForCausalLM", "Gemma3TextForSequenceClassification", ""],
        };
        let plain = LanguageModelConfig::plain(fields.vocab_size, fields.tie_word_embeddings);
        let capped = LanguageModelConfig { soft_cap: fields.final_logit_softcapping, ..plain };
        let mut heads = vec![
            HeadFacts {
                kind: HeadKind::CausalLm(capped),
                ..next_token(causal, fields.vocab_size, fields.tie_word_embeddings)
            },
            sequence_labels(sequences, fields.pad_token_id),
        ];
        heads.extend((!tokens.is_empty()).then(|| token_scores(tokens, dropout)));
        heads
    }
}

/// Where each tensor of a checkpoint of Gemma 2 or 3 goes.
const ROWS: &[Row] = &[
    copy("embed_tokens.weight", "token_embedding.weight"),
    linear("layers.{}.self_attn.q_proj", "layers.{}.attention.query"),
    linear("layers.{}.self_attn.k_proj", "layers.{}.attention.key"),
    linear("layers.{}.self_attn.v_proj", "layers.{}.attention.value"),
    linear("layers.{}.self_attn.o_proj", "layers.{}.attention.output"),
    norm("layers.{}.self_attn.q_norm", "layers.{}.attention.query_norm"),
    norm("layers.{}.self_attn.k_norm", "layers.{}.attention.key_norm"),
    norm("layers.{}.input_layernorm", "layers.{}.attention_norm"),
    norm("layers.{}.post_attention_layernorm", "layers.{}.attention_after_norm"),
    linear("layers.{}.mlp.gate_proj", "layers.{}.ffn.gate"),
    linear("layers.{}.mlp.up_proj", "layers.{}.ffn.inner"),
    linear("layers.{}.mlp.down_proj", "layers.{}.ffn.outer"),
    norm("layers.{}.pre_feedforward_layernorm", "layers.{}.ffn_norm"),
    norm("layers.{}.post_feedforward_layernorm", "layers.{}.ffn_after_norm"),
    norm("norm", "final_norm"),
];
