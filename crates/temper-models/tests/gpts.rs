//! GPT, GPT-2, GPT-Neo and BLOOM besides what the zoo checks: switches, old spellings, the cache.

#[path = "common/zoo.rs"]
mod zoo;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};
use temper_models::{
    Backbone, Cache, HeadKind, HeadRequest, HeadTask, Mode, Model, ModelConfig, Pooling, Rows, TokenBatch,
};
use zoo::{host, largest};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

const IDS: [u32; 9] = [4, 17, 9, 9, 30, 5, 41, 12, 8];

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zoo").join(name)
}

/// A copy of a fixture with changed weights and configuration.
fn changed(name: &str, change: impl FnOnce(&mut Tensors, &mut Map<String, Value>)) -> tempfile::TempDir {
    let read = |file: &str| std::fs::read(fixture(name).join(file)).expect("a fixture");
    let bytes = read("model.safetensors");
    let parsed = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut tensors: Tensors = parsed
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect();
    let mut config = serde_json::from_slice(&read("config.json")).expect("JSON");
    change(&mut tensors, &mut config);
    let dir = tempfile::tempdir().expect("a folder");
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a view"))
    });
    safetensors::serialize_to_file(views, None, &dir.path().join("model.safetensors")).expect("written");
    std::fs::write(dir.path().join("config.json"), Value::Object(config).to_string()).expect("written");
    dir
}

fn load(dir: &Path) -> Model {
    let loaded = Model::load(dir, &HeadRequest::FromConfig, &Device::flex()).expect("loads");
    assert!(loaded.new.is_empty() && loaded.dropped.is_empty());
    loaded.model
}

fn logits(dir: &Path) -> Vec<f64> {
    let batch = TokenBatch::new(&IDS, &[0; 9], &[6, 3], &Device::flex());
    host(load(dir).logits(&batch, Mode::Evaluate).expect("a head"))
}

