//! Which of transformers' tokenizer classes a folder has.
//!
//! After transformers 5.23, models/auto/tokenization_auto.py. `TokenizersBackend` takes tokenizer.json as it is; a
//! class with a constructor of its own takes only the vocabulary and the post-processor and makes the rest from
//! its arguments, hence from tokenizer_config.json.

use super::settings::TokenizerSettings;
use crate::DataError;

/// How a class makes its tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// tokenizer.json as it is.
    AsIs,
    Albert,
    Bert,
    Camembert,
    DebertaV2,
    Gemma,
    Gpt2,
    GptNeoX,
    Llama,
    Mpnet,
    OpenAiGpt,
    Qwen2,
    Roberta,
    T5,
    XlmRoberta,
}

/// A tokenizer class of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    /// Its name, without `Fast`.
    pub name: &'static str,
    /// How it makes its tokenizer.
    pub recipe: Recipe,
    /// Whether a model is given segment ids, unless `model_input_names` says otherwise.
    pub segments: bool,
}

const fn class(name: &'static str, recipe: Recipe) -> Class {
    Class { name, recipe, segments: matches!(recipe, Recipe::Bert | Recipe::DebertaV2) }
}

/// What AutoTokenizer takes where no class is named or none of its own.
pub(super) const AS_IS: Class = class("PreTrainedTokenizerFast", Recipe::AsIs);

pub(super) const BERT: Class = class("BertTokenizer", Recipe::Bert);
pub(super) const GPT2: Class = class("GPT2Tokenizer", Recipe::Gpt2);
pub(super) const ROBERTA: Class = class("RobertaTokenizer", Recipe::Roberta);

/// The classes whose recipes are known. ConvBertTokenizer takes tokenizer.json as it is, with segments.
const CLASSES: &[Class] = &[
    AS_IS,
    BERT,
    GPT2,
    ROBERTA,
    class("AlbertTokenizer", Recipe::Albert),
    class("BartTokenizer", Recipe::Roberta),
    class("BloomTokenizer", Recipe::AsIs),
    class("CamembertTokenizer", Recipe::Camembert),
    Class { name: "DistilBertTokenizer", recipe: Recipe::Bert, segments: false },
    class("DebertaV2Tokenizer", Recipe::DebertaV2),
    class("GPTNeoXTokenizer", Recipe::GptNeoX),
    class("GemmaTokenizer", Recipe::Gemma),
    class("LEDTokenizer", Recipe::Roberta),
    class("LlamaTokenizer", Recipe::Llama),
    class("LxmertTokenizer", Recipe::Bert),
    class("MPNetTokenizer", Recipe::Mpnet),
    class("MobileBertTokenizer", Recipe::Bert),
    class("MvpTokenizer", Recipe::Roberta),
    class("OpenAIGPTTokenizer", Recipe::OpenAiGpt),
    class("ParakeetTokenizer", Recipe::AsIs),
    class("PreTrainedTokenizer", Recipe::AsIs),
    class("Qwen2Tokenizer", Recipe::Qwen2),
    class("SqueezeBertTokenizer", Recipe::Bert),
    class("T5Tokenizer", Recipe::T5),
    class("TokenizersBackend", Recipe::AsIs),
    class("XLMRobertaTokenizer", Recipe::XlmRoberta),
];

