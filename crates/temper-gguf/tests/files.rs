//! Files against gguf-py and transformers, and files that are damaged.

mod common;

use std::path::Path;

use common::{fixture, json, numbers};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value as Json;
use temper_gguf::{BlockType, GgufError, GgufFile, convert};

#[test]
fn blocks_are_unpacked_as_by_gguf_py() {
    let bytes = std::fs::read(fixture("blocks.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    use BlockType::{BF16, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
    for kind in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16] {
        let tensor = |part: &str| tensors.tensor(&format!("{kind:?}.{part}")).unwrap();
        let (blocks, expected) = (tensor("blocks"), numbers(tensor("numbers").data()));
        let found = kind.unpacked(blocks.data());
        assert_eq!(found.len(), expected.len(), "{kind:?}");
        assert_eq!(found.len() / kind.numbers() * kind.bytes(), blocks.data().len(), "{kind:?}");
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // The order of products differs.
            assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{kind:?} {place}");
        }
    }
}

#[test]
fn a_model_is_written_as_transformers_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let file = GgufFile::read(&fixture("tiny.gguf")).unwrap();
    let converted = convert(&file, &out).unwrap();
    assert_eq!(converted.in_words(), "F32");
    common::assert_same_tensors(&out, "tiny.safetensors");
    let config = json(&out.join("config.json"));
    assert_eq!((&config["rms_norm_eps"], &config["rope_theta"]), (&Json::from(1e-5), &Json::from(100_000.0)));
    assert_eq!(
        (config["num_key_value_heads"].as_u64(), config["tie_word_embeddings"].as_bool()),
        (Some(2), Some(false))
    );
    let tokenizer = json(&out.join("tokenizer.json"));
    assert_eq!(tokenizer["added_tokens"].as_array().unwrap().len(), 3);
    assert_eq!(tokenizer["model"]["merges"][2], serde_json::json!(["he", "ll"]));
    let settings = json(&out.join("tokenizer_config.json"));
    assert_eq!((&settings["eos_token"], settings["pad_token"].is_null()), (&Json::from("<|im_end|>"), true));
    assert!(settings["chat_template"].as_str().unwrap().contains("messages"));
}

#[test]
fn a_gpt2_is_written_as_transformers_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    convert(&GgufFile::read(&fixture("gpt2.gguf")).unwrap(), &out).unwrap();
    common::assert_same_tensors(&out, "gpt2.safetensors");
    let config = json(&out.join("config.json"));
    for (key, value) in [("n_embd", 16), ("n_layer", 2), ("n_head", 2), ("n_positions", 64), ("n_inner", 64)]
    {
        assert_eq!(config[key], value, "{key}");
    }
    assert_eq!((&config["tie_word_embeddings"], &config["layer_norm_epsilon"]), (&true.into(), &1e-5.into()));
    assert_eq!((config["vocab_size"].as_u64(), config["eos_token_id"].as_u64()), (Some(262), Some(0)));
}

/// `pieces.json`: merges and ids of transformers.
#[test]
fn pieces_are_joined_as_by_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    convert(&GgufFile::read(&fixture("pieces.gguf")).unwrap(), &out).unwrap();
    let (definition, expected) = (json(&out.join("tokenizer.json")), json(&fixture("pieces.json")));
    let merges = definition["model"]["merges"].as_array().unwrap().iter();
    let merges: Vec<String> =
        merges.map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
    assert_eq!(Json::from(merges), expected["merges"]);
    let tokenizer = tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).unwrap();
    for case in expected["texts"].as_array().unwrap() {
        let encoding = tokenizer.encode(case["text"].as_str().unwrap(), true).unwrap();
        assert_eq!(Json::from(encoding.get_ids()), case["ids"], "{}", case["text"]);
        assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), case["decoded"].as_str().unwrap());
    }
}

fn refused(change: impl FnOnce(&mut Vec<u8>)) -> GgufError {
    refused_of("tiny.gguf", change)
}

fn refused_of(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> GgufError {
    let mut bytes = std::fs::read(fixture(name)).unwrap();
    change(&mut bytes);
    let path = Path::new(name);
    let folder = tempfile::tempdir().unwrap();
    let result = GgufFile::of(path, bytes).and_then(|file| convert(&file, &folder.path().join("model")));
    assert!(!folder.path().join("model").exists());
    result.unwrap_err()
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[place..place + to.len()].copy_from_slice(to);
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (from, to, words) in [
        (&b"GGUF"[..], &b"GGML"[..], "does not begin with GGUF"),
        (b"GGUF\x03", b"GGUF\x09", "version 9"),
        (b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lemur", "`lemur`"),
        (b"smollm", b"unread", "`unread`"),
        (b"blk.1.ffn_up.weight", b"blk.1.ffn_op.weight", "blk.1.ffn_up.weight is missing"),
        (b"blk.1.ffn_up.weight", b"blk.0.ffn_up.weight", "blk.0.ffn_up.weight twice"),
    ] {
        let error = refused(|bytes| replace(bytes, from, to)).to_string();
        assert!(error.contains(words) && error.contains("tiny.gguf"), "{words} is not in: {error}");
    }
    for (from, to, words) in [
        (
            &b"tokenizer.ggml.scores"[..],
            &b"tokenizer.ggml.scoring"[..21],
            "tokenizer.ggml.scores is not a list",
        ),
        (b"\x05\0\0\0\0\0\0\0llama\x12", b"\x05\0\0\0\0\0\0\0llamb\x12", "`llamb`"),
    ] {
        let error = refused_of("pieces.gguf", |bytes| replace(bytes, from, to)).to_string();
        assert!(error.contains(words), "{words} is not in: {error}");
    }
    let cut = refused(|bytes| bytes.truncate(bytes.len() - 100)).to_string();
    assert!(cut.contains("is not within the file"), "{cut}");
    let empty = refused(Vec::clear).to_string();
    assert!(empty.contains("ends at byte 0"), "{empty}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A file with changed or missing bytes is read or refused: it never panics and never allocates beyond its size.
    #[test]
    fn damaged_files_do_not_panic(
        name in prop::sample::select(vec!["tiny.gguf", "gpt2.gguf", "pieces.gguf"]),
        changes in prop::collection::vec((0_usize..20_000, any::<u8>()), 1..6),
        length in prop::option::of(0_usize..20_000),
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(length.unwrap_or(usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        if let Ok(file) = GgufFile::of(Path::new("a.gguf"), bytes) {
            let _ = convert(&file, &folder.path().join("model"));
        }
    }
}
