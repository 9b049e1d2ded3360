//! Falcon beyond the zoo: refused switches, and ALiBi's rounding at positions beyond 256.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Value, json};
use temper_models::{Backbone, Cache, HeadRequest, Mode, Model, ModelConfig, Rows, TokenBatch};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zoo").join(name)
}

/// Reads the configuration of a fixture with some changes.
fn read(name: &str, changes: &Value) -> Result<ModelConfig, String> {
    let text = std::fs::read_to_string(fixture(name).join("config.json")).expect("the fixture is committed");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in changes.as_object().expect("an object") {
        config[key] = value.clone();
    }
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    ModelConfig::read(dir.path()).map_err(|error| error.to_string())
}

#[test]
fn what_would_be_computed_otherwise_is_refused() {
    for (name, changes, expected) in [
        ("falcon-40b-causal-lm", json!({"parallel_attn": false}), "parallel_attn = false"),
        ("falcon-40b-causal-lm", json!({"num_ln_in_parallel_attn": 3}), "num_ln_in_parallel_attn = 3"),
        ("falcon-40b-causal-lm", json!({"num_kv_heads": 3}), "does not divide num_attention_heads"),
        ("falcon-7b-causal-lm", json!({"num_ln_in_parallel_attn": 2}), "num_ln_in_parallel_attn = 2"),
        ("falcon-7b-causal-lm", json!({"multi_query": false, "num_kv_heads": 2}), "num_kv_heads = 2"),
        ("falcon-7b-causal-lm", json!({"rope_scaling": {"type": "dynamic"}}), "rope_type = dynamic"),
        ("falcon-7b-causal-lm", json!({"n_embed": 18}), "does not divide hidden_size = 18"),
        ("falcon-rw-causal-lm", json!({"is_causal": false}), "is_causal = false"),
    ] {
        let message = read(name, &changes).expect_err(name);
        assert!(message.contains(expected), "{message}");
    }
    // transformers reads none of these there.
    read("falcon-7b-causal-lm", &json!({"num_kv_heads": 3})).expect("multi_query counts");
    read("falcon-rw-causal-lm", &json!({"rope_scaling": {"type": "yarn"}})).expect("ALiBi counts");
    read("falcon-rw-causal-lm", &json!({"num_ln_in_parallel_attn": 2})).expect("parallel_attn counts");
}

/// Of 600 tokens, the first logits of the last one, as transformers 5.23 computes them. Had ALiBi's products
/// and positions not been rounded to bfloat16, they would be others by up to 0.27 and 0.1.
const LONG: [(&str, [f32; 8]); 2] = [
    (
        "falcon-rw-16heads-causal-lm",
        [0.45185, -1.86688, -1.40589, -1.41456, -2.26827, -2.26984, 0.25419, 0.84949],
    ),
    ("falcon-rw-causal-lm", [1.22066, 0.36487, -2.76247, -1.62702, 2.11243, -1.17985, 0.20775, 1.60714]),
];

#[test]
fn alibi_is_rounded_at_long_distances_too() {
    let device = Device::flex();
    let ids: Vec<u32> = (0..600).map(|i| (7 * i * i + 3 * i) % 44 + 4).collect();
    for (name, expected) in LONG {
        let model = Model::load(&fixture(name), &HeadRequest::FromConfig, &device).expect(name).model;
        let head = model.head.as_ref().expect("a head");
        let assert_close = |hidden| {
            let logits = head.forward(&model.backbone, hidden, Mode::Evaluate);
            for (ours, theirs) in logits.into_data().iter::<f32>().zip(expected) {
                assert!((ours - theirs).abs() < 5e-5, "{name}: {ours}, not {theirs}");
            }
        };
        let batch = TokenBatch::new(&ids, &[0; 600], &[600], &device);
        assert_close(model.backbone.forward(&batch, Rows::Last, Mode::Evaluate));
        // In two parts, the second on top of what the cache remembers.
        let mut cache = Cache::new(1);
        for part in [&ids[..350], &ids[350..]] {
            let batch = TokenBatch::following(part, &[part.len() as u32], cache.lengths(), &device);
            let hidden = model.backbone.forward_cached(&batch, Rows::Last, &mut cache);
            if cache.lengths() == [600] {
                assert_close(hidden);
            }
        }
    }
}
