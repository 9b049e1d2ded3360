//! The definitions that transformers' classes build from a vocabulary.
//!
//! Written as the JSON that a tokenizer.json would hold, after transformers 5.23, models/*/tokenization_*.py.

use serde_json::{Value, json};
use tokenizers::{AddedToken, Tokenizer};

use super::class::Recipe;
use super::settings::TokenizerSettings;
use super::source::TokenizerSource;
use super::tokens::{FileToken, FileTokens};
use crate::DataError;

/// Words as Qwen2's tokenizer splits them.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The character for a space in SentencePiece's vocabularies.
const SPACE: &str = "\u{2581}";

/// Tokens that a class has where no file names others.
pub(super) fn complete(
    recipe: Recipe,
    settings: &TokenizerSettings,
    tokens: &mut FileTokens,
) -> Result<(), DataError> {
    let marks: &[(&str, &str)] = &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
    let more =
        [("sep_token", "</s>"), ("cls_token", "<s>"), ("pad_token", "<pad>"), ("mask_token", "<mask>")];
    let end = "<|endoftext|>";
    let defaults: Vec<(&str, &str)> = match recipe {
        Recipe::AsIs => Vec::new(),
        Recipe::Bert => vec![
            ("unk_token", "[UNK]"),
            ("sep_token", "[SEP]"),
            ("pad_token", "[PAD]"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ],
        Recipe::Camembert | Recipe::Roberta | Recipe::XlmRoberta => [marks, &more].concat(),
        Recipe::Gpt2 => vec![("unk_token", end), ("bos_token", end), ("eos_token", end)],
        Recipe::GptNeoX => {
            vec![("unk_token", end), ("bos_token", end), ("eos_token", end), ("pad_token", "<|padding|>")]
        }
        Recipe::Llama => marks.to_vec(),
        Recipe::OpenAiGpt => vec![("unk_token", "<unk>")],
        Recipe::Qwen2 => vec![("unk_token", end), ("eos_token", end), ("pad_token", end)],
        Recipe::T5 => vec![("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")],
    };
    for (part, text) in defaults {
        tokens.or_default(part, FileToken::Text(text.into()));
    }
    let texts = |texts: Vec<String>| texts.into_iter().map(FileToken::Text).collect();
    match recipe {
        Recipe::T5 => {
            let count = match settings.config.get("extra_ids") {
                None => 100,
                Some(count) => count
                    .as_u64()
                    .filter(|&count| count <= 10_000)
                    .ok_or_else(|| settings.refused("extra_ids", "a number up to 10000 is needed"))?,
            };
            tokens.or_extra(texts((0..count).map(|id| format!("<extra_id_{id}>")).collect()));
        }
        Recipe::Camembert => {
            // The mask takes the space before it.
            tokens.complete("mask_token", |text| AddedToken::from(text, true).lstrip(true));
            tokens.or_extra(texts(["<s>", "</s>", "<unk>"].map(|mark| format!("{mark}NOTUSED")).into()));
        }
        _ => {}
    }
    Ok(())
}

/// The definition, without added tokens.
pub(super) fn definition(
    recipe: Recipe,
    source: &TokenizerSource,
    settings: &TokenizerSettings,
    tokens: &FileTokens,
) -> Result<Value, DataError> {
    let model = Model { recipe, source, settings, tokens };
    let prefix = |default| settings.flag("add_prefix_space", default);
    let (bytes, nfc) = (byte_level(true, true), json!({"type": "NFC"}));
    let [model, normalizer, pre_tokenizer, decoder] = match recipe {
        Recipe::AsIs => return Ok(source.json.clone()),
        Recipe::Bert => bert(&model)?,
        Recipe::OpenAiGpt => openai_gpt(&model)?,
        Recipe::Gpt2 | Recipe::Roberta => {
            [model.byte_pairs()?, Value::Null, byte_level(prefix(false)?, true), bytes]
        }
        Recipe::GptNeoX => [model.byte_pairs()?, nfc, byte_level(prefix(false)?, true), bytes],
        Recipe::Qwen2 => [model.byte_pairs()?, nfc, qwen2_words(settings)?, bytes],
        Recipe::Llama => {
            let (scheme, decoder) = llama_spaces(settings)?;
            let model = model.of("BPE", json!({"fuse_unk": true, "byte_fallback": true}))?;
            [model, Value::Null, metaspace(scheme, false), decoder]
        }
        Recipe::T5 => {
            [model.unigram(2)?, charsmap(source), words_and_spaces("always"), metaspace("always", true)]
        }
        Recipe::XlmRoberta | Recipe::Camembert => {
            let unk = if recipe == Recipe::Camembert { model.place_of("unk_token") } else { 3 };
            let scheme = if prefix(true)? { "always" } else { "never" };
            [model.unigram(unk)?, charsmap(source), words_and_spaces(scheme), metaspace(scheme, true)]
        }
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": source.json["post_processor"],
        "decoder": decoder,
        "model": model,
    }))
}

