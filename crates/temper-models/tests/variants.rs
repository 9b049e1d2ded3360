//! The families that share a module with another: refused switches, old and new spellings, fields that transformers
//! passes over.

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use burn::tensor::Device;
use common::changed;
use serde_json::{Map, Value, json};
use temper_models::{HeadRequest, Mode, Model, ModelConfig};
use zoo::{case, host, largest, size};

/// What is said against a case with another configuration.
fn refused(name: &str, field: &str, value: Value) -> String {
    let dir = changed(&case(name).dir, |_, config| config[field] = value);
    ModelConfig::read(dir.path()).expect_err(field).to_string()
}

#[test]
fn what_would_be_computed_otherwise_is_refused_by_name() {
    for (name, field, value, expected) in [
        ("mistral-causal-lm", "sliding_window", json!(0), "sliding_window = 0"),
        ("mistral-causal-lm", "num_key_value_heads", json!(3), "does not divide num_attention_heads"),
        ("mistral-causal-lm", "is_causal", json!(false), "is_causal = false"),
        ("qwen2-window-causal-lm", "layer_types", json!(["full_attention"]), "layer_types describe 1 layers"),
        ("qwen2-causal-lm", "layer_types", json!(["sliding_attention", "full_attention"]), "sliding_window"),
        (
            "qwen3-causal-lm",
            "layer_types",
            json!(["chunked_attention", "full_attention"]),
            "chunked_attention",
        ),
        ("qwen3-causal-lm", "rope_scaling", json!({"type": "dynamic", "factor": 4.0}), "rope_type = dynamic"),
        ("phi3-causal-lm", "rope_scaling", json!({"type": "yarn"}), "needs factor"),
        ("phi3-causal-lm", "rope_scaling", json!({"type": "longrope", "factor": 2.0}), "needs short_factor"),
        ("llama-causal-lm", "partial_rotary_factor", json!(0.5), "partial_rotary_factor = 0.5"),
        (
            "phi3-causal-lm",
            "rope_parameters",
            json!({"rope_type": "default", "partial_rotary_factor": 0.75}),
            "an even number of at most 4 numbers, not 3",
        ),
        ("phi3-causal-lm", "resid_pdrop", json!(1.0), "resid_pdrop = 1"),
        ("gemma-causal-lm", "use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
        ("gemma2-causal-lm", "attn_logit_softcapping", json!(0.0), "attn_logit_softcapping = 0"),
        ("gemma2-causal-lm", "sliding_window", json!(null), "there is no sliding_window"),
        ("gemma3-causal-lm", "layer_types", json!(["full_attention"]), "layer_types describe 1 layers"),
        ("gemma3-scaled-causal-lm", "rope_scaling", json!({"rope_type": "yarn"}), "needs factor"),
        ("gemma3-scaled-causal-lm", "rope_local_base_freq", json!(null), "rope_local_base_freq"),
        ("electra-masked-lm", "is_decoder", json!(true), "is_decoder"),
        ("electra-masked-lm", "embedding_size", json!(0), "embedding_size = 0"),
        ("mpnet-masked-lm", "relative_attention_num_buckets", json!(16), "transformers reads 32 rows"),
        ("mpnet-masked-lm", "max_position_embeddings", json!(2), "positions begin at 2"),
        ("deberta-v2-masked-lm", "relative_attention", json!(false), "relative_attention = false"),
        ("deberta-v2-masked-lm", "pos_att_type", json!("c2p"), "pos_att_type"),
        ("deberta-v2-masked-lm", "share_att_key", json!(false), "share_att_key = false"),
        ("deberta-v2-masked-lm", "conv_kernel_size", json!(3), "conv_kernel_size = 3"),
        ("deberta-v2-masked-lm", "embedding_size", json!(8), "embedding_size = 8"),
        ("deberta-v2-masked-lm", "position_buckets", json!(1), "position_buckets = 1"),
        ("deberta-v2-masked-lm", "max_relative_positions", json!(3), "max_relative_positions = 3"),
        ("albert-masked-lm", "inner_group_num", json!(2), "inner_group_num = 2"),
        ("albert-masked-lm", "num_hidden_groups", json!(4), "more than num_hidden_layers = 3"),
        (
            "modernbert-masked-lm",
            "rope_scaling",
            json!({"rope_type": "linear", "factor": 2.0}),
            "rope_scaling",
        ),
        ("modernbert-masked-lm", "classifier_pooling", json!("max"), "classifier_pooling"),
        ("modernbert-masked-lm", "local_attention", json!(0), "local_attention = 0"),
        ("modernbert-masked-lm", "layer_types", json!(["full_attention"]), "layer_types describe 1 layers"),
    ] {
        let message = refused(name, field, value);
        assert!(message.contains(expected), "{name} {field}: {message}");
    }
}

/// Distance of a case's logits from the reference's, relative to their size, with other fields in config.json; `null` leaves one out.
fn distance(name: &str, fields: &Value) -> f64 {
    let (case, device) = (case(name), Device::flex());
    let dir = changed(&case.dir, |_, config| {
        let config = config.as_object_mut().expect("an object");
        for (field, value) in fields.as_object().expect("an object") {
            config.shift_remove(field);
            if !value.is_null() {
                config.insert(field.clone(), value.clone());
            }
        }
    });
    let loaded = Model::load(dir.path(), &HeadRequest::FromConfig, &device).expect("loads");
    let logits = loaded.model.logits(&case.batch(&device), Mode::Evaluate).expect("a head");
    let is_of_sequences = name.ends_with("sequence-classification");
    let expected = if is_of_sequences { case.values("logits") } else { case.packed("logits") };
    largest(&host(logits), &expected) / size(&expected).max(1.0)
}

#[test]
fn old_and_new_spellings_are_read_as_transformers_reads_them() {
    for (name, fields) in [
        ("mistral-causal-lm", json!({"rope_parameters": null, "rope_theta": 10_000.0})),
        (
            "qwen2-window-causal-lm",
            json!({"max_window_layers": null, "layer_types": ["full_attention", "sliding_attention"]}),
        ),
        ("qwen3-causal-lm", json!({"layer_types": null, "rope_parameters": null, "rope_theta": 10_000})),
        ("gemma2-causal-lm", json!({"layer_types": null, "rope_parameters": null})),
        (
            "gemma3-scaled-causal-lm",
            json!({
                "sliding_window_pattern": null, "layer_types": ["sliding_attention", "full_attention"],
                "rope_scaling": null, "rope_theta": null, "rope_local_base_freq": null,
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                },
            }),
        ),
        ("modernbert-masked-lm", json!({"layer_types": null, "rope_parameters": null})),
        (
            "modernbert-mean-sequence-classification",
            json!({
                "global_rope_theta": null, "local_rope_theta": null, "global_attn_every_n_layers": null,
                "rope_parameters": {
                    "full_attention": {"rope_theta": 1000.0}, "sliding_attention": {"rope_theta": 100.0},
                },
            }),
        ),
    ] {
        let difference = distance(name, &fields);
        assert!(difference < 1e-5, "{name} {fields}: {difference}");
    }
}

