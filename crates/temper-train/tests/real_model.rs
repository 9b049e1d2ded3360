//! Real weights give transformers' numbers and text. Skipped, and said so, where they cannot be fetched.

#[path = "../../temper-data/tests/common/outside.rs"]
mod outside;

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

/// A model, or `None` with a word on why there is none.
fn real(name: &str) -> Option<LocalModel> {
    match LocalModel::find(&SourceOptions::default().hub(true), name) {
        Ok(model) => Some(model),
        Err(TrainError::Hub(error)) if error.is_unreachable() => {
            outside::skipped(format!("the weights of {name} cannot be fetched here: {error}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_hidden_states_are_transformers() {
    let Some(model) = real("minilm") else { return };
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
    let Some(model) = real("minilm") else { return };
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

/// The vectors that `temper embed` gives for texts.
fn embedded(model: &LocalModel, texts: &[&str]) -> Vec<Vec<f64>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_temper"));
    command.arg("embed").arg(&model.dir).args(texts.iter().flat_map(|text| ["--text", text]));
    let output = command.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).expect("text");
    let row = |line: &str| -> Vec<f64> {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let values = row["embedding"].as_array().expect("a list").iter();
        values.map(|value| value.as_f64().expect("a number")).collect()
    };
    rows.lines().map(row).collect()
}

#[test]
fn the_embeddings_are_means_of_transformers_hidden_states_of_length_1() {
    let Some(model) = real("minilm") else { return };
    let bytes = std::fs::read(reference()).expect("the fixture is committed");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let (states, mask) = (
        tensors.tensor("last_hidden_state").expect("states"),
        tensors.tensor("attention_mask").expect("a mask"),
    );
    let [_, seq, width] = states.shape()[..] else { panic!("{:?}", states.shape()) };
    let state = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().expect("4 bytes")));
    let states: Vec<f64> = states.data().chunks(4).map(state).collect();
    let lengths: Vec<usize> =
        mask.data().chunks(8 * seq).map(|row| row.iter().map(|&one| one as usize).sum()).collect();
    let single: Vec<usize> = (0..TEXTS.len()).filter(|&row| TEXTS[row].1.is_none()).collect();
    let texts: Vec<&str> = single.iter().map(|&row| TEXTS[row].0).collect();
    for (ours, row) in embedded(&model, &texts).into_iter().zip(single) {
        // modules.json asks for a mean, scaled.
        let sum = |at: usize| (0..lengths[row]).map(|token| states[(row * seq + token) * width + at]).sum();
        let sums: Vec<f64> = (0..width).map(sum).collect();
        let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        assert_eq!(ours.len(), width);
        for (at, (ours, sum)) in ours.into_iter().zip(sums).enumerate() {
            let theirs = sum / length;
            assert!((ours - theirs).abs() < 1e-5, "{row}, {at}: {ours} {theirs}");
        }
    }
}

#[test]
fn paraphrases_are_nearer_than_other_texts() {
    let Some(model) = real("minilm") else { return };
    let texts = [
        "A man is eating food.",
        "Someone is having a meal.",
        "The stock market fell sharply today.",
        "Shares lost much of their value this morning.",
    ];
    let vectors = embedded(&model, &texts);
    let cosine = |left: usize, right: usize| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (left, right) = (&vectors[left], &vectors[right]);
        dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
    };
    for (left, right) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        assert!(cosine(left, right) < 0.3, "{} | {}: {}", texts[left], texts[right], cosine(left, right));
    }
    for (left, right) in [(0, 1), (2, 3)] {
        assert!(cosine(left, right) > 0.5, "{} | {}: {}", texts[left], texts[right], cosine(left, right));
    }
}

/// The greedy text of transformers 5.23, from ids and through the tokenizer.
const STORY: &str = ", there was a little girl named Lily. She loved to play outside in the park. One day, \
    she saw a big, red ball.";

#[test]
fn a_real_llama_tells_transformers_story() {
    let Some(model) = real("karpathy/stories260K") else { return };
    let output = Command::new(env!("CARGO_BIN_EXE_temper"))
        .arg("generate")
        .arg(&model.dir)
        .args(["--prompt", "Once upon a time", "--max-new-tokens", "40"])
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, format!("Once upon a time{STORY}\n"), "{}", String::from_utf8_lossy(&output.stderr));
}
