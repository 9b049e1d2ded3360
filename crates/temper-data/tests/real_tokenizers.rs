//! The tokenizers of nine well-known checkpoints give transformers' ids on hard texts. Their files are other
//! people's: the test runs where a mirror of the Hub has them. `cargo xtask fixtures` writes the ids.

#[path = "common/outside.rs"]
mod outside;

use std::path::Path;

use serde::Deserialize;
use temper_data::{EncodeSettings, Truncation, encode_all, load_tokenizer};

#[derive(Deserialize)]
struct Fixture {
    model: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    pair: Option<String>,
    /// How often the text is repeated.
    #[serde(default = "once")]
    repeat: usize,
    ids: Vec<u32>,
}

fn once() -> usize {
    1
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
    let files = std::fs::read_dir(folder).expect("the fixtures are committed");
    let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"));
    texts.map(|text| serde_json::from_str(&text).expect("JSON")).collect()
}

#[test]
fn nine_tokenizers_give_the_ids_of_transformers() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 9);
    let settings = EncodeSettings { max_length: 100_000, truncation: Truncation::Head };
    for Fixture { model, cases } in fixtures {
        assert!(cases.len() > 90, "{model}");
        let Some(dir) = outside::mirrored(&model) else { continue };
        let tokenizer = load_tokenizer(&dir).expect("a tokenizer");
        let texts: Vec<String> = cases.iter().map(|case| case.text.repeat(case.repeat)).collect();
        let inputs: Vec<_> =
            texts.iter().zip(&cases).map(|(text, case)| (text.as_str(), case.pair.as_deref())).collect();
        let encoded = encode_all(&tokenizer, &inputs, &settings, None).expect("encoded");
        for (case, ours) in cases.iter().zip(&encoded.items) {
            // An empty text without special tokens would leave a model nothing to read: one filler id.
            if !case.ids.is_empty() {
                assert_eq!(ours.ids, case.ids, "{model}: {:?} {:?}", case.text, case.pair);
            }
        }
        println!("{model}: {} texts", cases.len());
    }
}
