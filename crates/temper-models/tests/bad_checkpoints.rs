//! Checkpoints that lie: of every family, what does not fit is named, and nothing of it is run.

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use common::{changed, fixture, tensors};
use safetensors::serialize_to_file;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use temper_models::weights::Checkpoint;
use temper_models::{HeadRequest, Model, ModelError, families};
use zoo::parameters_of;

/// A folder of the zoo for every class of every family.
fn folders() -> Vec<PathBuf> {
    let known = families();
    let mut seen = Vec::new();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(fixture("zoo"))
        .expect("the zoo is committed")
        .map(|entry| entry.expect("a folder").path())
        .collect();
    folders.sort();
    folders.retain(|dir| {
        let config = config(dir);
        let is_known = known.iter().any(|family| config["model_type"] == family.model_type);
        let is_new = !seen.contains(&config["architectures"]);
        seen.push(config["architectures"].clone());
        is_known && is_new
    });
    folders
}

fn config(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("config.json")).expect("a configuration");
    serde_json::from_str(&text).expect("JSON")
}

fn load(dir: &Path) -> Result<Model, ModelError> {
    Model::load(dir, &HeadRequest::FromConfig, &Device::flex()).map(|loaded| loaded.model)
}

#[test]
fn every_tensor_that_does_not_fit_is_listed_at_once() {
    for folder in folders() {
        let (mut gone, mut wide, mut elsewhere) = (String::new(), String::new(), String::new());
        // ALBERT has one group of weights for all layers.
        let layer = if config(&folder)["model_type"] == "albert" { "0" } else { "1" };
        let dir = changed(&folder, |weights, _| {
            let in_layer =
                |name: &str| name.ends_with(".weight") && name.split('.').any(|part| part == layer);
            let matrices = weights.iter().filter(|(name, (shape, _))| in_layer(name) && shape.len() == 2);
            let names: Vec<String> = matrices.map(|(name, _)| name.clone()).collect();
            gone = names.first().expect("a layer").clone();
            wide = names.last().expect("a layer").clone();
            let removed = weights.remove(&gone).expect("named above");
            weights.insert("nobody.wants.this".into(), removed.clone());
            elsewhere = gone.replacen(&format!(".{layer}."), ".77.", 1);
            weights.insert(elsewhere.clone(), removed);
            let (shape, bytes) = weights.get_mut(&wide).expect("named above");
            bytes.extend(vec![0; 4 * shape[1]]);
            shape[0] += 1;
        });
        let error = load(dir.path()).expect_err("refused");
        let text = error.to_string();
        let ModelError::Misfit { misfits, .. } = error else { panic!("{}: {text}", folder.display()) };
        assert!(!misfits.missing.is_empty(), "{text}");
        assert!(misfits.missing.iter().all(|path| path.contains("layers.")), "{text}");
        assert_eq!(misfits.unexpected, sorted([elsewhere.clone(), "nobody.wants.this".into()]));
        let [(name, found, wanted)] = &misfits.misshapen[..] else { panic!("{text}") };
        assert_eq!((name, found[0], found[1]), (&wide, wanted[0] + 1, wanted[1]));
        for name in misfits.missing.iter().chain(&misfits.unexpected).chain([&wide]) {
            assert!(text.contains(name.as_str()), "{name}: {text}");
        }
    }
}

fn sorted(mut names: [String; 2]) -> [String; 2] {
    names.sort();
    names
}

/// The fields of a configuration that are there are changed; the error names what is wrong.
fn refused(fields: &[&str], value: &Value, words: &[&str]) {
    for folder in folders() {
        let mut found = false;
        let dir = changed(&folder, |_, config| {
            for field in fields {
                if let Some(old) = config.get_mut(field) {
                    *old = value.clone();
                    found = true;
                }
            }
        });
        if found {
            let text = load(dir.path()).expect_err("refused").to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{}: {text}", folder.display());
        }
    }
}

