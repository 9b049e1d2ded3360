//! Tokenizers from each kind of file. The expected ids are those of transformers 5.23
//! (BertTokenizer, RobertaTokenizer, GPT2Tokenizer) on the same files.

mod common;

use std::path::Path;

use common::{letter, write_bert_vocab};
use temper_data::{DataError, EncodeSettings, TextTokenizer, Truncation, declared_cut, load_tokenizer};

fn ids(tokenizer: &TextTokenizer, text: &str) -> Vec<u32> {
    let encoding = tokenizer.inner().encode(text, true).unwrap();
    encoding.get_ids().to_vec()
}

fn write(dir: &Path, name: &str, content: &str) {
    std::fs::write(dir.join(name), content).unwrap();
}

fn cut(max_length: usize) -> EncodeSettings {
    EncodeSettings { max_length, truncation: Truncation::Head }
}

fn write_bpe(dir: &Path, special: &str) {
    let vocab = format!(
        r#"{{{special}, "l": 4, "o": 5, "w": 6, "e": 7, "r": 8, "Ġ": 9, "n": 10, "lo": 11,
            "low": 12, "Ġlow": 13, "er": 14, "ne": 15}}"#
    );
    write(dir, "vocab.json", &vocab);
    write(dir, "merges.txt", "#version: 0.2\nl o\nlo w\nĠ low\ne r\nn e\n");
}

const ROBERTA: &str = r#""<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 16"#;
const GPT2: &str = r#""<|endoftext|>": 16"#;

#[test]
fn a_bert_vocabulary_lowers_strips_accents_and_splits_ideographs() {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    assert_eq!(
        ids(&tokenizer, "The Caf\u{e9}, UNBELIEVABLE \u{4e2d}\u{56fd}film! xyzzy"),
        [2, 5, 10, 14, 7, 8, 9, 11, 12, 6, 13, 1, 3]
    );
    assert_eq!(ids(&tokenizer, "the [MASK]!"), [2, 5, 4, 13, 3]);
    assert_eq!(tokenizer.vocab_size(), 43);
    assert_eq!((tokenizer.special_count(false), tokenizer.special_count(true)), (2, 3));
    let special = tokenizer.special();
    assert_eq!(
        (special.pad, special.unk, special.cls, special.sep, special.mask),
        (Some(0), Some(1), Some(2), Some(3), Some(4))
    );
    assert_eq!((special.bos, special.eos), (None, None));
}

#[test]
fn a_cased_bert_keeps_case_and_accents() {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    write(dir.path(), "tokenizer_config.json", r#"{"do_lower_case": false}"#);
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    assert_eq!(ids(&tokenizer, "Film caf\u{e9} The"), [2, 15, 16, 1, 3]);
}

#[test]
fn byte_level_files_with_s_tokens_are_robertas() {
    let dir = tempfile::tempdir().unwrap();
    write_bpe(dir.path(), ROBERTA);
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    assert_eq!(ids(&tokenizer, "low lower new"), [0, 12, 13, 14, 9, 15, 6, 2]);
    // Only a file can say that the mask takes the space before it, as roberta-base's tokenizer.json does.
    assert_eq!(ids(&tokenizer, "low <mask>"), [0, 12, 9, 16, 2]);
    let pair = tokenizer.inner().encode(("low", "low"), true).unwrap();
    assert_eq!(pair.get_ids(), [0, 12, 2, 2, 12, 2]);
    assert_eq!(pair.get_type_ids(), [0; 6]);
    let special = tokenizer.special();
    assert_eq!((special.cls, special.sep, special.pad), (Some(0), Some(2), Some(1)));
    assert_eq!((special.bos, special.eos, special.mask), (Some(0), Some(2), Some(16)));
}

#[test]
fn byte_level_files_without_them_are_gpt2s() {
    let dir = tempfile::tempdir().unwrap();
    write_bpe(dir.path(), GPT2);
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    assert_eq!(ids(&tokenizer, "low lower new"), [12, 13, 14, 9, 15, 6]);
    let special = tokenizer.special();
    assert_eq!((special.bos, special.eos, special.cls, special.pad), (Some(16), Some(16), None, None));
    assert_eq!(tokenizer.vocab_size(), 17);
}

#[test]
fn padding_and_truncation_of_a_tokenizer_json_are_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    load_tokenizer(dir.path()).unwrap().save(dir.path(), &cut(128)).unwrap();
    let path = dir.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    json["truncation"] = serde_json::json!({
        "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0
    });
    json["padding"] = serde_json::json!({
        "strategy": {"Fixed": 5}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
    });
    write(dir.path(), "tokenizer.json", &json.to_string());
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    assert_eq!(ids(&tokenizer, "the"), [2, 5, 3]);
    let many: Vec<u32> = ('a'..='h').map(letter).collect();
    assert_eq!(ids(&tokenizer, "a b c d e f g h"), [&[2][..], &many, &[3]].concat());
}

