//! The real MiniLM weights give transformers' numbers. Skipped, and said so, where they cannot be
//! fetched.

use std::path::Path;
use std::process::Command;

use temper_data::{EncodeSettings, Truncation, encode_all};
use temper_train::{LocalModel, SourceOptions, TrainError};

/// The texts of xtask/reference/reference_forward.py.
const TEXTS: [(&str, Option<&str>); 5] = [
    ("The film is a quiet triumph.", None),
    ("No.", None),
    ("What did the critics say?", Some("They praised the acting and found the plot too thin.")),
    (
        "It runs for nearly three hours, wanders through four countries and a dozen half-told \
         stories, and still leaves its audience wishing - against all reason - for more.",
        None,
    ),
    ("Café, naïve & 中国 😀 42%", None),
];

fn reference() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/minilm_reference.safetensors")
}

/// The model, or `None` with a word on why there is none.
fn minilm() -> Option<LocalModel> {
    match LocalModel::find(&SourceOptions::default().hub(true), "minilm") {
        Ok(model) => Some(model),
        Err(TrainError::Hub(error)) if error.is_unreachable() => {
            eprintln!("skipped: the weights of MiniLM cannot be fetched here: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_hidden_states_are_transformers() {
    let Some(model) = minilm() else { return };
    let output = Command::new(env!("CARGO_BIN_EXE_temper"))
        .arg("verify")
        .arg(&model.dir)
        .arg("--reference")
        .arg(reference())
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("last_hidden_state"), "{text}");
}

#[test]
fn the_token_ids_are_transformers() {
    let Some(model) = minilm() else { return };
    let bytes = std::fs::read(reference()).expect("the fixture is committed");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let rows = |name: &str| -> Vec<Vec<u32>> {
        let tensor = tensors.tensor(name).expect(name);
        let value = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("8 bytes")) as u32;
        let values: Vec<u32> = tensor.data().chunks(8).map(value).collect();
        values.chunks(tensor.shape()[1]).map(<[u32]>::to_vec).collect()
    };
    let tokenizer = model.tokenizer(30522).expect("a tokenizer");
    let settings = EncodeSettings { max_length: 512, truncation: Truncation::Head };
    let encoded = encode_all(&tokenizer, &TEXTS, &settings, None).expect("encoded");
    let (ids, types, masks) = (rows("input_ids"), rows("token_type_ids"), rows("attention_mask"));
    for (row, ours) in encoded.items.iter().enumerate() {
        let length = masks[row].iter().sum::<u32>() as usize;
        assert_eq!(ours.ids, ids[row][..length], "{:?}", TEXTS[row]);
        assert_eq!(ours.type_ids, types[row][..length], "{:?}", TEXTS[row]);
    }
}