#[test]
fn an_unknown_activation_is_named() {
    let fields =
        ["hidden_act", "activation", "activation_function", "afn", "dense_act_fn", "feed_forward_proj"];
    refused(&fields, &json!("wobble"), &["wobble"]);
}

#[test]
fn a_field_of_another_type_is_named() {
    let sizes = ["hidden_size", "n_embd", "d_model", "dim"];
    for size in sizes {
        refused(&[size], &json!("many"), &["config.json", size, "many"]);
    }
    refused(&sizes, &json!(-16), &["config.json", "-16"]);
    refused(&sizes, &json!([16]), &["config.json", "sequence"]);
}

#[test]
fn a_configuration_that_is_no_object_is_refused() {
    let dir = changed(&fixture("bert"), |_, _| {});
    let path = dir.path().join("config.json");
    for text in ["", "[1, 2]", "null", "model_type: bert", "{\"model_type\": \"bert\",}", "\u{feff}{}"] {
        std::fs::write(&path, text).expect("written");
        let error = load(dir.path()).expect_err("refused");
        assert!(matches!(&error, ModelError::BrokenFile { path: named, .. } if *named == path), "{error}");
    }
    for text in ["{}", "{\"model_type\": 7}", "{\"model_type\": null}"] {
        std::fs::write(&path, text).expect("written");
        assert!(matches!(load(dir.path()), Err(ModelError::UnknownFamily { .. })), "{text}");
    }
}

#[test]
fn halves_become_the_floats_that_they_stand_for() {
    let halves: [(u16, f64); 6] = [
        (0x3555, 0.333_251_953_125),
        (0xc000, -2.0),
        (0x0001, 5.960_464_477_539_063e-8), // The smallest there is.
        (0x83ff, -6.097_555_160_522_461e-5),
        (0x7bff, 65504.0),
        (0x0000, 0.0),
    ];
    let brains: [(u16, f64); 6] = [
        (0x3eab, 0.333_984_375),
        (0xc000, -2.0),
        (0x0001, 9.183_549_615_799_121e-41),
        (0x4049, 3.140_625),
        (0x7f7f, 3.389_531_389_251_535_5e38),
        (0x0000, 0.0),
    ];
    for (dtype, values) in [(Dtype::F16, halves), (Dtype::BF16, brains)] {
        let dir = changed(&fixture("bert"), |_, _| {});
        let file = dir.path().join("model.safetensors");
        let all = tensors(&file);
        let bits = || values.iter().map(|(bits, _)| *bits).cycle();
        let owned: Vec<(&String, &Vec<usize>, Vec<u8>)> = all
            .iter()
            .map(|(name, (shape, bytes))| {
                (name, shape, bits().take(bytes.len() / 4).flat_map(u16::to_le_bytes).collect())
            })
            .collect();
        let views = owned.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(dtype, shape.to_vec(), bytes).expect("a view"))
        });
        serialize_to_file(views, None, &file).expect("written");
        let parameters = parameters_of(&load(dir.path()).expect("loads"));
        let table = &parameters["token_embedding.weight"];
        for (value, (_, expected)) in table.iter().zip(values.iter().cycle()) {
            assert_eq!(value, expected, "{dtype:?}");
        }
    }
}

/// Opcodes that call `posix.system` with a command and leave what it gives on the stack.
fn call(command: &str) -> Vec<u8> {
    let mut opcodes = b"cposix\nsystem\nX".to_vec();
    opcodes.extend((command.len() as u32).to_le_bytes());
    opcodes.extend(command.as_bytes());
    opcodes.extend(b"\x85R"); // A tuple of one, and the call.
    opcodes
}

/// PyTorch's file with its pickle changed.
fn repacked(change: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let bytes = std::fs::read(fixture("bert").join("pytorch_model.bin")).expect("the fixture is committed");
    let mut source = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("an archive");
    let mut target = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..source.len() {
        let mut entry = source.by_index(index).expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("read");
        let name = entry.name().expect("a name").into_owned();
        let content = if name.ends_with("data.pkl") { change(content) } else { content };
        target.start_file(name, stored).expect("written");
        target.write_all(&content).expect("written");
    }
    target.finish().expect("written").into_inner()
}

