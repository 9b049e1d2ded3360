//! ALBERT: BERT's module whose layers share weights and whose embeddings are narrower than its layers.
//!
//! Lan et al. 2019 (arXiv 1909.11942). Follows transformers 5.23, `modeling_albert.py`. Nothing drops out after the
//! feed-forward layer. The head that tells the order of two texts (`AlbertForPreTraining`) is not here.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bert::BertConfig;
use super::encoder::{Bert, BertShape};
use super::heads::{CLASSIFIER, span, token_labels};
use super::{MOST_LAYERS, MOST_WIDTH, add_defaults, check_sizes, refuse};
use crate::heads::{ClassifierConfig, LanguageModelConfig, TransformConfig};
use crate::weights::{Row, WeightMap, copy, foreign, ignore, linear, matrix, norm};
use crate::{Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// ALBERT's configuration: BERT's fields, some of them with other defaults, and its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct AlbertConfig {
    bert: BertConfig,
    own: Own,
}

/// What ALBERT adds to BERT.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Own {
    embedding_size: usize,
    /// Layers with weights of their own, each of which serves several times in a row.
    num_hidden_groups: usize,
    /// Only 1 exists here.
    inner_group_num: usize,
    classifier_dropout_prob: Option<f64>,
}

impl Default for Own {
    fn default() -> Self {
        let classifier_dropout_prob = Some(0.1);
        Self { embedding_size: 128, num_hidden_groups: 1, inner_group_num: 1, classifier_dropout_prob }
    }
}

impl TryFrom<Map<String, Value>> for AlbertConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        add_defaults(
            &mut raw,
            json!({
                "vocab_size": 30000, "hidden_size": 4096, "num_attention_heads": 64, "intermediate_size": 16384,
                "hidden_act": "gelu_new", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
            }),
        );
        let own = Own::deserialize(Value::Object(raw.clone()))?;
        raw.insert("classifier_dropout".into(), json!(own.classifier_dropout_prob));
        Ok(Self { bert: BertConfig::deserialize(Value::Object(raw))?, own })
    }
}

impl AlbertConfig {
    /// Which weights each layer has, computed as in transformers.
    fn order(&self) -> Vec<usize> {
        let layers = self.bert.num_hidden_layers;
        let times = layers as f64 / self.own.num_hidden_groups as f64;
        (0..layers).map(|layer| (layer as f64 / times) as usize).collect()
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let (bert, dropout) = (&self.bert, self.bert.head_dropout());
        let classifier = ClassifierConfig { uses_pooler: true, ..ClassifierConfig::first_token(dropout) };
        let transform = TransformConfig {
            width: Some(self.own.embedding_size),
            ..TransformConfig::normed(bert.hidden_act, bert.layer_norm_eps)
        };
        let tied = bert.tie_word_embeddings;
        let plain = LanguageModelConfig::plain(bert.vocab_size, tied);
        let masked = LanguageModelConfig { bias: true, transform: Some(transform), ..plain };
        let masked_rows = if tied { MASKED } else { MASKED_UNTIED };
        vec![
            HeadFacts::new(
                "AlbertForSequenceClassification",
                HeadKind::SequenceClassification(classifier),
                CLASSIFIER,
            ),
            token_labels("AlbertForTokenClassification", dropout).over(Parts::NO_POOLER),
            span("AlbertForQuestionAnswering").over(Parts::NO_POOLER),
            HeadFacts::new("AlbertForMaskedLM", HeadKind::MaskedLm(masked), masked_rows)
                .over(Parts::NO_POOLER),
        ]
    }
}

impl Family for AlbertConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys = BertConfig::DROPOUT;

    fn validate(&self) -> Result<(), ModelError> {
        let own = &self.own;
        if own.inner_group_num != 1 {
            return refuse("inner_group_num", own.inner_group_num);
        }
        self.bert.validate()?;
        check_sizes(MOST_WIDTH, &[("embedding_size", own.embedding_size)])?;
        check_sizes(MOST_LAYERS, &[("num_hidden_groups", own.num_hidden_groups)])?;
        if own.num_hidden_groups > self.bert.num_hidden_layers {
            let (groups, layers) = (own.num_hidden_groups, self.bert.num_hidden_layers);
            let reason = format!("num_hidden_groups = {groups} is more than num_hidden_layers = {layers}");
            return Err(ModelError::Config { reason });
        }
        Ok(())
    }

    fn init(&self, parts: Parts, device: &Device) -> Bert {
        let mut shape = self.bert.shape(parts);
        shape.block.attention.residual_dropout = Some(self.bert.hidden_dropout_prob);
        shape.block.dropout = 0.0;
        let shape = BertShape { projected_from: Some(self.own.embedding_size), order: self.order(), ..shape };
        Bert::new(&shape, device)
    }

    fn facts(&self) -> FamilyFacts {
        let bert = &self.bert;
        FamilyFacts {
            weights: WeightMap { prefix: "albert.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: ORDER,
            initializer_range: bert.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: bert.vocab_size, max_positions: bert.max_position_embeddings },
        }
    }
}

/// Where each tensor of a checkpoint goes.
const ROWS: &[Row] = &[
    copy("embeddings.word_embeddings.weight", "token_embedding.weight"),
    copy("embeddings.position_embeddings.weight", "position_embedding.weight"),
    copy("embeddings.token_type_embeddings.weight", "type_embedding.weight"),
    norm("embeddings.LayerNorm", "embedding_norm"),
    ignore("embeddings.position_ids"), // 0, 1, 2, ...: a buffer of old versions.
    linear("encoder.embedding_hidden_mapping_in", "embedding_projection"),
    linear("encoder.albert_layer_groups.{}.albert_layers.0.attention.query", "layers.{}.attention.query"),
    linear("encoder.albert_layer_groups.{}.albert_layers.0.attention.key", "layers.{}.attention.key"),
    linear("encoder.albert_layer_groups.{}.albert_layers.0.attention.value", "layers.{}.attention.value"),
    linear("encoder.albert_layer_groups.{}.albert_layers.0.attention.dense", "layers.{}.attention.output"),
    norm("encoder.albert_layer_groups.{}.albert_layers.0.attention.LayerNorm", "layers.{}.attention_norm"),
    linear("encoder.albert_layer_groups.{}.albert_layers.0.ffn", "layers.{}.ffn.inner"),
    linear("encoder.albert_layer_groups.{}.albert_layers.0.ffn_output", "layers.{}.ffn.outer"),
    norm("encoder.albert_layer_groups.{}.albert_layers.0.full_layer_layer_norm", "layers.{}.ffn_norm"),
    linear("pooler", "pooler"),
];

const ORDER: &[Row] = &[foreign("sop_classifier.*")];
const MASKED: &[Row] = &[
    linear("predictions.dense", "head.dense"),
    norm("predictions.LayerNorm", "head.norm"),
    copy("predictions.bias", "head.bias"),
    matrix("predictions.decoder.weight", "head.output.weight"), // Mostly the token embedding.
    ignore("predictions.decoder.bias"),                         // The same as `predictions.bias`.
];
const MASKED_UNTIED: &[Row] = &[
    linear("predictions.dense", "head.dense"),
    norm("predictions.LayerNorm", "head.norm"),
    matrix("predictions.decoder.weight", "head.output.weight"),
    copy("predictions.decoder.bias", "head.bias"),
    ignore("predictions.bias"), // transformers does not compute with it then.
];