#[test]
fn fields_that_a_family_does_not_have_are_passed_over() {
    for (name, fields) in [
        (
            "llama-causal-lm",
            json!({"sliding_window": 2, "resid_pdrop": 0.5, "layer_types": ["full_attention"]}),
        ),
        ("mistral-causal-lm", json!({"attention_bias": true, "mlp_bias": true, "use_sliding_window": false})),
        ("qwen2-causal-lm", json!({"attention_bias": true, "mlp_bias": true})),
        ("qwen3-causal-lm", json!({"mlp_bias": true})),
        ("phi3-causal-lm", json!({"attention_bias": true, "embd_pdrop": 0.5})),
        ("gemma-causal-lm", json!({"hidden_activation": "relu", "attn_logit_softcapping": 1.0})),
        ("gemma3-causal-lm", json!({"attn_logit_softcapping": 1.0})),
        ("mpnet-masked-lm", json!({"pad_token_id": 0, "classifier_dropout": 0.5})),
    ] {
        let difference = distance(name, &fields);
        assert!(difference < 1e-5, "{name} {fields}: {difference}");
    }
}

#[test]
fn defaults_are_transformers() {
    let bounds = |name: &str| {
        let raw = Map::from_iter([("model_type".to_owned(), json!(name))]);
        let bounds = ModelConfig::parse(&Value::Object(raw).to_string()).expect(name).bounds();
        (bounds.vocab_size, bounds.max_positions)
    };
    for (name, expected) in [
        ("llama", (32000, 2048)),
        ("mistral", (32000, 131_072)),
        ("qwen2", (151_936, 32768)),
        ("qwen3", (151_936, 32768)),
        ("phi3", (32064, 4096)),
        ("gemma", (256_000, 8192)),
        ("gemma2", (256_000, 8192)),
        ("gemma3_text", (262_208, 131_072)),
        ("electra", (30522, 512)),
        ("mpnet", (30527, 510)),
        ("albert", (30000, 512)),
        ("modernbert", (50368, 8192)),
    ] {
        assert_eq!(bounds(name), expected, "{name}");
    }
}
