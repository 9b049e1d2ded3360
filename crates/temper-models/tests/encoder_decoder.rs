//! Encoder-decoder models: what the parity tests of the zoo do not show.

mod common;

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ParamGroup};
use burn::tensor::{Device, Tensor};
use common::{changed, fixture};
use serde_json::{Value, json};
use temper_models::{
    Backbone, Cache, HeadRequest, HeadTask, Loaded, Mode, Model, ModelError, Pass, Pooling, Rows, TokenBatch,
};
use zoo::{gradients_of, host, largest, size};

#[path = "common/zoo.rs"]
mod zoo;

const MODELS: [&str; 3] = ["t5-seq2seq-lm", "t5-v1.1-seq2seq-lm", "bart-seq2seq-lm"];
/// What the decoder reads of both sequences.
const TARGETS: [[u32; 4]; 2] = [[2, 9, 30, 11], [2, 40, 17, 8]];

fn path(name: &str) -> std::path::PathBuf {
    fixture("zoo").join(name)
}

fn load(name: &str, device: &Device) -> Model {
    Model::load(&path(name), &HeadRequest::FromConfig, device).expect(name).model
}

/// Two sequences; the first is longer than the distances that T5's fixtures distinguish.
fn inputs(device: &Device) -> TokenBatch {
    let ids: Vec<u32> = (0..22).map(|place| 4 + place * 17 % 43).collect();
    TokenBatch::new(&ids, &[0; 22], &[17, 5], device)
}

fn decoder(device: &Device) -> TokenBatch {
    TokenBatch::new(&TARGETS.concat(), &[0; 8], &[4, 4], device)
}

/// The model with those parameters frozen whose path begins so.
fn frozen(model: Model, starts: &[&str]) -> Model {
    let parameters = model.parameters().parameters;
    let picked = parameters.iter().filter(|row| starts.iter().any(|start| row.path.starts_with(start)));
    let ids: Vec<_> = picked.map(|row| row.id).collect();
    model.set_require_grad_group(ParamGroup::from_ids(ids), false)
}

fn gradients(model: &Model, device: &Device) -> HashMap<String, Vec<f64>> {
    let batch = inputs(device).with_decoder(decoder(device));
    let logits = model.logits(&batch, Mode::train(3)).expect("a head");
    gradients_of(model, &(logits.clone() * logits).mean().backward())
}

fn assert_same_gradients(of: &str, ours: &HashMap<String, Vec<f64>>, all: &HashMap<String, Vec<f64>>) {
    let compared: Vec<&String> = all.keys().filter(|path| path.starts_with(of)).collect();
    assert!(compared.len() > 10);
    for path in compared {
        let difference = largest(&ours[path], &all[path]) / size(&all[path]).max(1e-3);
        assert!(difference < 1e-5, "{path}: {difference}");
    }
}

#[test]
fn gradients_reach_the_encoder_through_frozen_decoder_layers() {
    let device = Device::flex().autodiff();
    for name in MODELS {
        let all = gradients(&load(name, &device), &device);
        for starts in [&["decoder.layers.0."][..], &["decoder.", "token_embedding"]] {
            let model = frozen(load(name, &device), starts);
            let some = gradients(&model, &device);
            assert!(some.keys().all(|path| !starts.iter().any(|start| path.starts_with(start))), "{name}");
            assert_same_gradients("encoder.", &some, &all);
        }
    }
}

#[test]
fn a_frozen_encoder_runs_without_a_graph() {
    let device = Device::flex().autodiff();
    for name in MODELS {
        let all = gradients(&load(name, &device), &device);
        let model = frozen(load(name, &device), &["encoder.", "token_embedding"]);
        let encoded = model.backbone.encode(&inputs(&device), Mode::train(3)).expect("an encoder");
        assert!(!encoded.is_autodiff(), "{name}");
        assert_same_gradients("decoder.", &gradients(&model, &device), &all);
        let all_frozen = frozen(model, &["decoder."]);
        let hidden = all_frozen.backbone.forward(&inputs(&device), Rows::All, Mode::train(3));
        assert!(!hidden.is_autodiff(), "{name}");
    }
}

