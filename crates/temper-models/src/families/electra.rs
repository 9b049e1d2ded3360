//! ELECTRA: BERT's module with embeddings that may be narrower than its layers, and other heads.
//!
//! Clark et al. 2020 (arXiv 2003.10555). Follows transformers 5.23, `modeling_electra.py`. The head that finds replaced
//! tokens (`ElectraForPreTraining`) is not here: a discriminator's checkpoint gets another one.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bert::{BertConfig, ROWS};
use super::encoder::{Bert, BertShape};
use super::heads::{DENSE_CLASSIFIER, dense_classifier, span, token_labels};
use super::{MOST_WIDTH, add_defaults, check_sizes};
use crate::heads::{LanguageModelConfig, TransformConfig};
use crate::weights::{Row, WeightMap, copy, foreign, linear, matrix, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// ELECTRA's configuration: BERT's fields, some of them with other defaults, and the width of the embeddings.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct ElectraConfig {
    bert: BertConfig,
    embedding_size: usize,
}

impl TryFrom<Map<String, Value>> for ElectraConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        add_defaults(
            &mut raw,
            json!({
                "embedding_size": 128, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024,
            }),
        );
        let embedding_size = usize::deserialize(&raw["embedding_size"])?;
        Ok(Self { bert: BertConfig::deserialize(Value::Object(raw))?, embedding_size })
    }
}

impl Family for ElectraConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys = BertConfig::DROPOUT;

    fn validate(&self) -> Result<(), ModelError> {
        check_sizes(MOST_WIDTH, &[("embedding_size", self.embedding_size)])?;
        self.bert.validate()
    }

    fn init(&self, parts: Parts, device: &Device) -> Bert {
        let is_projected = self.embedding_size != self.bert.hidden_size;
        let shape = BertShape {
            projected_from: is_projected.then_some(self.embedding_size),
            pooler: false,
            ..self.bert.shape(parts)
        };
        Bert::new(&shape, device)
    }

    fn facts(&self) -> FamilyFacts {
        let (bert, dropout) = (&self.bert, self.bert.head_dropout());
        let transform = TransformConfig {
            width: Some(self.embedding_size),
            ..TransformConfig::normed(Activation::Gelu, bert.layer_norm_eps)
        };
        let plain = LanguageModelConfig::plain(bert.vocab_size, bert.tie_word_embeddings);
        let masked = LanguageModelConfig { bias: true, transform: Some(transform), ..plain };
        let classifier = dense_classifier(Activation::Gelu, dropout);
        FamilyFacts {
            weights: WeightMap { prefix: "electra.", groups: 1, rows: ROWS },
            heads: vec![
                HeadFacts::new("ElectraForSequenceClassification", classifier, DENSE_CLASSIFIER),
                token_labels("ElectraForTokenClassification", dropout),
                span("ElectraForQuestionAnswering"),
                HeadFacts::new("ElectraForMaskedLM", HeadKind::MaskedLm(masked), MASKED),
            ],
            foreign: DISCRIMINATOR,
            initializer_range: bert.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: bert.vocab_size, max_positions: bert.max_position_embeddings },
        }
    }
}

const DISCRIMINATOR: &[Row] = &[foreign("discriminator_predictions.*")];
const MASKED: &[Row] = &[
    linear("generator_predictions.dense", "head.dense"),
    norm("generator_predictions.LayerNorm", "head.norm"),
    matrix("generator_lm_head.weight", "head.output.weight"), // Mostly the token embedding.
    copy("generator_lm_head.bias", "head.bias"),
];
