//! BERT, RoBERTa and DistilBERT: switches, old spellings, output maps of their own.

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use burn::tensor::Device;
use common::{Tensors, changed, tensors};
use serde_json::{Value, json};
use temper_kernels::{VocabularyTargets, cross_entropy};
use temper_models::{Bounds, HeadRequest, Mode, Model, ModelConfig};
use zoo::{Case, case, gradients_of, host, largest, size};

const MASKED: [&str; 3] = ["bert-masked-lm", "roberta-masked-lm", "distilbert-masked-lm"];

/// A case over changed files; the folder lives as long as the second value.
fn with(name: &str, change: impl FnOnce(&mut Tensors, &mut Value)) -> (Case, tempfile::TempDir) {
    let mut case = case(name);
    let dir = changed(&case.dir, change);
    case.dir = dir.path().into();
    case.config = ModelConfig::read(dir.path()).expect("a configuration");
    (case, dir)
}

/// Distance of a case's logits from a multiple of the reference's.
fn distance(case: &Case, factor: f64) -> f64 {
    let device = Device::flex();
    let logits = case.load(&device).logits(&case.batch(&device), Mode::Evaluate).expect("a head");
    let expected: Vec<f64> = case.packed("logits").iter().map(|logit| logit * factor).collect();
    largest(&host(logits), &expected)
}

/// What is said against a case with another configuration.
fn refused(name: &str, field: &str, value: Value) -> String {
    let dir = changed(&case(name).dir, |_, config| config[field] = value);
    let loaded = Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex());
    loaded.expect_err("refused").to_string()
}

/// Names of the token embedding, the bias, and both once more where they are of the output map.
fn output_names(name: &str) -> [&'static str; 4] {
    match name {
        "bert-masked-lm" => [
            "bert.embeddings.word_embeddings.weight",
            "cls.predictions.bias",
            "cls.predictions.decoder.weight",
            "cls.predictions.decoder.bias",
        ],
        "roberta-masked-lm" => [
            "roberta.embeddings.word_embeddings.weight",
            "lm_head.bias",
            "lm_head.decoder.weight",
            "lm_head.decoder.bias",
        ],
        _ => [
            "distilbert.embeddings.word_embeddings.weight",
            "vocab_projector.bias",
            "vocab_projector.weight",
            "vocab_projector.bias",
        ],
    }
}

#[test]
fn tied_copies_and_buffers_are_read() {
    for name in MASKED {
        let (case, _dir) = with(name, |weights, _| {
            let [table, bias, table_copy, bias_copy] = output_names(name);
            weights.insert(table_copy.into(), weights[table].clone());
            weights.insert(bias_copy.into(), weights[bias].clone());
            let ids = table.replace("word_embeddings.weight", "position_ids");
            weights.insert(ids, (vec![1], vec![0; 4]));
        });
        assert!(distance(&case, 1.0) < 1e-5, "{name}");
    }
}

#[test]
fn an_output_map_of_its_own_is_honoured() {
    let doubled = |(shape, bytes): &(Vec<usize>, Vec<u8>)| {
        let floats = bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")));
        (shape.clone(), floats.flat_map(|value| (2.0 * value).to_le_bytes()).collect())
    };
    for name in MASKED {
        let [table, bias, own_table, own_bias] = output_names(name);
        let (untied, dir) = with(name, |weights, config| {
            config["tie_word_embeddings"] = json!(false);
            weights.insert(own_table.into(), doubled(&weights[table]));
            weights.insert(own_bias.into(), doubled(&weights[bias]));
        });
        assert!(distance(&untied, 2.0) < 2e-5, "{name}");

        let saved = tempfile::tempdir().expect("a folder");
        untied.load(&Device::flex()).save(&untied.config, saved.path()).expect("saved");
        let mut before = tensors(&dir.path().join("model.safetensors"));
        if own_bias != bias {
            before.remove(bias); // Nothing is computed with it.
        }
        assert!(before == tensors(&saved.path().join("model.safetensors")), "{name}");

        let missing = if bias == own_bias { "head.output.weight" } else { "head.bias" };
        assert!(refused(name, "tie_word_embeddings", json!(false)).contains(missing), "{name}");
    }
}

