//! The one place that knows which families there are.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::families::bert::{self, Bert, BertConfig};
use crate::weights::{Row, WeightMap};
use crate::{Backbone, Bounds, Mode, ModelError, Rows, TokenBatch};

/// A backbone of any family.
#[derive(Module, Debug)]
pub enum AnyBackbone {
    /// BERT.
    Bert(Bert),
}

impl AnyBackbone {
    /// The same without the layer that pools a sequence, for heads that do not use it.
    pub(crate) fn without_pooler(self) -> Self {
        match self {
            Self::Bert(bert) => Self::Bert(bert.without_pooler()),
        }
    }

    fn family(&self) -> &dyn Backbone {
        match self {
            Self::Bert(bert) => bert,
        }
    }
}

impl Backbone for AnyBackbone {
    fn forward_watched(
        &self,
        batch: &TokenBatch,
        rows: Rows,
        mode: Mode,
        watch: &mut dyn FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        self.family().forward_watched(batch, rows, mode, watch)
    }

    fn pool(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.family().pool(hidden)
    }

    fn hidden_size(&self) -> usize {
        self.family().hidden_size()
    }

    fn layer_count(&self) -> usize {
        self.family().layer_count()
    }

    fn vocab_size(&self) -> usize {
        self.family().vocab_size()
    }

    fn max_positions(&self) -> usize {
        self.family().max_positions()
    }
}

/// The configuration of any family.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FamilyConfig {
    Bert(BertConfig),
}

/// What a family's heads and checkpoints look like.
pub(crate) struct FamilyFacts {
    /// The stored names of the backbone.
    pub(crate) weights: WeightMap,
    /// The stored names of the sequence-classification head.
    pub(crate) classifier: &'static [Row],
    /// Weights of heads that were not asked for.
    pub(crate) other_heads: &'static [Row],
    /// `architectures` of a classifier with the family's pooler.
    pub(crate) classifier_architecture: &'static str,
    /// `architectures` of a classifier over the bare first token: transformers' token classifier.
    pub(crate) token_classifier_architecture: &'static str,
    /// Dropout before a classification head.
    pub(crate) head_dropout: f64,
    /// Standard deviation of freshly drawn weights.
    pub(crate) initializer_range: f64,
    /// Path prefix of the pooler's parameters; a checkpoint may lack them, a head may not use them.
    pub(crate) pooler: &'static str,
}

impl FamilyConfig {
    /// Reads the configuration of the family that `model_type` names.
    pub(crate) fn parse(raw: &Value) -> Result<Self, ModelError> {
        match raw.get("model_type").and_then(Value::as_str).unwrap_or("") {
            "bert" => {
                let config: BertConfig = parse(raw)?;
                config.validate()?;
                Ok(Self::Bert(config))
            }
            other => Err(ModelError::UnknownFamily { model_type: other.into(), known: "bert".into() }),
        }
    }

    pub(crate) fn init(&self, device: &Device) -> AnyBackbone {
        match self {
            Self::Bert(config) => AnyBackbone::Bert(config.init(device)),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        match self {
            Self::Bert(config) => {
                Bounds { vocab_size: config.vocab_size, max_positions: config.max_position_embeddings }
            }
        }
    }

    pub(crate) fn facts(&self) -> FamilyFacts {
        match self {
            Self::Bert(config) => FamilyFacts {
                weights: bert::WEIGHTS,
                classifier: bert::CLASSIFIER,
                other_heads: bert::OTHER_HEADS,
                classifier_architecture: "BertForSequenceClassification",
                token_classifier_architecture: "BertForTokenClassification",
                head_dropout: config.head_dropout(),
                initializer_range: config.initializer_range,
                pooler: "pooler.",
            },
        }
    }
}

fn parse<C: DeserializeOwned>(raw: &Value) -> Result<C, ModelError> {
    C::deserialize(raw).map_err(|error| ModelError::Config { reason: error.to_string() })
}
