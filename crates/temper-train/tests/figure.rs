//! `temper figure`: what it draws is what the model, the plans and the runs have.

mod common;

use std::path::Path;

use burn::tensor::Tensor;
use common::{Bench, assert_fails, assert_succeeds, stdout};
use temper_models::{Backbone, HeadRequest, Mode, Model, TokenBatch};

const LANGUAGES: [&str; 2] = ["en", "zh-TW"];

/// A figure of the tiny model or of a run, as it is printed.
fn drawn(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[&["figure"], arguments].concat());
    assert_succeeds(&output);
    let svg = stdout(&output);
    assert!(svg.starts_with("<svg ") && svg.contains("<desc>"), "{svg}");
    svg
}

fn assert_has(svg: &str, words: &str) {
    assert!(svg.contains(words), "{words} is not in {svg}");
}

#[test]
fn norms_shapes_and_masks_are_those_of_the_model() {
    let bench = Bench::new();
    let arguments = ["architecture", "./model", "--text", "the film is good"];
    let svg = drawn(&bench, &arguments);
    let device = temper_train::Backend::default_compiled().expect("a backend").device().expect("a device");
    let loaded = Model::load(&bench.path("model"), &HeadRequest::FromConfig, &device).expect("loaded");
    // [CLS] the film is good [SEP], by their places in the vocabulary.
    let ids = [2, 5, 8, 12, 17, 3];
    let batch = TokenBatch::new(&ids, &[0; 6], &[6], &device);
    let norm = |state: Tensor<2>| -> Vec<f64> {
        let values: Vec<f64> = state.powi_scalar(2).sum_dim(1).sqrt().into_data().iter::<f64>().collect();
        values
    };
    for state in loaded.model.backbone.hidden_states(&batch, Mode::Evaluate) {
        for norm in norm(state) {
            let text = if norm >= 10.0 { format!("{norm:.1}") } else { format!("{norm:.2}") };
            assert_has(&svg, &format!(">{text}</text>"));
        }
    }
    for id in ids {
        assert_has(&svg, &format!(">{id}</text>"));
    }
    let parameters = loaded.model.parameters();
    let query = parameters.parameters.iter().find(|row| row.path.ends_with("query.weight")).expect("a query");
    assert_has(&svg, &format!(">{} \u{d7} {}<", query.shape[0], query.shape[1]));
    // An encoder attends everywhere.
    assert_has(&svg, "Of 36 pairs of tokens 36 attend");
    assert_has(
        &drawn(&bench, &[&arguments[..], &["--language", "zh-TW"]].concat()),
        "36 對詞元中有 36 對看得到",
    );
}

/// A decoder's mask is a triangle: 5 tokens, 15 pairs.
#[test]
fn a_decoder_does_not_look_ahead() {
    let bench = Bench::new();
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo/gpt2-causal-lm");
    let model = bench.path("decoder");
    std::fs::create_dir(&model).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture.join(file), model.join(file)).expect("copied");
    }
    // A tokenizer of words alone, whatever the model was pretrained on.
    std::fs::copy(bench.path("model/vocab.txt"), model.join("vocab.txt")).expect("copied");
    std::fs::write(model.join("tokenizer_config.json"), r#"{"tokenizer_class": "BertTokenizer"}"#)
        .expect("written");
    let svg = drawn(&bench, &["architecture", "./decoder", "--text", "the film is"]);
    assert_has(&svg, "Of 25 pairs of tokens 15 attend");
}

#[test]
fn shares_of_strategies_are_those_of_the_plans() {
    let bench = Bench::new();
    let flags = ["--num-labels", "2"];
    let inspected = bench.run(
        &[
            &[
                "inspect",
                "./model",
                "--json",
                "--strategy",
                "all",
                "--strategy",
                "last:1",
                "--strategy",
                "head",
            ],
            &flags[..],
        ]
        .concat(),
    );
    assert_succeeds(&inspected);
    let plans: serde_json::Value = serde_json::from_str(&stdout(&inspected)).expect("JSON");
    for language in LANGUAGES {
        let svg = drawn(
            &bench,
            &["strategies", "./model", "--strategies", "all,last:1,head", "--language", language],
        );
        for plan in plans["strategies"].as_array().expect("plans") {
            let (trains, total) = (
                plan["trainable"].as_u64().expect("a count") as usize,
                plan["total"].as_u64().expect("a count") as usize,
            );
            assert_has(&svg, &format!(">{}<", temper_freeze::percent_text(trains, total)));
            assert_has(&svg, &format!(">{}<", temper_freeze::count_text(trains)));
        }
    }
}

