//! DeBERTa of its third version: BERT's module without positions in the embeddings; scores depend on vectors of relative
//! positions, which the maps of queries and keys read (disentangled attention).
//!
//! He et al. 2021 (arXiv 2006.03654 and 2111.09543). Follows transformers 5.23, `modeling_deberta_v2.py`. The convolution of
//! DeBERTa-v2-xlarge is refused.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bert::{BertConfig, MASKED, MASKED_UNTIED};
use super::encoder::{Bert, BertShape};
use super::heads::{dense_classifier, span, token_labels};
use super::{MOST_ROWS, add_defaults, check_dropout, check_sizes, refuse};
use crate::heads::LanguageModelConfig;
use crate::layers::log_buckets;
use crate::weights::{Row, WeightMap, copy, foreign, ignore, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// DeBERTa's configuration: BERT's fields, some of them with other defaults, and those of its attention and heads.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct DebertaConfig {
    bert: BertConfig,
    own: OwnFields,
    /// Whether there are segments.
    has_types: bool,
}

/// What BERT does not have.
#[derive(Clone, Debug, Deserialize)]
struct OwnFields {
    relative_attention: bool,
    /// Buckets for distances of each sign; a bucket for each distance where it is not positive.
    position_buckets: i64,
    /// The longest distance; `max_position_embeddings` where it is not positive.
    max_relative_positions: i64,
    /// A list, or names with `|` between them.
    pos_att_type: Value,
    share_att_key: bool,
    norm_rel_ebd: String,
    /// Whether positions are embedded, too.
    position_biased_input: bool,
    conv_kernel_size: u64,
    embedding_size: usize,
    pooler_dropout: f64,
    pooler_hidden_act: Activation,
    cls_dropout: Option<f64>,
    /// The masked head's form.
    legacy: bool,
}

impl TryFrom<Map<String, Value>> for DebertaConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        add_defaults(
            &mut raw,
            json!({
                "vocab_size": 128_100, "hidden_size": 1536, "num_hidden_layers": 24, "num_attention_heads": 24,
                "intermediate_size": 6144, "layer_norm_eps": 1e-7, "type_vocab_size": 0,
                "relative_attention": false, "position_buckets": -1, "max_relative_positions": -1,
                "pos_att_type": null, "share_att_key": false, "norm_rel_ebd": "none",
                "position_biased_input": true, "conv_kernel_size": 0, "pooler_dropout": 0.0,
                "pooler_hidden_act": "gelu", "cls_dropout": null, "legacy": true,
            }),
        );
        let hidden = raw["hidden_size"].clone();
        add_defaults(&mut raw, json!({"embedding_size": hidden}));
        let own = OwnFields::deserialize(Value::Object(raw.clone()))?;
        let has_types = usize::deserialize(&raw["type_vocab_size"])? > 0;
        if !has_types {
            raw.shift_remove("type_vocab_size");
        }
        raw.shift_remove("classifier_dropout");
        Ok(Self { bert: BertConfig::deserialize(Value::Object(raw))?, own, has_types })
    }
}

