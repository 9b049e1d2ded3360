//! LLaMA 1, 2 and 3: decoder-only, norms before the sub-layers, rotary positions, a gated feed-forward layer.
//!
//! Touvron et al. 2023 (arXiv 2302.13971, 2307.09288), Grattafiori et al. 2024 (arXiv 2407.21783). Follows
//! transformers 5.23, `modeling_llama.py`. From the default block it differs by its norms, which divide by
//! the root mean square, by rotated queries and keys, by the gate, and by heads of keys and values that
//! several heads of queries share.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use temper_kernels::AttentionHeads;

use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse, token_id};
use crate::heads::{ClassifierConfig, LanguageModelConfig};
use crate::layers::{
    AttentionConfig, Block, BlockConfig, Embedding, FeedForwardConfig, Layer, LinearWalk, Norm, NormConfig,
    NormPlace, RopeConfig, Rotary, StackPass, StackRows, detach_if_frozen, is_frozen,
    run_frozen_without_autodiff, run_layers,
};
use crate::weights::{Row, WeightMap, copy, ignore, linear, norm};
use crate::{
    Activation, Backbone, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts,
    Pass, TokenBatch,
};

/// LLaMA's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlamaConfig {
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
    /// Heads of keys and values; `num_attention_heads` when absent.
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size / num_attention_heads` when absent.
    pub head_dim: Option<usize>,
    /// Activation of the gate.
    pub hidden_act: Activation,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f64,
    /// Rotary positions.
    #[serde(flatten)]
    pub rope: RopeConfig,
    /// Whether query, key, value and output have a bias.
    pub attention_bias: bool,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Whether the feed-forward layer has biases.
    pub mlp_bias: bool,
    /// Id that fills up a batch; the classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Whether the language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
    /// Dropout before the classifier of tokens.
    pub classifier_dropout: Option<f64>,
    /// The same, where `classifier_dropout` is absent; nothing else reads it.
    pub hidden_dropout: Option<f64>,
    /// Only `true` exists here.
    pub token_classification_bias: bool,
    /// Only `true` exists here.
    pub is_causal: bool,
}

impl Default for LlamaConfig {
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
            pad_token_id: None,
            tie_word_embeddings: false,
            classifier_dropout: None,
            hidden_dropout: None,
            token_classification_bias: true,
            is_causal: true,
        }
    }
}

impl LlamaConfig {
    fn head_dropout(&self) -> f64 {
        self.classifier_dropout.or(self.hidden_dropout).unwrap_or(0.1)
    }

    fn attention_heads(&self) -> AttentionHeads {
        let query_heads = self.num_attention_heads;
        AttentionHeads {
            query_heads,
            key_heads: self.num_key_value_heads.unwrap_or(query_heads),
            head: self.head_dim.unwrap_or(self.hidden_size / query_heads),
        }
    }

    fn rotary(&self) -> Result<Rotary, ModelError> {
        self.rope.rotary(self.attention_heads().head, self.max_position_embeddings)
    }

    fn norm(&self) -> NormConfig {
        NormConfig::rms(self.hidden_size, self.rms_norm_eps)
    }

    fn block(&self) -> BlockConfig {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        BlockConfig {
            attention: AttentionConfig {
                bias: self.attention_bias,
                output_bias: self.attention_bias,
                ..AttentionConfig::new(hidden, heads, self.attention_dropout)
                    .causal()
                    .with_heads(self.attention_heads())
            },
            cross_attention: None,
            ffn: FeedForwardConfig {
                gated: true,
                bias: self.mlp_bias,
                ..FeedForwardConfig::new(hidden, self.intermediate_size, self.hidden_act)
            },
            norm: self.norm(),
            norm_place: NormPlace::Before,
            dropout: 0.0,
        }
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let dropout = self.head_dropout();
        let (vocab, tied) = (self.vocab_size, self.tie_word_embeddings);
        vec![
            HeadFacts::new(
                "LlamaForCausalLM",
                HeadKind::CausalLm(LanguageModelConfig::plain(vocab, tied)),
                OUTPUT,
            ),
            HeadFacts::new(
                "LlamaForSequenceClassification",
                HeadKind::SequenceClassification(ClassifierConfig::last_token(self.pad_token_id)),
                SCORE,
            ),
            HeadFacts::new("LlamaForTokenClassification", HeadKind::TokenClassification { dropout }, SCORE),
            HeadFacts::new("LlamaForQuestionAnswering", HeadKind::QuestionAnswering { dropout: 0.0 }, SPAN)
                .under("transformer."),
        ]
    }
}

impl Family for LlamaConfig {
    type Backbone = Llama;
    const DROPOUT: DropoutKeys = DropoutKeys { hidden: &[], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        if !self.is_causal {
            return refuse("is_causal", false);
        }
        if !self.token_classification_bias {
            return refuse("token_classification_bias", false);
        }
        check_sizes(
            MOST_ROWS,
            &[("vocab_size", self.vocab_size), ("max_position_embeddings", self.max_position_embeddings)],
        )?;
        check_sizes(
            MOST_WIDTH,
            &[
                ("hidden_size", self.hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("head_dim", self.head_dim.unwrap_or(1)),
            ],
        )?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", self.num_hidden_layers)])?;
        check_dropout(&[
            ("attention_dropout", self.attention_dropout),
            ("classifier_dropout", self.head_dropout()),
        ])?;
        let heads = self.num_attention_heads;
        check_heads("num_attention_heads", heads, "hidden_size", self.hidden_size)?;
        let key_heads = self.attention_heads().key_heads;
        check_heads("num_key_value_heads", key_heads, "num_attention_heads", heads)?;
        self.rotary().map(drop)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Llama {
        let block = self.block();
        Llama {
            token_embedding: Embedding::new(self.vocab_size, self.hidden_size, device),
            layers: (0..self.num_hidden_layers).map(|_| Block::new(&block, device)).collect(),
            final_norm: self.norm().init(device),
            rotary: self.rotary().expect("`validate` refuses other rotary positions"),
        }
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WEIGHTS,
            heads: self.heads(),
            foreign: &[],
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_position_embeddings },
        }
    }
}

/// LLaMA without a task.
#[derive(Module, Debug)]
pub struct Llama {
    token_embedding: Embedding,
    layers: Vec<Block>,
    final_norm: Norm,
    #[module(skip)]
    rotary: Rotary,
}

impl Backbone for Llama {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let Pass { rows, mode, cache, watch, until } = pass;
        let embed = || {
            let embedded = self.token_embedding.forward(&batch.ids);
            detach_if_frozen(embedded, is_frozen(&self.token_embedding))
        };
        let rows = &StackRows::of(batch, rows).rotated(&self.rotary, batch);
        let pass = StackPass { rows, encoded: None, cache, mode, watch, until };
        let hidden = run_layers(&self.layers, embed, batch, pass);
        run_frozen_without_autodiff(&self.final_norm, hidden, |norm, x| norm.forward(x))
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_embedding.weight.val()
    }

    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("layers", &mut self.layers);
    }

    fn hidden_size(&self) -> usize {
        self.final_norm.width()
    }

    fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn drops_out(&self) -> bool {
        self.layers.iter().any(Layer::drops_out)
    }
}

/// Where each tensor of a checkpoint goes.
const WEIGHTS: WeightMap = WeightMap {
    prefix: "model.",
    groups: 1,
    rows: &[
        copy("embed_tokens.weight", "token_embedding.weight"),
        linear("layers.{}.self_attn.q_proj", "layers.{}.attention.query"),
        linear("layers.{}.self_attn.k_proj", "layers.{}.attention.key"),
        linear("layers.{}.self_attn.v_proj", "layers.{}.attention.value"),
        linear("layers.{}.self_attn.o_proj", "layers.{}.attention.output"),
        ignore("layers.{}.self_attn.rotary_emb.inv_freq"), // Frequencies: a buffer of old versions.
        norm("layers.{}.input_layernorm", "layers.{}.attention_norm"),
        linear("layers.{}.mlp.gate_proj", "layers.{}.ffn.gate"),
        linear("layers.{}.mlp.up_proj", "layers.{}.ffn.inner"),
        linear("layers.{}.mlp.down_proj", "layers.{}.ffn.outer"),
        norm("layers.{}.post_attention_layernorm", "layers.{}.ffn_norm"),
        norm("norm", "final_norm"),
    ],
};

const OUTPUT: &[Row] = &[linear("lm_head", "head.output")];
const SCORE: &[Row] = &[linear("score", "head.output")];
const SPAN: &[Row] = &[linear("qa_outputs", "head.output")];
