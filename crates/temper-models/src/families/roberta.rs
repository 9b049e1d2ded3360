//! RoBERTa: BERT's module with positions that start after the padding id, and other heads.
//!
//! Liu et al. 2019 (arXiv 1907.11692). Follows transformers 5.23, `modeling_roberta.py`. Its heads have no
//! pooler, the classifier has a square map of its own, and the masked head always uses the exact GELU.
//! XLM-RoBERTa (arXiv 1911.02116) and CamemBERT (arXiv 1911.03894) are the same but for names and sizes.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bert::{BertConfig, ROWS};
use super::encoder::{Bert, BertShape};
use super::heads::{DENSE_CLASSIFIER, dense_classifier, span, token_labels};
use super::refuse;
use crate::heads::LanguageModelConfig;
use crate::weights::{Row, WeightMap, copy, ignore, linear, matrix, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, ModelError, Parts};

/// A model that shares this file: what transformers has of its own for it.
#[derive(Debug)]
struct Variant {
    model_type: &'static str,
    /// What its configuration has where the file names no size.
    vocab_size: usize,
    /// Its classes for sequences, tokens, spans and masked tokens.
    architectures: [&'static str; 4],
}

/// The first one stands in for a `model_type` that is not listed.
const VARIANTS: &[Variant] = &[
    Variant {
        model_type: "roberta",
        vocab_size: 50265,
        architectures: [
            "RobertaForSequenceClassification",
            "RobertaForTokenClassification",
            "RobertaForQuestionAnswering",
            "RobertaForMaskedLM",
        ],
    },
    Variant {
        model_type: "xlm-roberta",
        vocab_size: 30522,
        architectures: [
            "XLMRobertaForSequenceClassification",
            "XLMRobertaForTokenClassification",
            "XLMRobertaForQuestionAnswering",
            "XLMRobertaForMaskedLM",
        ],
    },
    Variant {
        model_type: "camembert",
        vocab_size: 30522,
        architectures: [
            "CamembertForSequenceClassification",
            "CamembertForTokenClassification",
            "CamembertForQuestionAnswering",
            "CamembertForMaskedLM",
        ],
    },
];

/// RoBERTa's configuration: BERT's fields, some of them with other defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct RobertaConfig {
    bert: BertConfig,
    variant: &'static Variant,
}

impl TryFrom<Map<String, Value>> for RobertaConfig {
    type Error = serde_json::Error;

    fn try_from(mut raw: Map<String, Value>) -> Result<Self, Self::Error> {
        let named = |variant: &&Variant| raw.get("model_type").is_some_and(|name| name == variant.model_type);
        let variant = VARIANTS.iter().find(named).unwrap_or(&VARIANTS[0]);
        raw.entry("vocab_size").or_insert(json!(variant.vocab_size));
        raw.entry("pad_token_id").or_insert(json!(1));
        Ok(Self { bert: BertConfig::deserialize(Value::Object(raw))?, variant })
    }
}

impl RobertaConfig {
    /// The position of a sequence's first token; padding has the one before it.
    fn first_position(&self) -> usize {
        self.bert.pad_token_id.map_or(0, |pad| pad as usize + 1)
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let config = &self.bert;
        let dropout = config.head_dropout();
        let tied = config.tie_word_embeddings;
        let (vocab, epsilon) = (config.vocab_size, config.layer_norm_eps);
        let masked = LanguageModelConfig::masked(vocab, tied, Activation::Gelu, epsilon);
        let masked_rows = if tied { MASKED } else { MASKED_UNTIED };
        let [sequences, tokens, spans, hidden] = self.variant.architectures;
        let heads = vec![
            HeadFacts::new(sequences, dense_classifier(Activation::Tanh, dropout), DENSE_CLASSIFIER),
            token_labels(tokens, dropout),
            span(spans),
            HeadFacts::new(hidden, HeadKind::MaskedLm(masked), masked_rows),
        ];
        heads.into_iter().map(|head| head.over(Parts::NO_POOLER)).collect()
    }
}

impl Family for RobertaConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys = BertConfig::DROPOUT;

    fn validate(&self) -> Result<(), ModelError> {
        self.bert.validate()?;
        if self.bert.pad_token_id.is_none() {
            return refuse("pad_token_id", "null");
        }
        let (first, positions) = (self.first_position(), self.bert.max_position_embeddings);
        if first < positions {
            return Ok(());
        }
        let reason = format!("max_position_embeddings = {positions}, but positions begin at {first}");
        Err(ModelError::Config { reason })
    }

    fn init(&self, parts: Parts, device: &Device) -> Bert {
        Bert::new(&BertShape { positions_behind: self.bert.pad_token_id, ..self.bert.shape(parts) }, device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WeightMap { prefix: "roberta.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: &[],
            initializer_range: self.bert.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds {
                vocab_size: self.bert.vocab_size,
                max_positions: self.bert.max_position_embeddings - self.first_position(),
            },
        }
    }
}

pub(super) const MASKED: &[Row] = &[
    linear("lm_head.dense", "head.dense"),
    norm("lm_head.layer_norm", "head.norm"),
    copy("lm_head.bias", "head.bias"),
    matrix("lm_head.decoder.weight", "head.output.weight"), // Mostly the token embedding.
    ignore("lm_head.decoder.bias"),                         // The same as `lm_head.bias`.
];
pub(super) const MASKED_UNTIED: &[Row] = &[
    linear("lm_head.dense", "head.dense"),
    norm("lm_head.layer_norm", "head.norm"),
    matrix("lm_head.decoder.weight", "head.output.weight"),
    copy("lm_head.decoder.bias", "head.bias"),
    ignore("lm_head.bias"), // transformers does not compute with it then.
];
