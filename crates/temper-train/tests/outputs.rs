//! Outputs are described by what they are: one label, several, numbers, or NaN.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};

/// Stored tensors by name: shape and values.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn change_weights(file: &Path, change: impl FnOnce(&mut Tensors)) {
    let bytes = std::fs::read(file).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let mut tensors: Tensors = stored
        .tensors()
        .into_iter()
        .filter(|(_, view)| view.dtype() == Dtype::F32)
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().chunks(4).map(number).collect())))
        .collect();
    change(&mut tensors);
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap())
    });
    std::fs::write(file, serialize(views, None).unwrap()).unwrap();
}

fn set_config(bench: &Bench, keys: &[(&str, Value)]) {
    let mut config = bench.json("model/config.json");
    for (key, value) in keys {
        config[*key] = value.clone();
    }
    bench.write("model/config.json", &config.to_string());
}

/// The tiny model with a head of one output.
fn with_one_output() -> Bench {
    let bench = Bench::new();
    set_config(&bench, &[("id2label", json!({"0": "score"})), ("label2id", json!({"score": 0}))]);
    change_weights(&bench.path("model/model.safetensors"), |tensors| {
        for (name, shape) in [("classifier.weight", vec![1, 32]), ("classifier.bias", vec![1])] {
            let (stored, values) = tensors.get_mut(name).unwrap();
            values.truncate(shape.iter().product());
            *stored = shape;
        }
    });
    bench
}

fn predict(bench: &Bench) -> (Value, String, String) {
    let base = ["predict", "./model", "--text", "the film is good."];
    let [json, line] = [&["--json"][..], &[]].map(|flags| bench.run(&[&base[..], flags].concat()));
    assert_succeeds(&json);
    assert_succeeds(&line);
    (serde_json::from_str(&stdout(&json)).unwrap(), stdout(&line), stderr(&line))
}

fn sigmoid(logit: &Value) -> f64 {
    1.0 / (1.0 + (-logit.as_f64().unwrap()).exp())
}

fn assert_near(found: &Value, right: f64) {
    assert!((found.as_f64().unwrap() - right).abs() < 1e-6, "{found} {right}");
}

#[test]
fn several_labels_have_a_probability_each() {
    let bench = Bench::new();
    set_config(&bench, &[("problem_type", json!("multi_label_classification"))]);
    let (json, line, said) = predict(&bench);
    for (index, name) in ["negative", "neutral", "positive"].into_iter().enumerate() {
        let right = sigmoid(&json["logits"][index]);
        assert_near(&json["probabilities"][name], right);
        assert!(line.contains(&format!("{name}={right:.4}")), "{line}");
        let is_taken = json["labels"].as_array().unwrap().contains(&json!(name));
        assert_eq!(is_taken, right >= 0.5);
    }
    assert_eq!(json["function"], "sigmoid");
    assert_eq!(json["label"], Value::Null);
    assert!(said.contains("each by itself (sigmoid)"), "{said}");
}

#[test]
fn one_output_is_a_probability_and_of_a_regression_a_number() {
    let bench = with_one_output();
    let (json, line, _) = predict(&bench);
    let logit = json["logits"][0].clone();
    assert_near(&json["probabilities"]["score"], sigmoid(&logit));
    assert!(line.starts_with(&format!("score={:.4}\t", sigmoid(&logit))), "{line}");

    set_config(&bench, &[("problem_type", json!("regression"))]);
    let (json, line, said) = predict(&bench);
    assert_near(&json["values"]["score"], logit.as_f64().unwrap());
    assert_eq!((&json["function"], &json["probabilities"]), (&json!("none"), &Value::Null));
    assert!(line.starts_with(&format!("score={:.4}\t", logit.as_f64().unwrap())), "{line}");
    assert!(said.contains("numbers, not probabilities"), "{said}");
}

#[test]
fn a_problem_type_that_transformers_refuses_is_refused() {
    let bench = with_one_output();
    let text = ["predict", "./model", "--text", "x"];
    set_config(&bench, &[("problem_type", json!("single_label_classification"))]);
    assert_fails(&bench.run(&text), 3, &["problem_type", "one output"]);
    set_config(&bench, &[("problem_type", json!("ranking"))]);
    assert_fails(&bench.run(&text), 3, &["problem_type", "ranking"]);
}

#[test]
fn models_for_other_outputs_are_not_scored_on_labels_and_can_be_trained_for_them() {
    let bench = Bench::new();
    for (problem_type, code, words) in [
        ("multi_label_classification", 2, ["one label for each text", "sigmoid"]),
        // Labels that should be numbers are none.
        ("regression", 3, ["reviews.csv", "a number is needed"]),
    ] {
        set_config(&bench, &[("problem_type", json!(problem_type))]);
        assert_fails(&bench.run(&["evaluate", "./model", "reviews.csv"]), code, &words);
        assert_succeeds(&bench.finetune(problem_type, &["--max-steps", "2"]));
        let config = bench.json(&format!("runs/{problem_type}/model/config.json"));
        assert_eq!(config["problem_type"], "single_label_classification");
        assert_succeeds(&bench.run(&["evaluate", &format!("runs/{problem_type}")]));
    }
}

#[test]
fn what_is_no_number_is_no_prediction() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--max-steps", "2"]));
    // The embedding of one word: texts without it are as before.
    let spoil = |value: f32| {
        for model in ["model", "runs/run/model"] {
            change_weights(&bench.path(&format!("{model}/model.safetensors")), |tensors| {
                let (shape, values) = tensors.get_mut("bert.embeddings.word_embeddings.weight").unwrap();
                let dull = 22;
                values[dull * shape[1]] = value;
            });
        }
    };
    let texts = ["--text", "the film is good.", "--text", "the plot was dull."];
    for value in [f32::NAN, f32::INFINITY] {
        spoil(value);
        for flags in [&["predict", "runs/run"][..], &["predict", "runs/run", "--json"], &["embed", "./model"]]
        {
            let output = bench.run(&[flags, &texts].concat());
            assert_fails(&output, 6, &["not finite", "row 2", "the plot was dull."]);
            assert_eq!(stdout(&output).lines().count(), 1, "what came before is printed");
        }
        assert_fails(&bench.run(&["evaluate", "runs/run"]), 6, &["not finite", "dull"]);
        let file = bench.run(&[&["embed", "./model", "--output", "v.npy"][..], &texts].concat());
        assert_fails(&file, 6, &["row 2"]);
        assert!(!bench.path("v.npy").exists());
    }
}
