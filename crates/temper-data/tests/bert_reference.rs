//! A BERT tokenizer built from vocab.txt gives transformers' ids on nasty texts; the fixture is
//! written by `cargo xtask fixtures`.

use std::path::Path;

use serde::Deserialize;
use temper_data::{EncodeSettings, Truncation, encode_all, load_tokenizer};

#[derive(Deserialize)]
struct Case {
    text: String,
    pair: Option<String>,
    ids: Vec<u32>,
    type_ids: Vec<u32>,
}

#[test]
fn ids_and_segments_are_transformers() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/tokenizer");
    let cases = std::fs::read_to_string(fixture.join("cases.json")).expect("the fixture is committed");
    let cases: Vec<Case> = serde_json::from_str(&cases).expect("JSON");
    assert!(cases.len() > 30);
    let tokenizer = load_tokenizer(&fixture).expect("a tokenizer");
    let settings = EncodeSettings { max_length: 512, truncation: Truncation::Head };
    let texts: Vec<_> = cases.iter().map(|case| (case.text.as_str(), case.pair.as_deref())).collect();
    let encoded = encode_all(&tokenizer, &texts, &settings, None).expect("encoded");
    for (case, ours) in cases.iter().zip(&encoded.items) {
        assert_eq!(ours.ids, case.ids, "{:?} {:?}", case.text, case.pair);
        assert_eq!(ours.type_ids, case.type_ids, "{:?} {:?}", case.text, case.pair);
    }
}
