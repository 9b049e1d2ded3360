//! DistilBERT: BERT's module, half as deep, without segments and without a pooler.
//!
//! Sanh et al. 2019 (arXiv 1910.01108). Follows transformers 5.23, `modeling_distilbert.py`. Nothing drops
//! out after the attention's output map. `sinusoidal_pos_embds` only says how positions were drawn before
//! pretraining: a checkpoint holds their table either way.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::encoder::{Bert, BertShape};
use super::heads::{span_after, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes};
use crate::heads::{ClassifierConfig, LanguageModelConfig, TransformConfig};
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace};
use crate::weights::{Row, WeightMap, copy, ignore, linear, matrix, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// Added to the variance in norms.
const EPSILON: f64 = 1e-12;

/// DistilBERT's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DistilBertConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Width of the hidden state.
    #[serde(alias = "hidden_size")]
    pub dim: usize,
    /// Number of layers.
    #[serde(alias = "num_hidden_layers")]
    pub n_layers: usize,
    /// Attention heads a layer; divides `dim`.
    #[serde(alias = "num_attention_heads")]
    pub n_heads: usize,
    /// Inner width of the feed-forward layer.
    pub hidden_dim: usize,
    /// Activation of the feed-forward layer and of the masked head.
    pub activation: Activation,
    /// Dropout on embeddings, on the output of feed-forward and before the head of tokens.
    pub dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Dropout before the head of spans.
    pub qa_dropout: f64,
    /// Dropout between the two maps of the classifier.
    pub seq_classif_dropout: f64,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Whether the masked language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for DistilBertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            max_position_embeddings: 512,
            dim: 768,
            n_layers: 6,
            n_heads: 12,
            hidden_dim: 3072,
            activation: Activation::Gelu,
            dropout: 0.1,
            attention_dropout: 0.1,
            qa_dropout: 0.1,
            seq_classif_dropout: 0.2,
            initializer_range: 0.02,
            tie_word_embeddings: true,
        }
    }
}

impl DistilBertConfig {
    fn block(&self) -> BlockConfig {
        let attention = AttentionConfig::new(self.dim, self.n_heads, self.attention_dropout);
        BlockConfig {
            attention: AttentionConfig { residual_dropout: Some(0.0), ..attention },
            cross_attention: None,
            ffn: FeedForwardConfig::new(self.dim, self.hidden_dim, self.activation),
            norm: NormConfig::layer(self.dim, EPSILON),
            norm_place: NormPlace::After,
            dropout: self.dropout,
        }
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let classifier = ClassifierConfig {
            transform: Some(TransformConfig::plain(Activation::Relu)),
            ..ClassifierConfig::first_token(self.seq_classif_dropout)
        };
        let tied = self.tie_word_embeddings;
        let masked = LanguageModelConfig::masked(self.vocab_size, tied, self.activation, EPSILON);
        vec![
            HeadFacts::new(
                "DistilBertForSequenceClassification",
                HeadKind::SequenceClassification(classifier),
                DENSE_CLASSIFIER,
            ),
            token_labels("DistilBertForTokenClassification", self.dropout),
            span_after("DistilBertForQuestionAnswering", self.qa_dropout),
            HeadFacts::new(
                "DistilBertForMaskedLM",
                HeadKind::MaskedLm(masked),
                if tied { MASKED } else { MASKED_UNTIED },
            ),
        ]
    }
}

impl Family for DistilBertConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys = DropoutKeys { hidden: &["dropout"], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        check_sizes(
            MOST_ROWS,
            &[("vocab_size", self.vocab_size), ("max_position_embeddings", self.max_position_embeddings)],
        )?;
        check_sizes(MOST_WIDTH, &[("dim", self.dim), ("hidden_dim", self.hidden_dim)])?;
        check_sizes(MOST_LAYERS, &[("n_layers", self.n_layers)])?;
        check_dropout(&[
            ("dropout", self.dropout),
            ("attention_dropout", self.attention_dropout),
            ("qa_dropout", self.qa_dropout),
            ("seq_classif_dropout", self.seq_classif_dropout),
        ])?;
        check_heads("n_heads", self.n_heads, "dim", self.dim)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Bert {
        let rows = [self.vocab_size, self.max_position_embeddings];
        let shape = BertShape::new(rows, self.n_layers, self.block());
        Bert::new(&shape, device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WEIGHTS,
            heads: self.heads(),
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
    prefix: "distilbert.",
    groups: 1,
    rows: &[
        copy("embeddings.word_embeddings.weight", "token_embedding.weight"),
        copy("embeddings.position_embeddings.weight", "position_embedding.weight"),
        norm("embeddings.LayerNorm", "embedding_norm"),
        ignore("embeddings.position_ids"), // 0, 1, 2, ...: a buffer of old versions.
        linear("transformer.layer.{}.attention.q_lin", "layers.{}.attention.query"),
        linear("transformer.layer.{}.attention.k_lin", "layers.{}.attention.key"),
        linear("transformer.layer.{}.attention.v_lin", "layers.{}.attention.value"),
        linear("transformer.layer.{}.attention.out_lin", "layers.{}.attention.output"),
        norm("transformer.layer.{}.sa_layer_norm", "layers.{}.attention_norm"),
        linear("transformer.layer.{}.ffn.lin1", "layers.{}.ffn.inner"),
        linear("transformer.layer.{}.ffn.lin2", "layers.{}.ffn.outer"),
        norm("transformer.layer.{}.output_layer_norm", "layers.{}.ffn_norm"),
    ],
};

const DENSE_CLASSIFIER: &[Row] =
    &[linear("pre_classifier", "head.dense"), linear("classifier", "head.output")];
const MASKED: &[Row] = &[
    linear("vocab_transform", "head.dense"),
    norm("vocab_layer_norm", "head.norm"),
    copy("vocab_projector.bias", "head.bias"),
    matrix("vocab_projector.weight", "head.output.weight"), // Mostly the token embedding.
];
const MASKED_UNTIED: &[Row] = &[
    linear("vocab_transform", "head.dense"),
    norm("vocab_layer_norm", "head.norm"),
    matrix("vocab_projector.weight", "head.output.weight"),
    copy("vocab_projector.bias", "head.bias"),
];