/// Classes of transformers that make a tokenizer in ways that are not known here. A name that neither list has is no
/// class of transformers, which then takes tokenizer.json as it is.
const OTHERS: &[&str] = &[
    "BarthezTokenizer",
    "BartphoTokenizer",
    "BasicTokenizer",
    "BertGenerationTokenizer",
    "BertJapaneseTokenizer",
    "BertweetTokenizer",
    "BigBirdTokenizer",
    "BioGptTokenizer",
    "BlenderbotSmallTokenizer",
    "BlenderbotTokenizer",
    "ByT5Tokenizer",
    "CLIPTokenizer",
    "CTRLTokenizer",
    "CanineTokenizer",
    "CharacterTokenizer",
    "ClvpTokenizer",
    "CodeGenTokenizer",
    "CodeLlamaTokenizer",
    "CohereTokenizer",
    "ConvBertTokenizer",
    "CpmAntTokenizer",
    "CpmTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
    "DebertaTokenizer",
    "DiaTokenizer",
    "EsmTokenizer",
    "EsmcTokenizer",
    "FNetTokenizer",
    "FSMTTokenizer",
    "FastSpeech2ConformerTokenizer",
    "FlaubertTokenizer",
    "FunnelTokenizer",
    "GPTNeoXJapaneseTokenizer",
    "GPTSw3Tokenizer",
    "HerbertTokenizer",
    "LasrTokenizer",
    "LayoutLMv2Tokenizer",
    "LayoutLMv3Tokenizer",
    "LayoutXLMTokenizer",
    "LukeTokenizer",
    "M2M100Tokenizer",
    "MBart50Tokenizer",
    "MBartTokenizer",
    "MLukeTokenizer",
    "MarianTokenizer",
    "MarkupLMTokenizer",
    "MecabTokenizer",
    "MgpstrTokenizer",
    "MistralCommonBackend",
    "MyT5Tokenizer",
    "NllbTokenizer",
    "NougatTokenizer",
    "PLBartTokenizer",
    "PegasusTokenizer",
    "PerceiverTokenizer",
    "PhobertTokenizer",
    "Pop2PianoTokenizer",
    "ProphetNetTokenizer",
    "Qwen3_5Tokenizer",
    "RagTokenizer",
    "ReformerTokenizer",
    "RemBertTokenizer",
    "RoCBertTokenizer",
    "RoFormerTokenizer",
    "SeamlessM4TTokenizer",
    "Siglip2Tokenizer",
    "SiglipTokenizer",
    "Speech2TextTokenizer",
    "SpeechT5Tokenizer",
    "SplinterTokenizer",
    "TapasTokenizer",
    "Tipsv2Tokenizer",
    "UdopTokenizer",
    "VideoPrismTokenizer",
    "VitsTokenizer",
    "Wav2Vec2CTCTokenizer",
    "Wav2Vec2PhonemeCTCTokenizer",
    "WhisperTokenizer",
    "WordpieceTokenizer",
    "XGLMTokenizer",
    "XLMTokenizer",
    "XLNetTokenizer",
];

/// The class of a model type (TOKENIZER_MAPPING_NAMES). The files may name another.
const OF_MODELS: &[(&str, &str)] = &[
    ("albert", "AlbertTokenizer"),
    ("bart", "RobertaTokenizer"),
    ("bert", "BertTokenizer"),
    ("camembert", "CamembertTokenizer"),
    ("deberta-v2", "DebertaV2Tokenizer"),
    ("distilbert", "BertTokenizer"),
    ("electra", "BertTokenizer"),
    ("gemma", "GemmaTokenizer"),
    ("gemma2", "GemmaTokenizer"),
    ("gemma3_text", "GemmaTokenizer"),
    ("gpt2", "GPT2Tokenizer"),
    ("gpt_neo", "GPT2Tokenizer"),
    ("mpnet", "MPNetTokenizer"),
    ("openai-gpt", "OpenAIGPTTokenizer"),
    ("qwen2", "Qwen2Tokenizer"),
    ("qwen3", "Qwen2Tokenizer"),
    ("roberta", "RobertaTokenizer"),
    ("t5", "T5Tokenizer"),
    ("xlm-roberta", "XLMRobertaTokenizer"),
];

/// The class that AutoTokenizer takes; none where neither the tokenizer's files nor the model's say.
///
/// `definition` is the text of tokenizer.json.
pub(super) fn choose(
    settings: &TokenizerSettings,
    definition: Option<&str>,
) -> Result<Option<Class>, DataError> {
    if settings.has_own_code() {
        let reason = "it names a tokenizer's own code, which is not run; save the tokenizer as one of \
                      transformers' classes";
        return Err(settings.refused("auto_map", reason));
    }
    let named = settings.class_name()?;
    let byte_level = definition.is_some_and(|text| text.contains("\"ByteLevel\""));
    // Llama 3's tokenizer.json next to the older class name: that class knows no bytes.
    if named == Some("LlamaTokenizer") && byte_level {
        return Ok(Some(AS_IS));
    }
    let of_model = OF_MODELS.iter().find(|(model, _)| settings.model_type() == Some(model)).map(|row| row.1);
    let Some(name) = named.or(of_model) else {
        return Ok(settings.model_type().map(|_| AS_IS));
    };
    if OTHERS.contains(&name) {
        return Err(settings.refused("tokenizer_class", "this class of transformers is not supported"));
    }
    Ok(Some(CLASSES.iter().find(|class| class.name == name).copied().unwrap_or(AS_IS)))
}