#[test]
fn what_cannot_be_computed_is_refused() {
    for (name, field, value, said) in [
        ("gpt2-causal-lm", "add_cross_attention", json!(true), "add_cross_attention"),
        ("gpt2-causal-lm", "activation_function", json!("mish"), "mish"),
        ("gpt2-causal-lm", "n_head", json!(3), "does not divide"),
        ("openai-gpt-causal-lm", "afn", json!("tanh"), "afn"),
        ("openai-gpt-causal-lm", "n_head", json!(0), "n_head = 0 is not between"),
        ("gpt-neo-causal-lm", "attention_layers", json!(["global"]), "describe 1 layers"),
        ("gpt-neo-causal-lm", "attention_layers", json!(["global", "near"]), "near"),
        ("gpt-neo-causal-lm", "window_size", json!(0), "window_size"),
        ("bloom-causal-lm", "n_head", json!(3), "does not divide"),
    ] {
        let dir = changed(name, |_, config| drop(config.insert(field.into(), value)));
        let error = ModelConfig::read(dir.path()).expect_err("refused").to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    let exact = |processors: usize| {
        let dir = changed("bloom-causal-lm", |_, config| {
            config.insert("slow_but_exact".into(), json!(true));
            config.insert("pretraining_tp".into(), json!(processors));
        });
        ModelConfig::read(dir.path()).is_ok()
    };
    assert!(exact(1) && !exact(2));
}

#[test]
fn old_spellings_are_read() {
    let buffer = || (vec![1], vec![0; 4]);
    for (name, table, buffers) in [
        ("gpt2-causal-lm", "wte.weight", &["h.0.attn.bias", "h.1.attn.masked_bias"][..]),
        ("openai-gpt-causal-lm", "tokens_embed.weight", &["h.0.attn.bias", "position_ids"]),
        ("gpt-neo-causal-lm", "wte.weight", &["h.1.attn.attention.bias", "h.0.attn.attention.masked_bias"]),
        ("bloom-causal-lm", "word_embeddings.weight", &[]),
    ] {
        let dir = changed(name, |tensors, config| {
            let bare = std::mem::take(tensors).into_iter();
            *tensors = bare.map(|(name, tensor)| (name.replace("transformer.", ""), tensor)).collect();
            tensors.insert("lm_head.weight".into(), tensors[table].clone());
            tensors.extend(buffers.iter().map(|name| ((*name).to_owned(), buffer())));
            for (theirs, general) in [
                ("n_embd", "hidden_size"),
                ("n_layer", "num_hidden_layers"),
                ("num_layers", "num_hidden_layers"),
                ("n_head", "num_attention_heads"),
                ("num_heads", "num_attention_heads"),
                ("n_positions", "max_position_embeddings"),
            ] {
                if let Some(value) = config.remove(theirs) {
                    config.insert(general.into(), value);
                }
            }
            if name == "bloom-causal-lm" {
                let hidden = config.insert("hidden_size".into(), json!(99)).expect("a width");
                config.insert("n_embed".into(), hidden);
            }
            config.remove("attention_layers"); // As `attention_types` says.
        });
        assert_eq!(logits(dir.path()), logits(&fixture(name)), "{name}");
    }
}

#[test]
fn dropout_before_the_labels_of_tokens_is_transformers_own() {
    let dropout = |name: &str, fields: &[(&str, f64)]| {
        let dir = changed(name, |_, config| {
            config.remove("classifier_dropout");
            config.extend(fields.iter().map(|(field, value)| ((*field).to_owned(), json!(value))));
        });
        let head = ModelConfig::read(dir.path()).expect("a configuration").head().expect("a head");
        let HeadKind::TokenClassification { dropout, .. } = head.kind else { panic!("another head") };
        dropout
    };
    assert_eq!(dropout("gpt2-token-classification", &[]), 0.1);
    assert_eq!(dropout("gpt2-token-classification", &[("hidden_dropout", 0.3)]), 0.3);
    assert_eq!(dropout("gpt-neo-token-classification", &[]), 0.1);
    assert_eq!(dropout("bloom-token-classification", &[("hidden_dropout", 0.2)]), 0.2);
    let both = [("hidden_dropout", 0.2), ("classifier_dropout", 0.4)];
    assert_eq!(dropout("bloom-token-classification", &both), 0.4);
}

#[test]
fn what_a_cache_holds_need_not_be_read_again() {
    let device = Device::flex();
    for name in ["gpt2-causal-lm", "openai-gpt-causal-lm", "gpt-neo-causal-lm", "bloom-6heads-causal-lm"] {
        let backbone = load(&fixture(name)).backbone;
        // Two sequences of 6 and 3 tokens: first 4 and 1 of them, then the rest.
        let (first, rest) = ([4, 17, 9, 9, 41], [30, 5, 12, 8]);
        let mut cache = Cache::new(2);
        let batch = TokenBatch::following(&first, &[4, 1], cache.lengths(), &device);
        backbone.forward_cached(&batch, Rows::Last, &mut cache);
        let batch = TokenBatch::following(&rest, &[2, 2], cache.lengths(), &device);
        let cached = host(backbone.forward_cached(&batch, Rows::Last, &mut cache));
        let whole = TokenBatch::new(&IDS, &[0; 9], &[6, 3], &device);
        let difference = largest(&cached, &host(backbone.forward(&whole, Rows::Last, Mode::Evaluate)));
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

/// transformers refuses batches of a classifier that names no padding token.
#[test]
fn a_new_classifier_names_a_padding_token() {
    let labels = vec!["neg".to_owned(), "pos".to_owned()];
    let request = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels,
        pooling: Pooling::Pooler,
        seed: 1,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let dir = changed("gpt2-causal-lm", |_, config| {
        config.insert("pad_token_id".into(), Value::Null);
        config.insert("eos_token_id".into(), json!([2, 5]));
    });
    let loaded = Model::load(dir.path(), &request, &Device::flex()).expect("loads");
    assert_eq!(loaded.config.raw()["pad_token_id"], 2);
    assert_eq!(loaded.new, ["head.output.weight"]);
}

/// transformers 5 unties a model whose file holds both matrices, if they differ.
#[test]
fn an_output_map_that_differs_is_a_models_own() {
    let models = [
        ("gpt2-causal-lm", "transformer.wte.weight"),
        ("bloom-causal-lm", "transformer.word_embeddings.weight"),
        ("llama2-gqa-causal-lm", "model.embed_tokens.weight"),
        ("falcon-7b-causal-lm", "transformer.word_embeddings.weight"),
    ];
    for (name, table) in models {
        let with_output = |factor: f32| {
            changed(name, |tensors, _| {
                let (shape, bytes) = tensors[table].clone();
                let values =
                    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("4")));
                let scaled = values.flat_map(|value| (factor * value).to_le_bytes()).collect();
                tensors.insert("lm_head.weight".into(), (shape, scaled));
            })
        };
        let (equal, twice) = (with_output(1.0), with_output(2.0));
        let tied = logits(equal.path());
        let doubled: Vec<f64> = tied.iter().map(|value| 2.0 * value).collect();
        assert!(largest(&logits(twice.path()), &doubled) < 1e-5, "{name}");
        let count = |dir: &Path| load(dir).parameters().parameters.len();
        assert_eq!(count(twice.path()), count(equal.path()) + 1, "{name}");
    }
}
