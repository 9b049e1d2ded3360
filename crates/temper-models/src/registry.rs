//! The one place that knows which families there are.

use std::sync::{PoisonError, RwLock};

use burn::module::Module;
use burn::tensor::Tensor;
use serde_json::{Map, Value};

use crate::families::albert::AlbertConfig;
use crate::families::bart::BartConfig;
use crate::families::bert::BertConfig;
use crate::families::bloom::BloomConfig;
use crate::families::deberta::DebertaConfig;
use crate::families::decoder::Decoder;
use crate::families::distilbert::DistilBertConfig;
use crate::families::electra::ElectraConfig;
use crate::families::encoder::Bert;
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
    Backbone, Family, HeadTask, Mode, ModelConfig, ModelError, Pass, Rows, TokenBatch, TrunkRows, TrunkState,
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

impl From<Bert> for AnyBackbone {
    fn from(bert: Bert) -> Self {
        Self::Bert(bert)
    }
}

impl From<Decoder> for AnyBackbone {
    fn from(decoder: Decoder) -> Self {
        Self::Decoder(decoder)
    }
}

impl From<EncoderDecoder> for AnyBackbone {
    fn from(model: EncoderDecoder) -> Self {
        Self::EncoderDecoder(model)
    }
}

/// A row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct RegisteredFamily {
    model_type: &'static str,
    /// Fields, as JSON, without which a configuration with the default of all others is refused.
    needed: &'static [(&'static str, &'static str)],
    parse: fn(Map<String, Value>) -> Result<ModelConfig, ModelError>,
}

impl RegisteredFamily {
    /// The family whose config.json names this `model_type`.
    pub const fn of<F: Family>(model_type: &'static str) -> Self
    where
        AnyBackbone: From<F::Backbone>,
    {
        let parse = |raw| ModelConfig::of_family::<F>(raw, AnyBackbone::from);
        Self { model_type, needed: F::NEEDED, parse }
    }

    /// The shortest config.json of the family: what it has no default for.
    fn smallest(&self) -> Map<String, Value> {
        let needed =
            self.needed.iter().filter_map(|(key, json)| Some((*key, serde_json::from_str(json).ok()?)));
        let all = [("model_type", Value::from(self.model_type))].into_iter().chain(needed);
        all.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The shortest config.json of a family that is registered.
#[cfg(test)]
pub(crate) fn smallest_config(model_type: &str) -> Option<ModelConfig> {
    let family = registered().into_iter().find(|family| family.model_type == model_type)?;
    parse(family.smallest()).ok()
}

/// The families of this crate.
const FAMILIES: &[RegisteredFamily] = &[
    RegisteredFamily::of::<AlbertConfig>("albert"),
    RegisteredFamily::of::<BartConfig>("bart"),
    RegisteredFamily::of::<BertConfig>("bert"),
    RegisteredFamily::of::<BloomConfig>("bloom"),
    RegisteredFamily::of::<RobertaConfig>("camembert"),
    RegisteredFamily::of::<DebertaConfig>("deberta-v2"),
    RegisteredFamily::of::<DistilBertConfig>("distilbert"),
    RegisteredFamily::of::<ElectraConfig>("electra"),
    RegisteredFamily::of::<FalconConfig>("falcon"),
    RegisteredFamily::of::<GemmaConfig>("gemma"),
    RegisteredFamily::of::<GemmaConfig>("gemma2"),
    RegisteredFamily::of::<GemmaConfig>("gemma3_text"),
    RegisteredFamily::of::<Gpt2Config>("gpt2"),
    RegisteredFamily::of::<GptNeoConfig>("gpt_neo"),
    RegisteredFamily::of::<LlamaConfig>("llama"),
    RegisteredFamily::of::<LlamaConfig>("mistral"),
    RegisteredFamily::of::<ModernBertConfig>("modernbert"),
    RegisteredFamily::of::<MpnetConfig>("mpnet"),
    RegisteredFamily::of::<OpenAiGptConfig>("openai-gpt"),
    RegisteredFamily::of::<LlamaConfig>("phi3"),
    RegisteredFamily::of::<LlamaConfig>("qwen2"),
    RegisteredFamily::of::<LlamaConfig>("qwen3"),
    RegisteredFamily::of::<RobertaConfig>("roberta"),
    RegisteredFamily::of::<T5Config>("t5"),
    RegisteredFamily::of::<RobertaConfig>("xlm-roberta"),
];

/// Families of other crates.
static ADDED: RwLock<Vec<RegisteredFamily>> = RwLock::new(Vec::new());

/// Adds families of other crates: from then on [`ModelConfig::read`] knows them, and with it every command of the program.
///
/// Their backbones are modules of this crate: [`Bert`], [`Decoder`] or [`EncoderDecoder`]. A family with a module of
/// its own is read by [`ModelConfig::read_as`].
///
/// # Errors
/// [`ModelError::FamilyTwice`] for a `model_type` that is registered already; then none is added.
pub fn register_families(families: &[RegisteredFamily]) -> Result<(), ModelError> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    let before = added.len();
    for family in families {
        if FAMILIES.iter().chain(added.iter()).any(|known| known.model_type == family.model_type) {
            added.truncate(before);
            return Err(ModelError::FamilyTwice { model_type: family.model_type });
        }
        added.push(*family);
    }
    Ok(())
}

/// All families: those of this crate, then those added.
fn registered() -> Vec<RegisteredFamily> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    [FAMILIES, added.as_slice()].concat()
}

/// Reads the configuration of the family that `model_type` names.
pub(crate) fn parse(raw: Map<String, Value>) -> Result<ModelConfig, ModelError> {
    let name = raw.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let families = registered();
    if let Some(family) = families.iter().find(|family| family.model_type == name) {
        return (family.parse)(raw);
    }
    let known: Vec<&str> = families.iter().map(|family| family.model_type).collect();
    Err(ModelError::UnknownFamily { model_type: name.into(), known: known.join(", ") })
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

    fn cached_context(&self) -> Option<usize> {
        self.family().cached_context()
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
    let heads = |family: &RegisteredFamily| {
        let config = (family.parse)(family.smallest()).ok()?;
        let heads = config.facts().heads.iter().map(|head| (head.architecture, head.kind.task()));
        Some(heads.collect())
    };
    let known = |family: RegisteredFamily| KnownFamily {
        model_type: family.model_type,
        heads: heads(&family).unwrap_or_default(),
    };
    registered().into_iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::FamilyFacts;

    #[test]
    fn every_family_can_be_read_and_has_heads() {
        for family in families() {
            assert!(!family.heads.is_empty(), "{} has a default that it refuses", family.model_type);
        }
    }

    #[test]
    fn a_family_of_another_crate_is_read_by_its_name_and_no_name_is_given_twice() {
        let read = || parse(Map::from_iter([("model_type".to_owned(), json!("of-another-crate"))]));
        assert!(matches!(read(), Err(ModelError::UnknownFamily { .. })));

        let other = RegisteredFamily::of::<Gpt2Config>("of-another-crate");
        let taken = RegisteredFamily::of::<Gpt2Config>("bert");
        let twice = register_families(&[other, taken]);
        assert!(matches!(twice, Err(ModelError::FamilyTwice { model_type: "bert" })));
        assert!(read().is_err(), "one of two was added");

        register_families(&[other]).unwrap();
        let first = |facts: &FamilyFacts| facts.heads[0].architecture;
        assert_eq!(first(read().unwrap().facts()), first(&Gpt2Config::default().facts()));
        assert!(families().iter().any(|family| family.model_type == "of-another-crate"));
        assert!(register_families(&[other]).is_err());
    }
}
