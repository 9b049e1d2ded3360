//! The one place that knows which families there are.

use burn::module::Module;
use burn::tensor::Tensor;
use serde_json::{Map, Value};

use crate::families::bart::BartConfig;
use crate::families::bert::{Bert, BertConfig};
use crate::families::encoder_decoder::EncoderDecoder;
use crate::families::t5::T5Config;
use crate::{Backbone, Mode, ModelConfig, ModelError, Pass, TokenBatch};

/// A backbone of any family.
#[derive(Module, Debug)]
pub enum AnyBackbone {
    /// BERT.
    Bert(Bert),
    /// BART and T5.
    EncoderDecoder(EncoderDecoder),
}

/// `model_type`s that [`parse`] knows.
const KNOWN: &[&str] = &["bart", "bert", "t5"];

/// Reads the configuration of the family that `model_type` names.
pub(crate) fn parse(raw: Map<String, Value>) -> Result<ModelConfig, ModelError> {
    match raw.get("model_type").and_then(Value::as_str).unwrap_or_default() {
        "bart" => ModelConfig::of_family::<BartConfig>(raw, AnyBackbone::EncoderDecoder),
        "bert" => ModelConfig::of_family::<BertConfig>(raw, AnyBackbone::Bert),
        "t5" => ModelConfig::of_family::<T5Config>(raw, AnyBackbone::EncoderDecoder),
        other => Err(ModelError::UnknownFamily { model_type: other.into(), known: KNOWN.join(", ") }),
    }
}

impl AnyBackbone {
    fn family(&self) -> &dyn Backbone {
        match self {
            Self::Bert(bert) => bert,
            Self::EncoderDecoder(model) => model,
        }
    }
}

impl Backbone for AnyBackbone {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        self.family().run(batch, pass)
    }

    fn pool(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.family().pool(hidden)
    }

    fn token_table(&self) -> Tensor<2> {
        self.family().token_table()
    }

    fn encode(&self, batch: &TokenBatch, mode: Mode) -> Option<Tensor<2>> {
        self.family().encode(batch, mode)
    }

    fn hidden_size(&self) -> usize {
        self.family().hidden_size()
    }

    fn layer_count(&self) -> usize {
        self.family().layer_count()
    }
}