#[test]
fn a_saved_tokenizer_is_the_same_tokenizer() {
    for special in [ROBERTA, GPT2] {
        let (source, saved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_bpe(source.path(), special);
        let tokenizer = load_tokenizer(source.path()).unwrap();
        tokenizer.save(saved.path(), &cut(64)).unwrap();
        let again = load_tokenizer(saved.path()).unwrap();
        assert_eq!(again.sha256(), tokenizer.sha256());
        assert_eq!(again.special(), tokenizer.special());
        assert_eq!(ids(&again, "low lower"), ids(&tokenizer, "low lower"));
    }
}

#[test]
fn the_saved_configuration_keeps_the_sources_and_says_what_transformers_needs() {
    let (source, saved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_bert_vocab(source.path());
    write(
        source.path(),
        "tokenizer_config.json",
        r#"{"do_lower_case": false, "model_max_length": 512, "note": "kept", "padding_side": "left"}"#,
    );
    load_tokenizer(source.path()).unwrap().save(saved.path(), &cut(128)).unwrap();
    let text = std::fs::read_to_string(saved.path().join("tokenizer_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["model_max_length"], 128);
    assert_eq!(config["truncation_side"], "right");
    assert_eq!(config["padding_side"], "right");
    assert_eq!(config["do_lower_case"], false);
    assert_eq!(config["note"], "kept");
    assert_eq!(config["tokenizer_class"], "BertTokenizer");
    assert_eq!(config["pad_token"], "[PAD]");
}

#[test]
fn the_side_that_is_cut_is_saved_and_read_again() {
    let (source, saved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_bert_vocab(source.path());
    let tokenizer = load_tokenizer(source.path()).unwrap();
    for (truncation, nearest) in [
        (Truncation::Head, Truncation::Head),
        (Truncation::Tail, Truncation::Tail),
        (Truncation::HeadTail, Truncation::Tail),
    ] {
        tokenizer.save(saved.path(), &EncodeSettings { max_length: 9, truncation }).unwrap();
        let declared = declared_cut(saved.path()).unwrap();
        assert_eq!((declared.max_length, declared.truncation), (Some(9), Some(nearest)));
    }
}

#[test]
fn lower_case_comes_before_what_the_tokenizer_does() {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    write(dir.path(), "tokenizer_config.json", r#"{"do_lower_case": false}"#);
    let cased = load_tokenizer(dir.path()).unwrap();
    let lower = cased.clone().lowercasing().unwrap();
    assert_eq!(ids(&lower, "A b"), ids(&cased, "a b"));
    assert_ne!(ids(&cased, "A b"), ids(&cased, "a b"));
    assert_ne!(lower.sha256(), cased.sha256(), "encoded texts are not shared with the cased one");
    let again = lower.clone().lowercasing().unwrap();
    assert_eq!(again.sha256(), lower.sha256());
}

#[test]
fn the_definition_decides_the_hash() {
    let (plain, cased) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_bert_vocab(plain.path());
    write_bert_vocab(cased.path());
    write(cased.path(), "tokenizer_config.json", r#"{"do_lower_case": false}"#);
    let sha256 = |dir: &Path| load_tokenizer(dir).unwrap().sha256().to_string();
    assert_eq!(sha256(plain.path()).len(), 64);
    assert_eq!(sha256(plain.path()), sha256(plain.path()));
    assert_ne!(sha256(plain.path()), sha256(cased.path()));
}

#[test]
fn special_tokens_named_beside_the_tokenizer_come_first() {
    let dir = tempfile::tempdir().unwrap();
    write_bpe(dir.path(), GPT2);
    write(dir.path(), "special_tokens_map.json", r#"{"pad_token": {"content": "er"}}"#);
    assert_eq!(load_tokenizer(dir.path()).unwrap().special().pad, Some(14));
}

#[test]
fn a_layout_that_names_what_it_does_not_define_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    tokenizer.save(dir.path(), &cut(128)).unwrap();
    let text = std::fs::read_to_string(dir.path().join("tokenizer.json")).unwrap();
    let good: serde_json::Value = serde_json::from_str(&text).unwrap();
    let refused = |json: &serde_json::Value, part: &str| {
        write(dir.path(), "tokenizer.json", &json.to_string());
        let message = load_tokenizer(dir.path()).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    let mut json = good.clone();
    json["post_processor"]["pair"][0]["SpecialToken"]["id"] = "[BOS]".into();
    refused(&json, "[BOS]");
    json = good.clone();
    json["post_processor"]["single"][1]["Sequence"]["id"] = "B".into();
    refused(&json, "names a second");
    json = good;
    let template = json["post_processor"].take();
    json["post_processor"] = serde_json::json!({"type": "Sequence", "processors": [template]});
    json["post_processor"]["processors"][0]["special_tokens"] = serde_json::json!({});
    refused(&json, "[CLS]");
}

#[test]
fn bad_files_are_named() {
    let refused = |files: &[(&str, &str)], name: &str, part: &str| {
        let dir = tempfile::tempdir().unwrap();
        for (file, content) in files {
            write(dir.path(), file, content);
        }
        let error = load_tokenizer(dir.path()).unwrap_err();
        assert!(matches!(error, DataError::BadTokenizer { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(part), "{message}");
    };
    refused(&[("tokenizer.json", "{\"model\": ")], "tokenizer.json", "");
    refused(&[("tokenizer.json", "{}")], "tokenizer.json", "");
    refused(&[("vocab.txt", "a\nb\n")], "vocab.txt", "[UNK]");
    refused(&[("vocab.json", "[]"), ("merges.txt", "")], "vocab.json", "JSON");
    refused(&[("vocab.json", "{\"a\": 0}"), ("merges.txt", "a\n")], "merges.txt", "line 1");
    refused(&[("vocab.json", "{\"a\": 0}"), ("merges.txt", "a b\n")], "vocab.json", "");
    refused(&[("vocab.txt", "[CLS]"), ("tokenizer_config.json", "no")], "tokenizer_config.json", "JSON");
    let empty = tempfile::tempdir().unwrap();
    let message = load_tokenizer(empty.path()).unwrap_err().to_string();
    assert!(message.contains("merges.txt"), "{message}");
}

#[test]
fn text_that_grows_comes_in_whole_characters() {
    let dir = tempfile::tempdir().unwrap();
    // A byte-level vocabulary: these are the two bytes of \u{e9}.
    write(dir.path(), "vocab.json", r#"{"<|endoftext|>": 0, "a": 1, "\u00c3": 2, "\u00a9": 3}"#);
    write(dir.path(), "merges.txt", "#version: 0.2\n");
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    let mut stream = tokenizer.stream(&[1]);
    let pushed: Vec<String> = [1, 2, 3, 0, 1, 2].map(|id| stream.push(id).unwrap()).into();
    assert_eq!(pushed, ["a", "", "\u{e9}", "", "a", ""]);
    assert_eq!(stream.finish().unwrap(), "\u{fffd}");
    // The context may end within a character.
    assert_eq!(tokenizer.decode_following(&[1, 2], &[3, 1]).unwrap(), "\u{e9}a");
    assert_eq!(tokenizer.added_token_id("<|endoftext|>"), Some(0));
    assert_eq!(tokenizer.added_token_id("a"), None);
}

#[test]
fn text_behind_other_text_keeps_its_space() {
    let dir = tempfile::tempdir().unwrap();
    let definition = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "truncation": null, "padding": null,
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "WordLevel", "vocab": {"▁one": 0, "▁two": 1, "<unk>": 2}, "unk_token": "<unk>"}}"#;
    write(dir.path(), "tokenizer.json", definition);
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    assert_eq!(tokenizer.decode(&[1]).unwrap(), "two");
    assert_eq!(tokenizer.decode_following(&[0], &[1]).unwrap(), " two");
    assert_eq!(tokenizer.stream(&[0]).push(1).unwrap(), " two");
    assert_eq!(tokenizer.stream(&[]).push(1).unwrap(), "two");
}

#[test]
fn spaces_before_punctuation_go_where_the_folder_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let definition = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "truncation": null, "padding": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"do": 0, "n't": 1, "it": 2, ".": 3, "'": 4}, "unk_token": "it"}}"#;
    write(dir.path(), "tokenizer.json", definition);
    let decoded = || load_tokenizer(dir.path()).unwrap().decode(&[0, 1, 4, 2, 3]).unwrap();
    assert_eq!(decoded(), "do n't ' it .");
    write(dir.path(), "tokenizer_config.json", r#"{"clean_up_tokenization_spaces": true}"#);
    // transformers gives the same.
    assert_eq!(decoded(), "don't'it.");
    let tokenizer = load_tokenizer(dir.path()).unwrap();
    let mut stream = tokenizer.stream(&[]);
    let mut text: String = [0, 1, 4, 2, 3].map(|id| stream.push(id).unwrap()).concat();
    text += &stream.finish().unwrap();
    assert_eq!(text, "don't'it.");
}

#[test]
fn segments_are_those_that_the_model_is_given() {
    let segments = |config: &str| {
        let dir = tempfile::tempdir().unwrap();
        write_bert_vocab(dir.path());
        write(dir.path(), "tokenizer_config.json", config);
        let settings = temper_data::EncodeSettings { max_length: 16, truncation: Default::default() };
        let tokenizer = load_tokenizer(dir.path()).unwrap();
        let set = temper_data::encode_all(&tokenizer, &[("a", Some("b"))], &settings, None).unwrap();
        set.items[0].type_ids.clone()
    };
    assert_eq!(segments("{}"), [0, 0, 0, 1, 1]);
    assert_eq!(segments(r#"{"tokenizer_class": "DistilBertTokenizer"}"#), [0; 5]);
    assert_eq!(segments(r#"{"model_input_names": ["input_ids", "attention_mask"]}"#), [0; 5]);
}