/// BERT's model, normalizer, words and decoder.
fn bert(model: &Model<'_>) -> Result<[Value; 4], DataError> {
    let (settings, unk) = (model.settings, model.of_vocabulary("unk_token")?);
    let parameters =
        json!({"unk_token": unk, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
    let normalizer = bert_normalizer(
        settings.flag("tokenize_chinese_chars", true)?,
        settings.perhaps("strip_accents")?,
        settings.flag("do_lower_case", true)?,
    );
    let decoder = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    Ok([model.of("WordPiece", parameters)?, normalizer, json!({"type": "BertPreTokenizer"}), decoder])
}

/// The first GPT's, which reads words as BERT does.
fn openai_gpt(model: &Model<'_>) -> Result<[Value; 4], DataError> {
    let suffix = "</w>";
    let parameters = json!({
        "unk_token": model.tokens.part("unk_token").map(FileToken::text),
        "continuing_subword_prefix": "",
        "end_of_word_suffix": suffix,
        "fuse_unk": false,
    });
    let decoder = json!({"type": "BPEDecoder", "suffix": suffix});
    let words = json!({"type": "BertPreTokenizer"});
    Ok([model.of("BPE", parameters)?, bert_normalizer(true, None, true), words, decoder])
}

fn qwen2_words(settings: &TokenizerSettings) -> Result<Value, DataError> {
    let pattern = json!({"Regex": QWEN2_WORDS});
    let words = json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
    let bytes = byte_level(settings.perhaps("add_prefix_space")?.unwrap_or(false), false);
    Ok(json!({"type": "Sequence", "pretokenizers": [words, bytes]}))
}

/// The layout that a class gives a text, where it does not keep the file's.
pub(super) fn layout(
    recipe: Recipe,
    source: &TokenizerSource,
    settings: &TokenizerSettings,
    tokens: &FileTokens,
    tokenizer: &Tokenizer,
) -> Result<Option<Value>, DataError> {
    let id = |part: &str| -> Result<(String, u32), DataError> {
        let found = tokens
            .part(part)
            .and_then(|token| Some((token.text().to_owned(), tokenizer.token_to_id(token.text())?)));
        found.ok_or_else(|| settings.refused(part, "this tokenizer class needs the token"))
    };
    let (open, close) = ("bos_token", "eos_token");
    Ok(match recipe {
        Recipe::Bert => Some(template(&[id("cls_token")?], &[id("sep_token")?], &[], 1)),
        Recipe::Roberta => Some(json!({
            "type": "RobertaProcessing",
            "sep": id("sep_token")?,
            "cls": id("cls_token")?,
            "trim_offsets": settings.flag("trim_offsets", true)?,
            "add_prefix_space": settings.flag("add_prefix_space", false)?,
        })),
        // Its template always says `</s>`, with the id of the closing token.
        Recipe::T5 => Some(template(&[], &[("</s>".to_owned(), id(close)?.1)], &[], 0)),
        Recipe::XlmRoberta | Recipe::Camembert => {
            Some(template(&[id(open)?], &[id(close)?], &[id(close)?], 0))
        }
        // tokenizer.json decides, where there is one.
        Recipe::GptNeoX if source.text.is_some() => Some(template(&[], &[], &[], 1)),
        Recipe::Gpt2 | Recipe::GptNeoX | Recipe::OpenAiGpt | Recipe::Qwen2 if source.text.is_none() => {
            let wanted = |key: &str, part: &str| -> Result<Vec<(String, u32)>, DataError> {
                let is_wanted = settings.flag(key, false)? && tokens.part(part).is_some();
                if is_wanted { Ok(vec![id(part)?]) } else { Ok(Vec::new()) }
            };
            let (opens, closes) = (wanted("add_bos_token", open)?, wanted("add_eos_token", close)?);
            Some(template(&opens, &closes, &opens, 1))
        }
        _ => None,
    })
}

type TokenMark = (String, u32);

/// A text between its marks, and a second one, which other marks may open, in a segment of its own or not.
fn template(open: &[TokenMark], close: &[TokenMark], second_open: &[TokenMark], segment: u32) -> Value {
    let marks = |marks: &[TokenMark], type_id: u32| -> Vec<Value> {
        marks.iter().map(|(text, _)| json!({"SpecialToken": {"id": text, "type_id": type_id}})).collect()
    };
    let text = |name: &str, type_id: u32| vec![json!({"Sequence": {"id": name, "type_id": type_id}})];
    let single = [marks(open, 0), text("A", 0), marks(close, 0)].concat();
    let second = [marks(second_open, segment), text("B", segment), marks(close, segment)].concat();
    let special: serde_json::Map<String, Value> = [open, close, second_open]
        .concat()
        .into_iter()
        .map(|(text, id)| (text.clone(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    let pair = [single.clone(), second].concat();
    json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": special,
    })
}

/// The model of a class from a source's vocabulary.
struct Model<'a> {
    recipe: Recipe,
    source: &'a TokenizerSource,
    settings: &'a TokenizerSettings,
    tokens: &'a FileTokens,
}

impl Model<'_> {
    /// A model of this type with these parameters.
    fn of(&self, kind: &str, mut parameters: Value) -> Result<Value, DataError> {
        let model = &self.source.json["model"];
        let found = model["type"].as_str().unwrap_or_else(|| untyped(model));
        if found != kind {
            let reason =
                format!("this class has a {kind} vocabulary, {} a {found} one", self.source.file.display());
            return Err(self.settings.refused("tokenizer_class", &reason));
        }
        parameters["type"] = kind.into();
        parameters["vocab"] = model["vocab"].clone();
        if kind == "BPE" {
            parameters["merges"] = model["merges"].clone();
        }
        Ok(parameters)
    }

    fn byte_pairs(&self) -> Result<Value, DataError> {
        let plain = json!({"continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false});
        self.of("BPE", plain)
    }

    fn unigram(&self, unk_id: usize) -> Result<Value, DataError> {
        self.of("Unigram", json!({"unk_id": unk_id, "byte_fallback": false}))
    }

    /// The token of a part, which must be in the vocabulary.
    fn of_vocabulary(&self, part: &str) -> Result<&str, DataError> {
        let Some(token) = self.tokens.part(part).map(FileToken::text) else {
            return Err(self.settings.refused(part, "this tokenizer class needs the token"));
        };
        if self.source.json["model"]["vocab"].get(token).is_none() {
            let reason = format!("no `{token}` in it; it is not a vocabulary of {:?}", self.recipe);
            return Err(DataError::damaged(&self.source.file, reason));
        }
        Ok(token)
    }

    /// The position of a part's token in a list of tokens; 0 if it is not there.
    fn place_of(&self, part: &str) -> usize {
        let token = self.tokens.part(part).map(FileToken::text);
        let vocab = self.source.json["model"]["vocab"].as_array();
        vocab.and_then(|vocab| vocab.iter().position(|entry| entry[0].as_str() == token)).unwrap_or(0)
    }
}

/// The type of a model in a file that does not say it, as older ones do not.
fn untyped(model: &Value) -> &'static str {
    match model {
        model if model["vocab"].is_array() => "Unigram",
        model if model["merges"].is_array() => "BPE",
        _ => "WordPiece",
    }
}

fn bert_normalizer(ideographs: bool, strip_accents: Option<bool>, lowercase: bool) -> Value {
    json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": ideographs,
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    })
}

fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split})
}

fn words_and_spaces(scheme: &str) -> Value {
    json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace(scheme, true)]})
}

/// How LLaMA marks the beginning of a text, and its decoder.
fn llama_spaces(settings: &TokenizerSettings) -> Result<(&'static str, Value), DataError> {
    let prefix = settings.perhaps("add_prefix_space")?.unwrap_or(true);
    let scheme = match (prefix, settings.perhaps("legacy")?.unwrap_or(false)) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok((scheme, json!({"type": "Sequence", "decoders": decoders})))
}

/// SentencePiece's table of characters, from the file's normalizer.
fn charsmap(source: &TokenizerSource) -> Value {
    let normalizer = &source.json["normalizer"];
    let parts = match normalizer["normalizers"].as_array() {
        Some(parts) if normalizer["type"] == "Sequence" => parts.as_slice(),
        _ => std::slice::from_ref(normalizer),
    };
    parts.iter().find(|part| part["type"] == "Precompiled").cloned().unwrap_or_default()
}
