//! Files against gguf-py and transformers, and files that are damaged.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value as Json;
use temper_gguf::{BlockType, GgufError, GgufFile, convert};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

fn json(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

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
    let (written, expected) = (
        std::fs::read(out.join("model.safetensors")).unwrap(),
        std::fs::read(fixture("tiny.safetensors")).unwrap(),
    );
    let (written, expected) =
        (SafeTensors::deserialize(&written).unwrap(), SafeTensors::deserialize(&expected).unwrap());
    let names = |tensors: &SafeTensors<'_>| {
        let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(&written), names(&expected));
    for name in names(&expected) {
        let (found, right) = (written.tensor(&name).unwrap(), expected.tensor(&name).unwrap());
        assert_eq!((found.shape(), found.data()), (right.shape(), right.data()), "{name}");
    }
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

fn refused(change: impl FnOnce(&mut Vec<u8>)) -> GgufError {
    let mut bytes = std::fs::read(fixture("tiny.gguf")).unwrap();
    change(&mut bytes);
    let path = Path::new("tiny.gguf");
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
    let cut = refused(|bytes| bytes.truncate(bytes.len() - 100)).to_string();
    assert!(cut.contains("does not lie within the file"), "{cut}");
    let empty = refused(Vec::clear).to_string();
    assert!(empty.contains("ends at byte 0"), "{empty}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A file with changed or missing bytes is read or refused: it never panics and never allocates beyond its size.
    #[test]
    fn damaged_files_do_not_panic(
        changes in prop::collection::vec((0_usize..20_000, any::<u8>()), 1..6),
        length in prop::option::of(0_usize..20_000),
    ) {
        let mut bytes = std::fs::read(fixture("tiny.gguf")).unwrap();
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