#[test]
fn token_by_token_gives_what_all_at_once_gives() {
    let device = Device::flex();
    for name in MODELS {
        let backbone = load(name, &device).backbone;
        let whole = inputs(&device).with_decoder(decoder(&device));
        let whole = backbone.forward(&whole, Rows::All, Mode::Evaluate);
        let (mut cache, mut order) = (Cache::new(2), [0, 1]);
        for (step, column) in [0, 1, 2, 3].map(|step| TARGETS.map(|row| row[step])).into_iter().enumerate() {
            if step == 2 {
                order = [1, 0];
                cache = cache.select(&order);
            }
            let ids = order.map(|sequence| column[sequence]);
            let next = TokenBatch::following(&ids, &[1, 1], cache.lengths(), &device);
            let mut watched = 0;
            let watch = &mut |_: &Tensor<2>| watched += 1;
            let cache = Some(&mut cache);
            let pass = Pass { rows: Rows::Last, mode: Mode::Evaluate, cache, watch, until: None };
            let hidden = backbone.run(&inputs(&device).with_decoder(next), pass);
            for (row, sequence) in order.into_iter().enumerate() {
                let expected = host(whole.clone().narrow(0, 4 * sequence + step, 1));
                let difference = largest(&host(hidden.clone().narrow(0, row, 1)), &expected);
                assert!(difference < 1e-5, "{name}, step {step}: {difference}");
            }
            let of_both_stacks = backbone.layer_count() + 2;
            assert_eq!(watched == of_both_stacks, step == 0, "{name}: the encoder runs once");
        }
    }
}

#[test]
fn without_a_decoder_batch_the_decoder_reads_the_input_shifted() {
    let device = Device::flex();
    for (name, start) in [("t5-seq2seq-lm", 0), ("bart-seq2seq-lm", 2)] {
        let backbone = load(name, &device).backbone;
        let explicit = inputs(&device).with_decoder(inputs(&device).shifted_right(start));
        let [left, right] = [inputs(&device), explicit]
            .map(|batch| host(backbone.forward(&batch, Rows::Last, Mode::Evaluate)));
        assert_eq!(left, right);
    }
}

fn load_dir(dir: &Path, head: &HeadRequest) -> Result<Loaded, ModelError> {
    Model::load(dir, head, &Device::flex())
}

fn logits(model: &Model) -> Vec<f64> {
    host(model.logits(&inputs(&Device::flex()), Mode::Evaluate).expect("a head"))
}

#[test]
fn old_spellings_are_read() {
    let relative = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
    let t5 = changed(&path("t5-seq2seq-lm"), |weights, config| {
        let shared = weights["shared.weight"].clone();
        for copy in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"] {
            weights.insert(copy.into(), shared.clone());
        }
        weights.insert(relative.into(), (vec![1], vec![0; 4]));
        config["architectures"] = json!(["T5WithLMHeadModel"]);
        config.as_object_mut().expect("an object").remove("scale_decoder_outputs");
    });
    let bart = changed(&path("bart-seq2seq-lm"), |weights, config| {
        let shared = weights["model.shared.weight"].clone();
        for copy in
            ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"]
        {
            weights.insert(copy.into(), shared.clone());
        }
        weights.insert("model.encoder.version".into(), (vec![1], vec![0; 4]));
        config["num_hidden_layers"] = config["encoder_layers"].clone();
    });
    for (dir, name) in [(t5, "t5-seq2seq-lm"), (bart, "bart-seq2seq-lm")] {
        let loaded = load_dir(dir.path(), &HeadRequest::FromConfig).expect(name);
        assert_eq!(logits(&loaded.model), logits(&load(name, &Device::flex())), "{name}");
        assert!(loaded.model.parameters().parameters.iter().all(|row| row.path != "head.output.weight"));
    }
}

