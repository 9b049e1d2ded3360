//! The definitions that transformers' classes build from a vocabulary.
//!
//! Written as the JSON that a tokenizer.json would hold, after transformers 5.23, models/*/tokenization_*.py.

mod parts;
mod vocabulary;

use serde_json::{Value, json};
use tokenizers::{AddedToken, Tokenizer};

use super::class::Recipe;
use super::settings::TokenizerSettings;
use super::source::TokenizerSource;
use super::tokens::{FileToken, FileTokens};
use crate::DataError;
use parts::{
    SPACE, TokenMark, bert_normalizer, byte_level, charsmap, metaspace, replaced, template,
    word_piece_decoder, words_and_spaces,
};
use vocabulary::Vocabulary;

/// Words as Qwen2's tokenizer splits them.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// White space that DeBERTa's tokenizer reads as one space.
const DEBERTA_SPACES: &str = r"\s{2,}|[\n\r\t]";

/// The tokens that a class has where no file names others.
fn default_tokens(recipe: Recipe) -> Vec<(&'static str, &'static str)> {
    let marks = [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
    let more =
        [("sep_token", "</s>"), ("cls_token", "<s>"), ("pad_token", "<pad>"), ("mask_token", "<mask>")];
    let brackets = [("sep_token", "[SEP]"), ("cls_token", "[CLS]"), ("mask_token", "[MASK]")];
    let ends = [("bos_token", "[CLS]"), ("eos_token", "[SEP]")];
    let end = "<|endoftext|>";
    match recipe {
        Recipe::AsIs => Vec::new(),
        Recipe::Albert => [&brackets[..], &ends, &[("unk_token", "<unk>"), ("pad_token", "<pad>")]].concat(),
        Recipe::Bert => [&brackets[..], &[("unk_token", "[UNK]"), ("pad_token", "[PAD]")]].concat(),
        Recipe::Camembert | Recipe::Roberta | Recipe::XlmRoberta => [&marks[..], &more].concat(),
        Recipe::DebertaV2 => {
            [&brackets[..], &ends, &[("unk_token", "[UNK]"), ("pad_token", "[PAD]")]].concat()
        }
        Recipe::Gemma => vec![
            ("bos_token", "<bos>"),
            ("eos_token", "<eos>"),
            ("unk_token", "<unk>"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ],
        Recipe::Gpt2 => vec![("unk_token", end), ("bos_token", end), ("eos_token", end)],
        Recipe::GptNeoX => {
            vec![("unk_token", end), ("bos_token", end), ("eos_token", end), ("pad_token", "<|padding|>")]
        }
        Recipe::Llama => marks.to_vec(),
        Recipe::Mpnet => [&marks[..2], &[("unk_token", "[UNK]")], &more].concat(),
        Recipe::OpenAiGpt => vec![("unk_token", "<unk>")],
        Recipe::Qwen2 => vec![("unk_token", end), ("eos_token", end), ("pad_token", end)],
        Recipe::T5 => vec![("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")],
    }
}

/// Tokens that a class has where no file names others.
pub(super) fn complete(
    recipe: Recipe,
    settings: &TokenizerSettings,
    tokens: &mut FileTokens,
) -> Result<(), DataError> {
    for (part, text) in default_tokens(recipe) {
        tokens.or_default(part, FileToken::Text(text.into()));
    }
    let texts = |texts: Vec<String>| texts.into_iter().map(FileToken::Text).collect();
    match recipe {
        Recipe::T5 => {
            let ids = 0..settings.extra_ids()?;
            tokens.or_extra(texts(ids.map(|id| format!("<extra_id_{id}>")).collect()));
        }
        Recipe::Camembert => {
            // The mask takes the space before it.
            tokens.complete("mask_token", |text| AddedToken::from(text, true).lstrip(true));
            tokens.or_extra(texts(["<s>", "</s>", "<unk>"].map(|mark| format!("{mark}NOTUSED")).into()));
        }
        Recipe::Mpnet => {
            // Not special when they are made, so they are found in normalized text.
            for (part, _) in default_tokens(recipe) {
                let takes_space = part == "mask_token";
                tokens.complete(part, |text| AddedToken::from(text, false).lstrip(takes_space));
            }
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
    let vocabulary = Vocabulary { recipe, source, settings, tokens };
    let prefix = |default| settings.flag("add_prefix_space", default);
    let (bytes, nfc) = (byte_level(true, true), json!({"type": "NFC"}));
    let [model, normalizer, pre_tokenizer, decoder] = match recipe {
        Recipe::AsIs => return Ok(source.json.clone()),
        Recipe::Albert => albert(&vocabulary)?,
        Recipe::Bert | Recipe::Mpnet => bert(&vocabulary)?,
        Recipe::DebertaV2 => deberta(&vocabulary)?,
        Recipe::Gemma => gemma(&vocabulary)?,
        Recipe::OpenAiGpt => openai_gpt(&vocabulary)?,
        Recipe::Gpt2 | Recipe::Roberta => {
            [vocabulary.byte_pairs()?, Value::Null, byte_level(prefix(false)?, true), bytes]
        }
        Recipe::GptNeoX => [vocabulary.byte_pairs()?, nfc, byte_level(prefix(false)?, true), bytes],
        Recipe::Qwen2 => [vocabulary.byte_pairs()?, nfc, qwen2_words(settings)?, bytes],
        Recipe::Llama => {
            let (scheme, decoder) = llama_spaces(settings)?;
            let model = vocabulary.of("BPE", json!({"fuse_unk": true, "byte_fallback": true}))?;
            [model, Value::Null, metaspace(scheme, false), decoder]
        }
        Recipe::T5 => {
            [vocabulary.unigram(2)?, charsmap(source), words_and_spaces("always"), metaspace("always", true)]
        }
        Recipe::XlmRoberta | Recipe::Camembert => {
            let unk =
                if recipe == Recipe::Camembert { vocabulary.place_of("unk_token").unwrap_or(0) } else { 3 };
            let scheme = if prefix(true)? { "always" } else { "never" };
            [vocabulary.unigram(unk)?, charsmap(source), words_and_spaces(scheme), metaspace(scheme, true)]
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
fn bert(vocabulary: &Vocabulary<'_>) -> Result<[Value; 4], DataError> {
    let settings = vocabulary.settings;
    let parameters = json!({"continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
    let mut model = vocabulary.of("WordPiece", parameters)?;
    model["unk_token"] = vocabulary.of_vocabulary("unk_token")?.into();
    let normalizer = bert_normalizer(
        settings.flag("tokenize_chinese_chars", true)?,
        settings.perhaps("strip_accents")?,
        settings.flag("do_lower_case", true)?,
    );
    let words = json!({"type": "BertPreTokenizer"});
    Ok([model, normalizer, words, word_piece_decoder()])
}

/// ALBERT's, which writes quotation marks as one character before all else.
fn albert(vocabulary: &Vocabulary<'_>) -> Result<[Value; 4], DataError> {
    let settings = vocabulary.settings;
    let mut normalizers = vec![replaced("``", "\""), replaced("''", "\"")];
    if !settings.flag("keep_accents", false)? {
        normalizers.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
    }
    if settings.flag("do_lower_case", true)? {
        normalizers.push(json!({"type": "Lowercase"}));
    }
    let charsmap = charsmap(vocabulary.source);
    normalizers.extend((!charsmap.is_null()).then_some(charsmap));
    let scheme = if settings.flag("add_prefix_space", true)? { "always" } else { "never" };
    let normalizer = json!({"type": "Sequence", "normalizers": normalizers});
    Ok([vocabulary.unigram(1)?, normalizer, words_and_spaces(scheme), metaspace(scheme, true)])
}

/// DeBERTa's of its second and third version.
fn deberta(vocabulary: &Vocabulary<'_>) -> Result<[Value; 4], DataError> {
    let settings = vocabulary.settings;
    let lowercase = settings.flag("do_lower_case", false)?.then(|| json!({"type": "Lowercase"}));
    let spaces = json!({"type": "Replace", "pattern": {"Regex": DEBERTA_SPACES}, "content": " "});
    let strip = json!({"type": "Strip", "strip_left": false, "strip_right": true});
    let normalizers: Vec<Value> =
        lowercase.into_iter().chain([spaces, json!({"type": "NFC"}), strip]).collect();
    let punctuation = settings
        .flag("split_by_punct", false)?
        .then(|| json!({"type": "Punctuation", "behavior": "Isolated"}));
    let scheme = if settings.flag("add_prefix_space", true)? { "always" } else { "first" };
    let splits: Vec<Value> = punctuation.into_iter().chain([metaspace(scheme, true)]).collect();
    let normalizer = json!({"type": "Sequence", "normalizers": normalizers});
    let splits = json!({"type": "Sequence", "pretokenizers": splits});
    let unk = vocabulary.place_of("unk_token").unwrap_or(vocabulary.unk_of_pieces().unwrap_or(1));
    Ok([vocabulary.unigram(unk)?, normalizer, splits, metaspace(scheme, true)])
}

/// Gemma's: BPE over a whole text, with bytes for what it does not know.
fn gemma(vocabulary: &Vocabulary<'_>) -> Result<[Value; 4], DataError> {
    let unk = vocabulary.tokens.part("unk_token").map(FileToken::text);
    let parameters = json!({"unk_token": unk, "fuse_unk": true, "byte_fallback": true});
    let pattern = json!({"String": " "});
    let splits =
        json!({"type": "Split", "pattern": pattern, "behavior": "MergedWithPrevious", "invert": false});
    let decoders = [replaced(SPACE, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    let decoder = json!({"type": "Sequence", "decoders": decoders});
    Ok([vocabulary.of("BPE", parameters)?, replaced(" ", SPACE), splits, decoder])
}

/// The first GPT's, which reads words as BERT does.
fn openai_gpt(vocabulary: &Vocabulary<'_>) -> Result<[Value; 4], DataError> {
    let suffix = "</w>";
    let parameters = json!({
        "unk_token": vocabulary.tokens.part("unk_token").map(FileToken::text),
        "continuing_subword_prefix": "",
        "end_of_word_suffix": suffix,
        "fuse_unk": false,
    });
    let decoder = json!({"type": "BPEDecoder", "suffix": suffix});
    let words = json!({"type": "BertPreTokenizer"});
    Ok([vocabulary.of("BPE", parameters)?, bert_normalizer(true, None, true), words, decoder])
}

/// The layout with the marks that the settings ask for.
fn wanted_marks(
    settings: &TokenizerSettings,
    tokens: &FileTokens,
    id: impl Fn(&str) -> Result<TokenMark, DataError>,
) -> Result<Value, DataError> {
    let wanted = |key: &str, part: &str| -> Result<Vec<TokenMark>, DataError> {
        let is_wanted = settings.flag(key, false)? && tokens.part(part).is_some();
        if is_wanted { Ok(vec![id(part)?]) } else { Ok(Vec::new()) }
    };
    let (opens, closes) = (wanted("add_bos_token", "bos_token")?, wanted("add_eos_token", "eos_token")?);
    Ok(template(&opens, &closes, &opens, 1))
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
        Recipe::Bert | Recipe::DebertaV2 => Some(template(&[id("cls_token")?], &[id("sep_token")?], &[], 1)),
        // Without tokenizer.json these settings make another template.
        Recipe::Albert
            if source.text.is_none()
                && ["add_bos_token", "add_eos_token"]
                    .iter()
                    .any(|key| settings.config.contains_key(*key)) =>
        {
            Some(wanted_marks(settings, tokens, id)?)
        }
        // Its template always says `[CLS]` and `[SEP]`, with the ids of its tokens.
        Recipe::Albert => {
            let (open, close) = (id("cls_token")?.1, id("sep_token")?.1);
            Some(template(&[("[CLS]".into(), open)], &[("[SEP]".into(), close)], &[], 1))
        }
        Recipe::Mpnet => Some(json!({
            "type": "RobertaProcessing",
            "sep": id("sep_token")?,
            "cls": id("cls_token")?,
            "trim_offsets": true,
            "add_prefix_space": false,
        })),
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
        Recipe::Gemma
        | Recipe::Gpt2
        | Recipe::GptNeoX
        | Recipe::Llama
        | Recipe::OpenAiGpt
        | Recipe::Qwen2
            if source.text.is_none() =>
        {
            Some(wanted_marks(settings, tokens, id)?)
        }
        _ => None,
    })
}

/// How LLaMA marks the beginning of a text, and its decoder.
fn llama_spaces(settings: &TokenizerSettings) -> Result<(&'static str, Value), DataError> {
    let prefix = settings.perhaps("add_prefix_space")?.unwrap_or(true);
    let scheme = match (prefix, settings.perhaps("legacy")?.unwrap_or(false)) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    let mut decoders = vec![replaced(SPACE, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok((scheme, json!({"type": "Sequence", "decoders": decoders})))
}
