//! The one place that knows which families there are.

use burn::module::Module;
use burn::tensor::Tensor;
use serde_json::{Map, Value};

use crate::families::albert::AlbertConfig;
use crate::families::bart::BartConfig;
use crate::families::bert::{Bert, BertConfig};
use crate::families::bloom::BloomConfig;
use crate::families::decoder::Decoder;
use crate::families::distilbert::DistilBertConfig;
use crate::families::electra::ElectraConfig;
use crate::families::encoder_decoder::EncoderDecoder;
use crate::families::falcon::FalconConfig;
use crate::families::gemma::GemmaConfig;
use crate::families::gpt_neo::GptNeoConfig;
use crate::families::gpt2::Gpt2Config;
use crate::families::llama::LlamaConfig;
use crate::families::modernbert::ModernBertConfig;
use crate::families::mpnet::MpnetConfig;
use crate::families::openai_gpt::OpenAiGptConfig;
use crate::families::roberta::RobertaConfig;
use crate::families::t5::T5Config;
use crate::layers::LinearWalk;
use crate::{
    Backbone, HeadTask, Mode, ModelConfig, ModelError, Pass, Rows, TokenBatch, TrunkRows, TrunkState,
};

/// A backbone of any family.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One a model: nothing to save.
pub enum AnyBackbone {
    /// BERT and the encoders that are made like it.
    Bert(Bert),
    /// Every model that has only a decoder, and ModernBERT.
    Decoder(Decoder),
    /// BART and T5.
    EncoderDecoder(EncoderDecoder),
}

/// `model_type`s that [`parse`] knows.
const KNOWN: &[&str] = &[
    "albert",
    "bart",
    "bert",
    "bloom",
    "camembert",
    "distilbert",
    "electra",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neo",
    "llama",
    "mistral",
    "modernbert",
    "mpnet",
    "openai-gpt",
    "phi3",
    "qwen2",
    "qwen3",
    "roberta",
    "t5",
    "xlm-roberta",
];

/// Reads the configuration of the family that `model_type` names.
pub(crate) fn parse(raw: Map<String, Value>) -> Result<ModelConfig, ModelError> {
    match raw.get("model_type").and_then(Value::as_str).unwrap_or_default() {
        "albert" => ModelConfig::of_family::<AlbertConfig>(raw, AnyBackbone::Bert),
        "bart" => ModelConfig::of_family::<BartConfig>(raw, AnyBackbone::EncoderDecoder),
        "bert" => ModelConfig::of_family::<BertConfig>(raw, AnyBackbone::Bert),
        "distilbert" => ModelConfig::of_family::<DistilBertConfig>(raw, AnyBackbone::Bert),
        "electra" => ModelConfig::of_family::<ElectraConfig>(raw, AnyBackbone::Bert),
        "mpnet" => ModelConfig::of_family::<MpnetConfig>(raw, AnyBackbone::Bert),
        "modernbert" => ModelConfig::of_family::<ModernBertConfig>(raw, AnyBackbone::Decoder),
        "roberta" | "camembert" | "xlm-roberta" => {
            ModelConfig::of_family::<RobertaConfig>(raw, AnyBackbone::Bert)
        }
        "falcon" => ModelConfig::of_family::<FalconConfig>(raw, AnyBackbone::Decoder),
        "llama" | "mistral" | "phi3" | "qwen2" | "qwen3" => {
            ModelConfig::of_family::<LlamaConfig>(raw, AnyBackbone::Decoder)
        }
        "bloom" => ModelConfig::of_family::<BloomConfig>(raw, AnyBackbone::Decoder),
        "gemma" | "gemma2" | "gemma3_text" => {
            ModelConfig::of_family::<GemmaConfig>(raw, AnyBackbone::Decoder)
        }
        "gpt2" => ModelConfig::of_family::<Gpt2Config>(raw, AnyBackbone::Decoder),
        "gpt_neo" => ModelConfig::of_family::<GptNeoConfig>(raw, AnyBackbone::Decoder),
        "openai-gpt" => ModelConfig::of_family::<OpenAiGptConfig>(raw, AnyBackbone::Decoder),
        "t5" => ModelConfig::of_family::<T5Config>(raw, AnyBackbone::EncoderDecoder),
        other => Err(ModelError::UnknownFamily { model_type: other.into(), known: KNOWN.join(", ") }),
    }
}

impl AnyBackbone {
    fn family(&self) -> &dyn Backbone {
        match self {
            Self::Bert(bert) => bert,
            Self::Decoder(decoder) => decoder,
            Self::EncoderDecoder(model) => model,
        }
    }

    fn family_mut(&mut self) -> &mut dyn Backbone {
        match self {
            Self::Bert(bert) => bert,
            Self::Decoder(decoder) => decoder,
            Self::EncoderDecoder(model) => model,
        }
    }
}

impl Backbone for AnyBackbone {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        self.family().run(batch, pass)
    }

    fn pool(&self, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.family().pool(hidden, mode)
    }

    fn token_table(&self) -> Tensor<2> {
        self.family().token_table()
    }

    fn encode(&self, batch: &TokenBatch, mode: Mode) -> Option<Tensor<2>> {
        self.family().encode(batch, mode)
    }

    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        self.family_mut().walk_linears(walk);
    }

    fn trunk(&self, batch: &TokenBatch, depth: usize, rows: Rows) -> TrunkState {
        self.family().trunk(batch, depth, rows)
    }

    fn trunk_rows(&self, depth: usize, rows: Rows, tokens: usize, target: usize) -> TrunkRows {
        self.family().trunk_rows(depth, rows, tokens, target)
    }

    fn drops_out(&self) -> bool {
        self.family().drops_out()
    }

    fn hidden_size(&self) -> usize {
        self.family().hidden_size()
    }

    fn layer_count(&self) -> usize {
        self.family().layer_count()
    }
}

/// A family that the registry knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFamily {
    /// What config.json calls it.
    pub model_type: &'static str,
    /// Class and task of each of its heads.
    pub heads: Vec<(&'static str, HeadTask)>,
}

/// Every family that [`ModelConfig::read`] knows, with its heads.
pub fn families() -> Vec<KnownFamily> {
    let heads = |model_type: &str| {
        // All else is the default; T5 has none for the token that decoding begins with.
        let mut raw = Map::from_iter([("model_type".to_owned(), Value::from(model_type))]);
        raw.insert("decoder_start_token_id".into(), Value::from(0));
        let config = parse(raw).ok()?;
        let heads = config.facts().heads.iter().map(|head| (head.architecture, head.kind.task()));
        Some(heads.collect())
    };
    let family =
        |&model_type: &&'static str| KnownFamily { model_type, heads: heads(model_type).unwrap_or_default() };
    KNOWN.iter().map(family).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_can_be_read_and_has_heads() {
        for family in families() {
            assert!(!family.heads.is_empty(), "{} has a default that it refuses", family.model_type);
        }
    }
}