#[test]
fn the_scale_of_t5_does_not_depend_on_tying() {
    let unscaled =
        changed(&path("t5-seq2seq-lm"), |_, config| config["scale_decoder_outputs"] = json!(false));
    let by_tying = changed(&path("t5-seq2seq-lm"), |_, config| {
        config["tie_word_embeddings"] = json!(false);
        config.as_object_mut().expect("an object").remove("scale_decoder_outputs");
    });
    let scaled: Vec<f64> = logits(&load("t5-seq2seq-lm", &Device::flex())).iter().map(|x| 4.0 * x).collect();
    for dir in [unscaled, by_tying] {
        let model = load_dir(dir.path(), &HeadRequest::FromConfig).expect("loads").model;
        assert!(largest(&logits(&model), &scaled) < 1e-5);
    }
}

#[test]
fn final_logits_bias_does_not_train_and_may_be_missing() {
    let model = load("bart-seq2seq-lm", &Device::flex().autodiff());
    let fixed: Vec<_> = model.parameters().parameters.into_iter().filter(|row| !row.trains).collect();
    assert_eq!(fixed.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["head.fixed_bias"]);
    let dir = changed(&path("bart-seq2seq-lm"), |weights, _| drop(weights.remove("final_logits_bias")));
    let loaded = load_dir(dir.path(), &HeadRequest::FromConfig).expect("loads");
    assert!(loaded.new.is_empty());
    let bias = zoo::parameters_of(&load("bart-seq2seq-lm", &Device::flex())).remove("head.fixed_bias");
    let bias = bias.expect("a bias");
    let added: Vec<f64> = logits(&loaded.model).iter().zip(bias.iter().cycle()).map(|(x, b)| x + b).collect();
    assert!(largest(&logits(&load("bart-seq2seq-lm", &Device::flex())), &added) < 1e-5);
}

#[test]
fn an_encoder_alone_has_no_decoder() {
    let alone = load_dir(&path("t5-token-classification"), &HeadRequest::None).expect("loads").model;
    let device = Device::flex();
    assert!(alone.backbone.encode(&inputs(&device), Mode::Evaluate).is_none());
    let hidden = |rows| host(alone.backbone.forward(&inputs(&device), rows, Mode::Evaluate));
    let (all, last) = (hidden(Rows::All), hidden(Rows::Last));
    let expected = [&all[16 * 16..17 * 16], &all[21 * 16..]].concat();
    assert!(largest(&last, &expected) < 1e-6);
    // A new classifier of tokens leaves the decoder of a checkpoint out.
    let labels = vec!["A".to_owned(), "B".to_owned()];
    let head = HeadRequest::New {
        task: HeadTask::TokenClassification,
        labels,
        pooling: Pooling::Pooler,
        seed: 1,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = load_dir(&path("t5-v1.1-seq2seq-lm"), &head).expect("loads");
    assert_eq!(loaded.new, ["head.output.weight", "head.output.bias"]);
    assert!(loaded.dropped.iter().all(|name| name.starts_with("decoder.") || name == "lm_head.weight"));
}

#[test]
fn switches_that_are_not_supported_are_refused() {
    for (name, field, value) in [
        ("t5-seq2seq-lm", "is_decoder", json!(true)),
        ("t5-seq2seq-lm", "decoder_start_token_id", Value::Null),
        ("t5-seq2seq-lm", "feed_forward_proj", json!("sparse-relu")),
        ("t5-seq2seq-lm", "dense_act_fn", json!("mish")),
        ("t5-seq2seq-lm", "relative_attention_max_distance", json!(4)),
        ("bart-seq2seq-lm", "is_decoder", json!(true)),
        ("bart-seq2seq-lm", "is_encoder_decoder", json!(false)),
        ("bart-seq2seq-lm", "tie_word_embeddings", json!(false)),
        ("bart-seq2seq-lm", "encoder_layerdrop", json!(0.1)),
        ("bart-seq2seq-lm", "decoder_layerdrop", json!(0.1)),
        ("bart-seq2seq-lm", "decoder_start_token_id", Value::Null),
        ("bart-seq2seq-lm", "decoder_attention_heads", json!(3)),
    ] {
        let dir = changed(&path(name), |_, config| config[field] = value.clone());
        let error = load_dir(dir.path(), &HeadRequest::FromConfig).expect_err(field);
        let is_refusal = matches!(error, ModelError::Unsupported { .. } | ModelError::Config { .. });
        assert!(is_refusal, "{field}: {error}");
    }
}
