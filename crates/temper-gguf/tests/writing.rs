//! Files that are written: against gguf-py's packing and llama.cpp's layout, and what is refused.

mod common;

use std::cell::Cell;
use std::path::Path;

use common::{Folder, Weights, fixture, numbers};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Value as Json, json};
use temper_gguf::{
    BlockType, GgufError, GgufFile, Packing, SourceError, SourceModel, Tensors, Value, convert, write,
};

/// The folder of a fixture.
fn folder_of(name: &str) -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    convert(&GgufFile::read(&fixture(name)).unwrap(), &out).unwrap();
    Folder::read(&out)
}

#[test]
fn numbers_are_packed_as_by_gguf_py() {
    let bytes = std::fs::read(fixture("packed.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let unpacked = numbers(tensors.tensor("numbers").unwrap().data());
    for packing in [Packing::F16, Packing::Q8_0] {
        let expected = tensors.tensor(&format!("{packing:?}")).unwrap();
        assert_eq!(packing.packed(&unpacked).unwrap(), expected.data(), "{packing:?}");
    }
}

/// The fixtures were written by gguf-py, in the order of rows of llama.cpp's converter.
#[test]
fn a_file_has_what_llama_cpp_writes() {
    for name in ["tiny.gguf", "gpt2.gguf"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.gguf");
        let converted = write(folder_of(name).model(), Packing::F32, &path).unwrap();
        assert_eq!(converted.packed, [BlockType::F32]);
        let (written, expected) = (GgufFile::read(&path).unwrap(), GgufFile::read(&fixture(name)).unwrap());
        for (key, value) in &expected.metadata {
            // Written as 32 bits with a sign, as gguf-py writes a list of whole numbers.
            assert_eq!(written.metadata.get(key), Some(value), "{name}: {key}");
        }
        let text = |key: &str| written.metadata[key].as_text().unwrap().to_owned();
        assert_eq!((text("general.name"), text("general.type")), ("tiny".into(), "model".into()));
        assert_eq!(written.metadata["general.file_type"], Value::Unsigned(0));
        assert_eq!(written.metadata["general.quantization_version"], Value::Unsigned(2));
        assert_eq!(written.metadata["tokenizer.ggml.add_bos_token"], Value::Bool(false));
        assert_eq!(written.tensors.len(), expected.tensors.len());
        for tensor in &expected.tensors {
            let found = written.tensors.iter().find(|found| found.name == tensor.name).unwrap();
            assert_eq!(found.shape, tensor.shape, "{}", tensor.name);
            assert_eq!(written.numbers(found), expected.numbers(tensor), "{}", tensor.name);
        }
    }
}

#[test]
fn matrices_are_packed_and_norms_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let model = folder_of("tiny.gguf");
    let plain = GgufFile::read(&fixture("tiny.gguf")).unwrap();
    for packing in [Packing::F16, Packing::Q8_0] {
        let converted = write(model.model(), packing, &path).unwrap();
        assert_eq!(converted.packed, [BlockType::F32, packing.kind()]);
        let file = GgufFile::read(&path).unwrap();
        for (found, tensor) in file
            .tensors
            .iter()
            .map(|found| (found, plain.tensors.iter().find(|tensor| tensor.name == found.name).unwrap()))
        {
            let is_norm = found.name.ends_with("norm.weight");
            assert_eq!(found.kind, if is_norm { BlockType::F32 } else { packing.kind() }, "{}", found.name);
            let packing = if is_norm { Packing::F32 } else { packing };
            let expected = packing.kind().unpacked(&packing.packed(&plain.numbers(tensor)).unwrap());
            assert_eq!(file.numbers(found), expected, "{}", found.name);
        }
    }
    // GPT-2's rows of 16 numbers are no blocks.
    let gpt2 = folder_of("gpt2.gguf");
    let converted = write(gpt2.model(), Packing::Q8_0, &path).unwrap();
    assert_eq!(converted.in_words(), "F32, F16, Q8_0");
}

/// Writes a model that is changed, which is refused, and leaves nothing.
fn refused(change: impl FnOnce(&mut Folder)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut model = folder_of("tiny.gguf");
    change(&mut model);
    let error = write(model.model(), Packing::Q8_0, &folder.path().join("out.gguf")).unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
    assert!(matches!(error, GgufError::Unwritable { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_configuration_that_a_file_cannot_say_is_refused_by_name() {
    for (key, value, words) in [
        ("model_type", json!("falcon"), "`falcon`"),
        ("architectures", json!(["LlamaForSequenceClassification"]), "LlamaForSequenceClassification"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("attention_bias", json!(true), "attention_bias"),
        ("mlp_bias", json!(true), "mlp_bias"),
        ("sliding_window", json!(64), "sliding_window"),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "scaled (llama3)"),
        ("rope_parameters", json!({"rope_type": "linear", "factor": 2.0}), "scaled (linear)"),
        ("num_key_value_heads", json!(3), "4 heads over 3"),
        ("hidden_size", json!("wide"), "hidden_size of config.json is not a size"),
        ("num_hidden_layers", json!(1_u64 << 60), "layers"),
        ("vocab_size", json!(u64::MAX), "has the shape [264, 32], not"),
        ("tie_word_embeddings", json!(true), "lm_head.weight is not"),
    ] {
        let error = refused(|model| drop(model.config.insert(key.into(), value)));
        assert!(error.contains(words), "{words} is not in: {error}");
    }
}

#[test]
fn a_tokenizer_that_a_file_cannot_say_is_refused_by_name() {
    for (part, value, words) in [
        ("/model/type", json!("WordPiece"), "WordPiece"),
        ("/model/byte_fallback", json!(true), "byte_fallback"),
        ("/model/ignore_merges", json!(true), "ignore_merges"),
        ("/model/merges/0", json!("one"), "not a merge"),
        ("/normalizer", json!({"type": "NFC"}), "NFC"),
        ("/pre_tokenizer", json!({"type": "Whitespace"}), "Whitespace"),
        ("/decoder", json!({"type": "Metaspace"}), "Metaspace"),
        ("/post_processor", json!({"type": "BertProcessing"}), "BertProcessing"),
        ("/added_tokens/1/lstrip", json!(true), "lstrip"),
        ("/added_tokens/1/id", json!(999), "ids up to 999, and the embedding has 264 rows"),
    ] {
        let error = refused(|model| *model.tokenizer.pointer_mut(part).unwrap() = value);
        assert!(error.contains(words), "{words} is not in: {error}");
    }
    let template = json!([{"name": "tools", "template": ""}]);
    let error = refused(|model| drop(model.tokenizer_config.insert("chat_template".into(), template)));
    assert!(error.contains("chat_template"), "{error}");
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let place =
        |model: &Folder, name: &str| model.weights.0.iter().position(|tensor| tensor.0 == name).unwrap();
    const NORM: &str = "model.layers.1.input_layernorm.weight";
    let error = refused(|model| drop(model.weights.0.remove(place(model, NORM))));
    assert!(error.contains(&format!("no tensor {NORM}")), "{error}");
    let error = refused(|model| model.weights.0.push(("score.weight".into(), vec![1], vec![0.0])));
    assert!(error.contains("score.weight"), "{error}");
    let error = refused(|model| {
        let place = place(model, NORM);
        model.weights.0[place].1 = vec![16, 2];
    });
    assert!(error.contains("[16, 2], not [32]"), "{error}");
    for (number, words) in
        [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (1e9, "Q8_0 cannot hold; write it as f32")]
    {
        let error = refused(|model| {
            let place = place(model, "model.layers.1.mlp.up_proj.weight");
            model.weights.0[place].2[7] = number;
        });
        assert!(error.contains(words) && error.contains("layers.1.mlp.up_proj"), "{error}");
    }
}

/// A source that says something else each time.
struct Changing<'a>(&'a Weights, Cell<f32>);

impl Tensors for Changing<'_> {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.0.shapes()
    }

    fn numbers(&self, name: &str) -> Result<Vec<f32>, SourceError> {
        self.1.set(self.1.get() + 1.0);
        let mut numbers = self.0.numbers(name)?;
        numbers[0] = self.1.get();
        Ok(numbers)
    }
}

#[test]
fn a_file_that_does_not_read_back_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder_of("tiny.gguf");
    let changing = Changing(&model.weights, Cell::new(0.0));
    let source = SourceModel { tensors: &changing, ..model.model() };
    let error = write(source, Packing::F16, &folder.path().join("out.gguf")).unwrap_err();
    assert!(matches!(error, GgufError::Altered { .. }), "{error}");
    assert!(error.to_string().contains("number 0 of its tensor token_embd.weight"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn rows_without_a_token_are_filled_up_and_left_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = folder_of("tiny.gguf");
    model.config.insert("vocab_size".into(), json!(270));
    for (name, shape, numbers) in &mut model.weights.0 {
        if ["model.embed_tokens.weight", "lm_head.weight"].contains(&name.as_str()) {
            shape[0] = 270;
            numbers.resize(270 * 32, 0.5);
        }
    }
    let path = folder.path().join("out.gguf");
    write(model.model(), Packing::F16, &path).unwrap();
    let file = GgufFile::read(&path).unwrap();
    let tokens = file.metadata["tokenizer.ggml.tokens"].as_texts().unwrap();
    assert_eq!((tokens.len(), tokens[269]), (270, "[PAD269]"));
    convert(&file, &folder.path().join("again")).unwrap();
    let again = Folder::read(&folder.path().join("again"));
    assert_eq!((&again.config, &again.tokenizer), (&model.config, &model.tokenizer));
}

#[test]
fn a_layout_and_tokens_of_config_json_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = folder_of("tiny.gguf");
    let begins = json!({"SpecialToken": {"id": "<|im_start|>", "type_id": 0}});
    model.tokenizer["post_processor"] = json!({"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
        {"type": "TemplateProcessing", "single": [begins, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
         "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}}},
    ]});
    model.config.insert("pad_token_id".into(), json!(0));
    let path = folder.path().join("out.gguf");
    write(model.model(), Packing::F32, &path).unwrap();
    let metadata = GgufFile::read(&path).unwrap().metadata;
    let get = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}")).cloned();
    assert_eq!(get("add_bos_token"), Some(Value::Bool(true)));
    assert_eq!(get("padding_token_id"), Some(Value::Unsigned(0)));
    assert_eq!((get("bos_token_id"), get("unknown_token_id")), (Some(Value::Unsigned(1)), None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever config.json and tokenizer.json say, a model is written or refused.
    #[test]
    fn settings_of_any_kind_do_not_panic(
        key in prop::sample::select(vec![
            "hidden_size", "num_attention_heads", "num_hidden_layers", "head_dim", "vocab_size", "rope_theta",
            "rms_norm_eps", "rope_scaling", "architectures", "bos_token_id", "intermediate_size",
        ]),
        part in prop::sample::select(vec![
            "/model", "/model/vocab", "/model/merges", "/added_tokens", "/post_processor", "/pre_tokenizer", "/decoder",
        ]),
        value in prop::sample::select(vec![
            json!(null), json!(0), json!(-1), json!(u64::MAX), json!(1e300), json!("x"), json!([]), json!([[]]),
            json!({}), json!({"a": {"b": 1}}), json!({"type": "Sequence", "processors": [3]}),
        ]),
        in_config in any::<bool>(),
    ) {
        let mut model = folder_of("tiny.gguf");
        if in_config {
            model.config.insert(key.into(), value);
        } else {
            *model.tokenizer.pointer_mut(part).unwrap_or(&mut Json::Null) = value;
        }
        let folder = tempfile::tempdir().unwrap();
        let _ = write(model.model(), Packing::F16, &folder.path().join("out.gguf"));
    }
}

#[test]
fn a_file_is_replaced_only_by_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let mut model = folder_of("tiny.gguf");
    write(model.model(), Packing::F32, &path).unwrap();
    let before = std::fs::read(&path).unwrap();
    model.weights.0[3].2[0] = f32::NAN;
    assert!(write(model.model(), Packing::F32, Path::new(&path)).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
