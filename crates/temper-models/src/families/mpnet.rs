//! MPNet: BERT's module with learned biases for relative positions, positions that start after the padding id, no segments.
//!
//! Song et al. 2020 (arXiv 2004.09297). Follows transformers 5.23, `modeling_mpnet.py`, which counts positions after
//! id 1 whatever `pad_token_id` says, and reads 32 rows of the table of biases.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bert::BertConfig;
use super::encoder::{Bert, BertShape};
use super::heads::{DENSE_CLASSIFIER, dense_classifier, span, token_labels};
use super::roberta::{MASKED, MASKED_UNTIED};
use super::{MOST_WIDTH, add_defaults, check_sizes};
use crate::heads::LanguageModelConfig;
use crate::layers::relative_buckets;
use crate::weights::{Row, WeightMap, copy, ignore, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// The id after which positions count.
const PADDING: u32 = 1;
/// Rows of the table that are read, and the distance from which on the last one is.
const BUCKETS: usize = 32;
const REACH: usize = 128;

/// MPNet's configuration: BERT's fields, some of them with other defaults, and the rows of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct MpnetConfig {
    bert: BertConfig,
    relative_attention_num_buckets: usize,
}

impl TryFrom<Map<String, Value>> for MpnetConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        add_defaults(&mut raw, json!({"vocab_size": 30527, "relative_attention_num_buckets": BUCKETS}));
        for unread in ["classifier_dropout", "type_vocab_size"] {
            raw.shift_remove(unread);
        }
        let relative_attention_num_buckets = usize::deserialize(&raw["relative_attention_num_buckets"])?;
        Ok(Self { bert: BertConfig::deserialize(Value::Object(raw))?, relative_attention_num_buckets })
    }
}

impl Family for MpnetConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys = BertConfig::DROPOUT;

    fn validate(&self) -> Result<(), ModelError> {
        self.bert.validate()?;
        let (rows, positions) = (self.relative_attention_num_buckets, self.bert.max_position_embeddings);
        check_sizes(MOST_WIDTH, &[("relative_attention_num_buckets", rows)])?;
        let reason = match (rows < BUCKETS, positions <= PADDING as usize + 1) {
            (true, _) => {
                format!("relative_attention_num_buckets = {rows}, but transformers reads {BUCKETS} rows")
            }
            (_, true) => {
                format!("max_position_embeddings = {positions}, but positions begin at {}", PADDING + 1)
            }
            _ => return Ok(()),
        };
        Err(ModelError::Config { reason })
    }

    fn init(&self, parts: Parts, device: &Device) -> Bert {
        let mut shape = self.bert.shape(parts);
        shape.block.attention.pattern.relative = Some(relative_buckets(BUCKETS, REACH, false));
        let shape = BertShape {
            types: None,
            positions_behind: Some(PADDING),
            buckets: Some(self.relative_attention_num_buckets),
            ..shape
        };
        Bert::new(&shape, device)
    }

    fn facts(&self) -> FamilyFacts {
        let (bert, dropout) = (&self.bert, self.bert.hidden_dropout_prob);
        let tied = bert.tie_word_embeddings;
        let masked =
            LanguageModelConfig::masked(bert.vocab_size, tied, Activation::Gelu, bert.layer_norm_eps);
        let masked_rows = if tied { MASKED } else { MASKED_UNTIED };
        let classifier = dense_classifier(Activation::Tanh, dropout);
        let heads = vec![
            HeadFacts::new("MPNetForSequenceClassification", classifier, DENSE_CLASSIFIER),
            token_labels("MPNetForTokenClassification", dropout),
            span("MPNetForQuestionAnswering"),
            HeadFacts::new("MPNetForMaskedLM", HeadKind::MaskedLm(masked), masked_rows),
        ];
        FamilyFacts {
            weights: WeightMap { prefix: "mpnet.", groups: 1, rows: ROWS },
            heads: heads.into_iter().map(|head| head.over(Parts::NO_POOLER)).collect(),
            foreign: &[],
            initializer_range: bert.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds {
                vocab_size: bert.vocab_size,
                max_positions: bert.max_position_embeddings - PADDING as usize - 1,
            },
        }
    }
}

/// Where each tensor of a checkpoint goes.
const ROWS: &[Row] = &[
    copy("embeddings.word_embeddings.weight", "token_embedding.weight"),
    copy("embeddings.position_embeddings.weight", "position_embedding.weight"),
    norm("embeddings.LayerNorm", "embedding_norm"),
    ignore("embeddings.position_ids"), // 0, 1, 2, ...: a buffer of old versions.
    copy("encoder.relative_attention_bias.weight", "relative_bias.weight"),
    linear("encoder.layer.{}.attention.attn.q", "layers.{}.attention.query"),
    linear("encoder.layer.{}.attention.attn.k", "layers.{}.attention.key"),
    linear("encoder.layer.{}.attention.attn.v", "layers.{}.attention.value"),
    linear("encoder.layer.{}.attention.attn.o", "layers.{}.attention.output"),
    norm("encoder.layer.{}.attention.LayerNorm", "layers.{}.attention_norm"),
    linear("encoder.layer.{}.intermediate.dense", "layers.{}.ffn.inner"),
    linear("encoder.layer.{}.output.dense", "layers.{}.ffn.outer"),
    norm("encoder.layer.{}.output.LayerNorm", "layers.{}.ffn_norm"),
    linear("pooler.dense", "pooler"),
];