#[test]
fn what_cannot_be_computed_is_refused() {
    let roberta = |field, value| refused("roberta-sequence-classification", field, value);
    assert!(roberta("is_decoder", json!(true)).contains("is_decoder"));
    assert!(roberta("add_cross_attention", json!(true)).contains("add_cross_attention"));
    assert!(roberta("position_embedding_type", json!("relative_key")).contains("relative_key"));
    assert!(roberta("pad_token_id", json!(null)).contains("pad_token_id"));
    assert!(roberta("pad_token_id", json!(39)).contains("max_position_embeddings"));
    assert!(roberta("hidden_act", json!("mish")).contains("mish"));
    let distilbert = |field, value| refused("distilbert-masked-lm", field, value);
    assert!(distilbert("n_heads", json!(5)).contains("does not divide dim"));
    assert!(distilbert("activation", json!("mish")).contains("mish"));
}

#[test]
fn defaults_and_other_spellings_are_transformers() {
    let (roberta, _dir) = with("roberta-masked-lm", |_, config| {
        config.as_object_mut().expect("an object").remove("pad_token_id");
    });
    assert!(distance(&roberta, 1.0) < 1e-5);
    // Of 40 rows, the first two stand for padding and what precedes it.
    assert_eq!(roberta.config.bounds(), Bounds { vocab_size: 48, max_positions: 38 });
    let (distilbert, _dir) = with("distilbert-masked-lm", |_, config| {
        for (name, other) in
            [("dim", "hidden_size"), ("n_layers", "num_hidden_layers"), ("n_heads", "num_attention_heads")]
        {
            let value = config.as_object_mut().expect("an object").remove(name);
            config[other] = value.expect(name);
        }
    });
    assert!(distance(&distilbert, 1.0) < 1e-5);
}

/// A third of the tokens have a target; only these are read by the head, and the last layer computes no others. Loss and
/// gradients are those of a pass that computes all tokens.
#[test]
fn tokens_that_are_chosen_are_computed_alone() {
    let others = [
        "bert-pretraining",
        "electra-masked-lm",
        "mpnet-masked-lm",
        "albert-masked-lm",
        "deberta-v2-masked-lm",
        "modernbert-masked-lm",
    ];
    for name in MASKED.into_iter().chain(others) {
        let (case, device) = (case(name), Device::flex().autodiff());
        let (model, batch) = (case.load(&device), case.batch(&Device::flex()));
        let is_first = |row: usize| batch.sequences.ranges().any(|range| range.start == row);
        let ids: Vec<i32> = (0..batch.tokens())
            .map(|row| if row % 3 == 1 && !is_first(row) { row as i32 * 7 % 11 } else { -100 })
            .collect();
        let chosen: Vec<usize> = (0..ids.len()).filter(|&row| ids[row] >= 0 || is_first(row)).collect();
        assert!(chosen.len() < ids.len());
        let of_chosen: Vec<i32> = chosen.iter().map(|&row| ids[row]).collect();
        let computed = [(batch.clone(), ids), (batch.choosing(chosen), of_chosen)].map(|(batch, ids)| {
            let targets = VocabularyTargets { ids: ids.into(), smoothing: 0.0 };
            let loss = match model.pretraining_loss(&batch, &targets, Mode::Evaluate) {
                Some((loss, follows)) => {
                    let labels = vec![1; batch.sequences.count()];
                    loss + cross_entropy(follows, zoo::integers(labels)).sum()
                }
                None => model.vocabulary_loss(&batch, &targets, Mode::Evaluate).expect("a head"),
            };
            let scored = model.pretraining_scores(&batch, &targets).map(|(scores, _)| scores);
            let scored = scored.or_else(|| model.vocabulary_scores(&batch, &targets)).expect("a head");
            let gradients = gradients_of(&model, &loss.backward());
            // [2, tokens] -> [1, tokens]
            (host(loss)[0], host(scored.narrow(0, 0, 1).sum())[0], gradients)
        });
        let [(all, all_scored, all_gradients), (few, few_scored, few_gradients)] = computed;
        assert!((all - few).abs() < 1e-5 * all && (all_scored - few_scored).abs() < 1e-5 * all, "{name}");
        assert!(all_gradients.len() > 20 && all_gradients.len() == few_gradients.len(), "{name}");
        for (path, gradient) in &all_gradients {
            let difference = largest(gradient, &few_gradients[path]);
            assert!(difference < 1e-5 * size(gradient).max(0.1), "{name} {path}: {difference}");
        }
    }
}