impl DebertaConfig {
    /// What is computed for relative positions, sorted.
    fn terms(&self) -> Vec<String> {
        let names: Vec<&str> = match &self.own.pos_att_type {
            Value::String(names) => names.split('|').collect(),
            names => names.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        let mut names: Vec<String> = names.iter().map(|name| name.trim().to_lowercase()).collect();
        names.sort();
        names
    }

    /// The longest distance.
    fn reach(&self) -> usize {
        match usize::try_from(self.own.max_relative_positions) {
            Ok(reach) if reach > 0 => reach,
            _ => self.bert.max_position_embeddings,
        }
    }

    /// Buckets for distances of each sign, and the distance up to which each has one.
    fn span(&self) -> (usize, usize) {
        match usize::try_from(self.own.position_buckets) {
            Ok(buckets) if buckets > 0 => (buckets, buckets / 2),
            _ => (self.reach(), self.reach()),
        }
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let (bert, dropout) = (&self.bert, self.bert.hidden_dropout_prob);
        let mut classifier =
            dense_classifier(self.own.pooler_hidden_act, self.own.cls_dropout.unwrap_or(dropout));
        if let HeadKind::SequenceClassification(config) = &mut classifier {
            config.input_dropout = self.own.pooler_dropout;
        }
        let tied = bert.tie_word_embeddings || !self.own.legacy;
        let masked = LanguageModelConfig::masked(bert.vocab_size, tied, bert.hidden_act, bert.layer_norm_eps);
        let masked_rows = match (self.own.legacy, tied) {
            (false, _) => MASKED_ANEW,
            (true, true) => MASKED,
            (true, false) => MASKED_UNTIED,
        };
        let heads = vec![
            HeadFacts::new("DebertaV2ForSequenceClassification", classifier, POOLED),
            token_labels("DebertaV2ForTokenClassification", dropout),
            span("DebertaV2ForQuestionAnswering"),
            HeadFacts::new("DebertaV2ForMaskedLM", HeadKind::MaskedLm(masked), masked_rows),
        ];
        heads.into_iter().map(|head| head.over(Parts::NO_POOLER)).collect()
    }
}

impl Family for DebertaConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys = BertConfig::DROPOUT;
    const NEEDED: &'static [(&'static str, &'static str)] =
        &[("relative_attention", "true"), ("pos_att_type", r#""c2p|p2c""#), ("share_att_key", "true")];

    fn validate(&self) -> Result<(), ModelError> {
        let own = &self.own;
        if !own.relative_attention {
            return refuse("relative_attention", false);
        }
        if self.terms() != ["c2p", "p2c"] {
            return refuse("pos_att_type", &own.pos_att_type);
        }
        if !own.share_att_key {
            return refuse("share_att_key", false);
        }
        if own.conv_kernel_size > 0 {
            return refuse("conv_kernel_size", own.conv_kernel_size);
        }
        if own.embedding_size != self.bert.hidden_size {
            return refuse("embedding_size", own.embedding_size);
        }
        self.bert.validate()?;
        check_dropout(&[
            ("pooler_dropout", own.pooler_dropout),
            ("cls_dropout", own.cls_dropout.unwrap_or_default()),
        ])?;
        let (buckets, exact) = self.span();
        check_sizes(MOST_ROWS, &[("max_relative_positions", self.reach()), ("position_buckets", buckets)])?;
        let reach = self.reach();
        let reason = match (exact == 0, exact != reach && reach <= exact + 1) {
            (true, _) => format!("position_buckets = {buckets} leave no bucket for a distance"),
            // Beyond the exact distances a logarithm to the base of (reach - 1) / exact is taken.
            (_, true) => {
                format!("max_relative_positions = {reach} is not above {}, half the buckets + 1", exact + 1)
            }
            _ => return Ok(()),
        };
        Err(ModelError::Config { reason })
    }

    fn init(&self, _parts: Parts, device: &Device) -> Bert {
        let mut shape = self.bert.shape(Parts::NO_POOLER);
        let (buckets, exact) = self.span();
        let attention = &mut shape.block.attention;
        attention.pattern.relative = Some(log_buckets(buckets, exact, self.reach()));
        // The scores have three terms.
        attention.pattern.scale /= 3.0_f32.sqrt();
        attention.relative_vectors = Some(self.bert.hidden_dropout_prob);
        let shape = BertShape {
            types: shape.types.filter(|_| self.has_types),
            positions: shape.positions.filter(|_| self.own.position_biased_input),
            relative_vectors: Some((2 * buckets, self.own.norm_rel_ebd.contains("layer_norm"))),
            ..shape
        };
        Bert::new(&shape, device)
    }

    fn facts(&self) -> FamilyFacts {
        let bert = &self.bert;
        FamilyFacts {
            weights: WeightMap { prefix: "deberta.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: OTHER_HEADS,
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
    copy("encoder.rel_embeddings.weight", "relative_embedding.weight"),
    norm("encoder.LayerNorm", "relative_embedding_norm"),
    linear("encoder.layer.{}.attention.self.query_proj", "layers.{}.attention.query"),
    linear("encoder.layer.{}.attention.self.key_proj", "layers.{}.attention.key"),
    linear("encoder.layer.{}.attention.self.value_proj", "layers.{}.attention.value"),
    linear("encoder.layer.{}.attention.output.dense", "layers.{}.attention.output"),
    norm("encoder.layer.{}.attention.output.LayerNorm", "layers.{}.attention_norm"),
    linear("encoder.layer.{}.intermediate.dense", "layers.{}.ffn.inner"),
    linear("encoder.layer.{}.output.dense", "layers.{}.ffn.outer"),
    norm("encoder.layer.{}.output.LayerNorm", "layers.{}.ffn_norm"),
];

/// The heads of DeBERTa-v3's pretraining.
const OTHER_HEADS: &[Row] = &[foreign("lm_predictions.*"), foreign("mask_predictions.*")];
const POOLED: &[Row] = &[linear("pooler.dense", "head.dense"), linear("classifier", "head.output")];
/// The masked head whose map is always the token embedding.
const MASKED_ANEW: &[Row] = &[
    linear("lm_predictions.lm_head.dense", "head.dense"),
    norm("lm_predictions.lm_head.LayerNorm", "head.norm"),
    copy("lm_predictions.lm_head.bias", "head.bias"),
];