#[test]
fn flows_and_curves_are_those_of_the_runs() {
    let bench = Bench::new();
    let first =
        bench.finetune("first", &["--strategy", "last:1", "--logging-steps", "1", "--max-steps", "6"]);
    assert_succeeds(&first);
    let rows = (0..240).map(|row| {
        let word = ["good", "bad", "so"][row % 3];
        format!(
            "the {} is {word} {row},{}\n",
            ["film", "plot", "cast", "story"][row / 3 % 4],
            ["pos", "neg", "neutral"][row % 3]
        )
    });
    bench.write("moods.csv", &format!("text,label\n{}", rows.collect::<String>()));
    let second = bench.run(&[
        "finetune",
        "--from",
        "runs/first",
        "moods.csv",
        "--run-name",
        "second",
        "--max-steps",
        "4",
        "--max-seq-length",
        "16",
        "--learning-rate",
        "5e-3",
        "--logging-steps",
        "1",
    ]);
    assert_succeeds(&second);
    let svg = drawn(&bench, &["transfer", "runs/second"]);
    assert_has(&svg, "moods.csv");
    assert_has(&svg, "reviews.csv");
    // The head of two labels was dropped for one of three, and run.toml says so.
    assert_has(&svg, "dropped: classifier.bias, classifier.weight");
    assert!(bench.read("runs/second/run.toml").contains("dropped_tensors"), "recorded");
    for part in bench.json("runs/second/results.json")["movement"].as_array().expect("parts") {
        let change = 100.0 * part["relative_change"].as_f64().expect("a change");
        let text = match change {
            _ if change >= 9.95 => format!("{change:.0} %"),
            _ if change >= 0.995 => format!("{change:.1} %"),
            _ if change >= 0.0995 => format!("{change:.2} %"),
            _ => format!("{change:.3} %"),
        };
        assert_has(&svg, &format!(">{text}</text>"));
    }
    let movement = drawn(&bench, &["movement", "runs/first", "runs/second", "--language", "zh-TW"]);
    assert_has(&movement, "first：嵌入層 凍結");
    let losses = bench.read("runs/first/metrics.jsonl");
    let loss = losses.lines().find_map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).ok()?;
        (row["kind"] == "train").then(|| row["loss"].as_f64()).flatten()
    });
    let digits = format!("{:.3}", loss.expect("a row"));
    let svg = drawn(&bench, &["loss", "runs/first", "runs/second"]);
    assert_has(&svg, &format!("first: from {}", &digits[..5]));
    assert_has(&drawn(&bench, &["rates", "runs/first"]), "Learning rate");
}

#[test]
fn attention_is_drawn_before_and_after_a_run() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--max-steps", "6"]));
    for language in LANGUAGES {
        let svg =
            drawn(&bench, &["attention", "runs/run", "--text", "the film is good", "--language", language]);
        // Two grids of 6 tokens by 6.
        assert_eq!(svg.matches("stroke-width=\"0.5\"").count(), 72, "{svg}");
    }
    let output = bench.run(&["figure", "attention", "."]);
    assert_fails(&output, 2, &["not a run folder"]);
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let bench = Bench::new();
    let long = "the ".repeat(40);
    assert_fails(
        &bench.run(&["figure", "architecture", "./model", "--text", &long]),
        2,
        &["more than the 20 tokens", "--text"],
    );
    assert_fails(&bench.run(&["figure", "transfer", "."]), 2, &["not a run folder"]);
    assert_fails(&bench.run(&["figure", "depth", "."]), 1, &["depth.json"]);
    // Families need no model; a file is written whole.
    assert_succeeds(&bench.run(&["figure", "families", "--output", "families.svg", "--language", "zh-TW"]));
    assert_has(&bench.read("families.svg"), "預訓練語言模型的家族");
}