/// The same with the name on the stack, as protocol 4 writes it, and with its parts in the memo.
fn stacked_call(command: &str) -> Vec<u8> {
    let mut opcodes = b"\x8c\x05posixr\x00\x00\x01\x000\x8c\x06systemr\x01\x00\x01\x000".to_vec();
    opcodes.extend(b"j\x00\x00\x01\x00j\x01\x00\x01\x00\x93X");
    opcodes.extend((command.len() as u32).to_le_bytes());
    opcodes.extend(command.as_bytes());
    opcodes.extend(b"\x85R");
    opcodes
}

/// A pickle with opcodes before everything, where a tensor should be, and before its end.
fn hidden(pickle: &[u8], call: &[u8]) -> [Vec<u8>; 3] {
    let name = b"classifier.bias";
    let place = pickle.windows(name.len()).position(|window| window == name).expect("a tensor");
    // BINPUT or LONG_BINPUT after the name, then the tensor; the call goes in between and is dropped.
    let behind = place + name.len() + if pickle[place + name.len()] == b'q' { 2 } else { 5 };
    let end = pickle.len() - 1;
    [2, behind, end].map(|at| [&pickle[..at], call, b"0", &pickle[at..]].concat())
}

/// Legacy PyTorch: magic number, protocol, system, object and storage keys; the floats follow.
fn legacy(object: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    file.extend(object);
    file.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    file.extend(2_u64.to_le_bytes());
    file.extend([0.5_f32, -1.0].into_iter().flat_map(f32::to_le_bytes));
    file
}

#[test]
fn a_pickle_runs_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::copy(fixture("bert").join("config.json"), dir.path().join("config.json")).expect("copied");
    let marker = dir.path().join("it-ran");
    let command = format!("touch '{}'", marker.display());
    let path = dir.path().join("pytorch_model.bin");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        let error = load(dir.path()).expect_err("refused");
        let text = error.to_string();
        let ModelError::ForbiddenCall { path: named, callable } = error else { panic!("{text}") };
        assert_eq!((&named, callable.as_str()), (&path, "posix.system"));
        assert!(text.contains("posix.system") && text.contains("safetensors"), "{text}");
        assert!(!marker.exists());
    };
    for call in [call(&command), stacked_call(&command)] {
        // The call is all there is, with and without an archive around it.
        let alone = [b"\x80\x02", &call[..], b"."].concat();
        refused(&alone);
        refused(&repacked(|_| alone.clone()));
        // It hides in a dictionary of weights that is sound: Python would run it and continue.
        for place in 0..3 {
            refused(&repacked(|pickle| hidden(&pickle, &call)[place].clone()));
        }
    }
    std::fs::write(&path, repacked(|pickle| pickle)).expect("written");
    let model = load(dir.path()).expect("the sound file");
    assert_eq!(parameters_of(&model), parameters_of(&load(&fixture("bert")).expect("loads")));
}

#[test]
fn a_legacy_pickle_runs_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("pytorch_model.bin");
    let object = [
        &b"\x80\x02}X\x0f\x00\x00\x00classifier.biasq\x00ctorch._utils\n_rebuild_tensor_v2\n"[..],
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02Nt",
        b"QK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat();
    std::fs::write(&path, legacy(&object)).expect("written");
    let checkpoint = Checkpoint::open(dir.path()).expect("the sound file");
    let values = checkpoint.values("classifier.bias").expect("a tensor");
    assert_eq!(values.try_to_vec::<f32>().expect("floats"), [0.5, -1.0]);
    for call in [call("true"), stacked_call("true")] {
        for object in hidden(&object, &call) {
            std::fs::write(&path, legacy(&object)).expect("written");
            let error = Checkpoint::open(dir.path()).err().expect("refused");
            assert!(matches!(&error, ModelError::ForbiddenCall { .. }), "{error}");
        }
    }
}
