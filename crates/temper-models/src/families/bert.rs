//! BERT: encoder-only, post-norm, learned positions, a pooler over `[CLS]`.
//!
//! Devlin et al. 2018 (arXiv 1810.04805). Follows transformers 5.23, `modeling_bert.py`.
//! It is the default block of this crate; what is its own are the three summed embeddings and the
//! tanh pooler. Other encoders are the same module, made otherwise.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::encoder::{Bert, BertShape};
use super::heads::{CLASSIFIER, span, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse};
use crate::heads::{ClassifierConfig, LanguageModelConfig};
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace};
use crate::weights::{Row, WeightMap, copy, foreign, ignore, linear, matrix, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// BERT's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layer.
    pub hidden_act: Activation,
    /// Dropout on embeddings and on the output of attention and feed-forward.
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding.
    pub type_vocab_size: usize,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Added to the variance in norms.
    pub layer_norm_eps: f64,
    /// Id that fills up a batch; RoBERTa's positions begin after it.
    pub pad_token_id: Option<u32>,
    /// Dropout before the classification head; `hidden_dropout_prob` when absent.
    pub classifier_dropout: Option<f64>,
    /// Only `absolute` exists here.
    pub position_embedding_type: String,
    /// Only `false` exists here.
    pub is_decoder: bool,
    /// Only `false` exists here.
    pub add_cross_attention: bool,
    /// Whether the masked language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            classifier_dropout: None,
            position_embedding_type: "absolute".into(),
            is_decoder: false,
            add_cross_attention: false,
            tie_word_embeddings: true,
        }
    }
}

impl BertConfig {
    /// Dropout before the classification head.
    pub fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// What the module is made from.
    pub(super) fn shape(&self, parts: Parts) -> BertShape {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        let block = BlockConfig {
            attention: AttentionConfig::new(hidden, heads, self.attention_probs_dropout_prob),
            cross_attention: None,
            ffn: FeedForwardConfig::new(hidden, self.intermediate_size, self.hidden_act),
            norm: NormConfig::layer(hidden, self.layer_norm_eps),
            norm_place: NormPlace::After,
            dropout: self.hidden_dropout_prob,
        };
        BertShape {
            types: Some(self.type_vocab_size),
            pooler: parts.pooler,
            ..BertShape::new([self.vocab_size, self.max_position_embeddings], self.num_hidden_layers, block)
        }
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let dropout = self.head_dropout();
        let classifier = ClassifierConfig { uses_pooler: true, ..ClassifierConfig::first_token(dropout) };
        let (tied, epsilon) = (self.tie_word_embeddings, self.layer_norm_eps);
        let masked = LanguageModelConfig::masked(self.vocab_size, tied, self.hidden_act, epsilon);
        let (masked_rows, pretraining_rows) =
            if tied { (MASKED, PRETRAINING) } else { (MASKED_UNTIED, PRETRAINING_UNTIED) };
        vec![
            HeadFacts::new(
                "BertForSequenceClassification",
                HeadKind::SequenceClassification(classifier),
                CLASSIFIER,
            ),
            token_labels("BertForTokenClassification", dropout).over(Parts::NO_POOLER),
            span("BertForQuestionAnswering").over(Parts::NO_POOLER),
            HeadFacts::new("BertForMaskedLM", HeadKind::MaskedLm(masked), masked_rows).over(Parts::NO_POOLER),
            HeadFacts::new("BertForPreTraining", HeadKind::Pretraining(masked), pretraining_rows),
        ]
    }
}

impl Family for BertConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["hidden_dropout_prob"], attention: &["attention_probs_dropout_prob"] };

    fn validate(&self) -> Result<(), ModelError> {
        if self.position_embedding_type != "absolute" {
            return refuse("position_embedding_type", &self.position_embedding_type);
        }
        if self.is_decoder {
            return refuse("is_decoder", true);
        }
        if self.add_cross_attention {
            return refuse("add_cross_attention", true);
        }
        check_sizes(
            MOST_ROWS,
            &[
                ("vocab_size", self.vocab_size),
                ("max_position_embeddings", self.max_position_embeddings),
                ("type_vocab_size", self.type_vocab_size),
            ],
        )?;
        check_sizes(
            MOST_WIDTH,
            &[("hidden_size", self.hidden_size), ("intermediate_size", self.intermediate_size)],
        )?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", self.num_hidden_layers)])?;
        check_dropout(&[
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.head_dropout()),
        ])?;
        check_heads("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)
    }

    fn init(&self, parts: Parts, device: &Device) -> Bert {
        Bert::new(&self.shape(parts), device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WeightMap { prefix: "bert.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: OTHER_HEADS,
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_position_embeddings },
        }
    }
}

/// Where each tensor of a checkpoint goes: BERT's, and RoBERTa's and ELECTRA's under another prefix.
pub(super) const ROWS: &[Row] = &[
    copy("embeddings.word_embeddings.weight", "token_embedding.weight"),
    copy("embeddings.position_embeddings.weight", "position_embedding.weight"),
    copy("embeddings.token_type_embeddings.weight", "type_embedding.weight"),
    norm("embeddings.LayerNorm", "embedding_norm"),
    ignore("embeddings.position_ids"), // 0, 1, 2, ...: a buffer of old versions.
    linear("embeddings_project", "embedding_projection"), // ELECTRA's.
    linear("encoder.layer.{}.attention.self.query", "layers.{}.attention.query"),
    linear("encoder.layer.{}.attention.self.key", "layers.{}.attention.key"),
    linear("encoder.layer.{}.attention.self.value", "layers.{}.attention.value"),
    linear("encoder.layer.{}.attention.output.dense", "layers.{}.attention.output"),
    norm("encoder.layer.{}.attention.output.LayerNorm", "layers.{}.attention_norm"),
    linear("encoder.layer.{}.intermediate.dense", "layers.{}.ffn.inner"),
    linear("encoder.layer.{}.output.dense", "layers.{}.ffn.outer"),
    norm("encoder.layer.{}.output.LayerNorm", "layers.{}.ffn_norm"),
    linear("pooler.dense", "pooler"),
];

/// The next-sentence head of a checkpoint without the other one.
const OTHER_HEADS: &[Row] = &[foreign("cls.*")];
pub(super) const MASKED: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.norm"),
    copy("cls.predictions.bias", "head.bias"),
    matrix("cls.predictions.decoder.weight", "head.output.weight"), // Mostly the token embedding.
    ignore("cls.predictions.decoder.bias"),                         // The same as `cls.predictions.bias`.
];
pub(super) const MASKED_UNTIED: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.norm"),
    matrix("cls.predictions.decoder.weight", "head.output.weight"),
    copy("cls.predictions.decoder.bias", "head.bias"),
    ignore("cls.predictions.bias"), // transformers does not compute with it then.
];
const PRETRAINING: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.tokens.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.tokens.norm"),
    copy("cls.predictions.bias", "head.tokens.bias"),
    matrix("cls.predictions.decoder.weight", "head.tokens.output.weight"), // Mostly the token embedding.
    ignore("cls.predictions.decoder.bias"), // The same as `cls.predictions.bias`.
    linear("cls.seq_relationship", "head.next_sentence"),
];
const PRETRAINING_UNTIED: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.tokens.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.tokens.norm"),
    matrix("cls.predictions.decoder.weight", "head.tokens.output.weight"),
    copy("cls.predictions.decoder.bias", "head.tokens.bias"),
    ignore("cls.predictions.bias"), // transformers does not compute with it then.
    linear("cls.seq_relationship", "head.next_sentence"),
];
