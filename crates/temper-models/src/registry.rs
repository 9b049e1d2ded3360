//! The one place that knows which families there are.

use burn::module::Module;
use burn::tensor::Tensor;
use serde_json::{Map, Value};

use crate::families::bert::{Bert, BertConfig};
use crate::families::bloom::BloomConfig;
use crate::families::decoder::Decoder;
use crate::families::falcon::{Falcon, FalconConfig};
use crate::families::gpt_neo::GptNeoConfig;
use crate::families::gpt2::Gpt2Config;
use crate::families::llama::{Llama, LlamaConfig};
use crate::families::openai_gpt::OpenAiGptConfig;
use crate::{Backbone, Mode, ModelConfig, ModelError, Pass, TokenBatch};

/// A backbone of any family.
#[derive(Module, Debug)]
pub enum AnyBackbone {
    /// BERT.
    Bert(Bert),
    /// GPT, GPT-2, GPT-Neo or BLOOM.
    Decoder(Decoder),
    /// Falcon.
    Falcon(Falcon),
    /// LLaMA.
    Llama(Llama),
}

/// `model_type`s that [`parse`] knows.
const KNOWN: &[&str] = &["bert", "bloom", "falcon", "gpt2", "gpt_neo", "llama", "openai-gpt"];

/// Reads the configuration of the family that `model_type` names.
pub(crate) fn parse(raw: Map<String, Value>) -> Result<ModelConfig, ModelError> {
    match raw.get("model_type").and_then(Value::as_str).unwrap_or_default() {
        "bert" => ModelConfig::of_family::<BertConfig>(raw, AnyBackbone::Bert),
        "bloom" => ModelConfig::of_family::<BloomConfig>(raw, AnyBackbone::Decoder),
        "gpt2" => ModelConfig::of_family::<Gpt2Config>(raw, AnyBackbone::Decoder),
        "gpt_neo" => ModelConfig::of_family::<GptNeoConfig>(raw, AnyBackbone::Decoder),
        "openai-gpt" => ModelConfig::of_family::<OpenAiGptConfig>(raw, AnyBackbone::Decoder),
        "falcon" => ModelConfig::of_family::<FalconConfig>(raw, AnyBackbone::Falcon),
        "llama" => ModelConfig::of_family::<LlamaConfig>(raw, AnyBackbone::Llama),
        other => Err(ModelError::UnknownFamily { model_type: other.into(), known: KNOWN.join(", ") }),
    }
}

impl AnyBackbone {
    fn family(&self) -> &dyn Backbone {
        match self {
            Self::Bert(bert) => bert,
            Self::Decoder(decoder) => decoder,
            Self::Falcon(falcon) => falcon,
            Self::Llama(llama) => llama,
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
