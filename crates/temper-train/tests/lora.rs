//! `--strategy lora`, `merge` and `unmerge` on a tiny model.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, interrupt, stderr, stdout};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

/// Values by name; NaN-safe comparisons are the tests'.
fn weights(file: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let values = |view: TensorView<'_>| {
        let words = view.data().chunks_exact(4);
        words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
    };
    parsed.tensors().into_iter().map(|(name, view)| (name, values(view))).collect()
}

fn largest(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}

fn logits(bench: &Bench, model: &str) -> Vec<f64> {
    let texts = ["the film is great.", "the plot was dull.", "the cast is very fine."];
    let mut arguments = vec!["predict", model, "--json"];
    arguments.extend(texts.iter().flat_map(|text| ["--text", text]));
    let output = bench.run(&arguments);
    assert_succeeds(&output);
    let rows =
        stdout(&output).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    rows.iter()
        .flat_map(|row| row["logits"].as_array().unwrap().clone())
        .map(|x| x.as_f64().unwrap())
        .collect()
}

fn close(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| (left - right).abs() < 1e-5)
}

const LORA: [&str; 8] = [
    "--strategy",
    "lora",
    "--lora-rank",
    "4",
    "--lora-alpha",
    "16",
    "--lora-targets",
    "query,value,ffn.inner",
];

#[test]
fn a_run_leaves_a_plain_model_and_an_adapter() {
    let bench = Bench::new();
    let flags = [&LORA[..], &["--num-train-epochs", "6", "--lora-dropout", "0.1"]].concat();
    let output = bench.finetune("run", &flags);
    assert_succeeds(&output);
    let text = stderr(&output);
    for part in ["strategy lora", "adapters in PEFT's layout", "proof: every trained parameter"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let results = bench.json("runs/run/results.json");
    assert!(results["merge_difference"].as_f64().unwrap() < 1e-4);
    assert!(results["test"]["metrics"]["accuracy"].as_f64().unwrap() > 0.9, "{results}");

    let config = bench.json("runs/run/adapter/adapter_config.json");
    for (field, value) in [("r", 4.into()), ("lora_alpha", 16.into()), ("task_type", "SEQ_CLS".into())] {
        assert_eq!(config[field], Value::clone(&value), "{field}");
    }
    let targets = ["attention.self.query", "attention.self.value", "intermediate.dense"];
    assert_eq!(config["target_modules"], serde_json::json!(targets));
    let adapter = weights(&bench.path("runs/run/adapter/adapter_model.safetensors"));
    let query = "base_model.model.bert.encoder.layer.0.attention.self.query";
    for name in [format!("{query}.lora_A.weight"), format!("{query}.lora_B.weight")] {
        assert!(adapter.contains_key(&name), "{name}");
    }
    assert!(adapter.contains_key("base_model.model.classifier.weight"));

    // Only what has an adapter, and the head, is not the base model's.
    let (base, merged) = (
        weights(&bench.path("model/model.safetensors")),
        weights(&bench.path("runs/run/model/model.safetensors")),
    );
    for (name, values) in &base {
        let is_target = targets.iter().any(|target| name.ends_with(&format!("{target}.weight")));
        if name.starts_with("classifier") {
            continue;
        }
        assert_eq!(&merged[name] != values, is_target, "{name}");
    }
}

#[test]
fn merge_and_unmerge_undo_each_other() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &LORA));
    let expected = logits(&bench, "runs/run");
    let merged = bench.run(&["merge", "./model", "runs/run/adapter", "merged"]);
    assert_succeeds(&merged);
    assert!(stdout(&merged).contains("largest difference of the logits"), "{}", stdout(&merged));
    assert!(close(&logits(&bench, "merged"), &expected));
    assert_eq!(bench.json("merged/config.json")["id2label"]["1"], "pos");

    assert_succeeds(&bench.run(&["unmerge", "runs/run", "runs/run/adapter", "base"]));
    let (before, after) =
        (weights(&bench.path("model/model.safetensors")), weights(&bench.path("base/model.safetensors")));
    for (name, values) in before.iter().filter(|(name, _)| !name.starts_with("classifier")) {
        assert!(largest(values, &after[name]) < 1e-6, "{name}");
    }
    assert!(!close(&logits(&bench, "base"), &expected), "the adapter is out");

    assert_fails(&bench.run(&["merge", "./model", "runs/run/adapter", "merged"]), 2, &["exists already"]);
    assert_fails(&bench.run(&["merge", "./model", "runs/run/model", "x"]), 3, &["adapter_config.json"]);
}

#[test]
fn an_adapter_that_peft_wrote_is_merged() {
    let bench = Bench::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let base = crates.join("temper-models/tests/fixtures/zoo/bert-sequence-classification");
    let adapter = crates.join("temper-freeze/tests/fixtures/lora/bert");
    let [base_name, adapter_name] = [&base, &adapter].map(|path| path.to_str().unwrap());
    assert_succeeds(&bench.run(&["merge", base_name, adapter_name, "merged"]));
    let factors = weights(&adapter.join("adapter_model.safetensors"));
    let (before, after) =
        (weights(&base.join("model.safetensors")), weights(&bench.path("merged/model.safetensors")));
    let module = "bert.encoder.layer.1.attention.self.value";
    let [a, b] =
        ["A", "B"].map(|factor| &factors[&format!("base_model.model.{module}.lora_{factor}.weight")]);
    // [out, in] += 3/2 [out, 2] [2, in]
    let inputs = a.len() / 2;
    let sum =
        |at: usize| b[at / inputs * 2] * a[at % inputs] + b[at / inputs * 2 + 1] * a[inputs + at % inputs];
    let weight = format!("{module}.weight");
    let expected: Vec<f32> =
        before[&weight].iter().enumerate().map(|(at, value)| value + 1.5 * sum(at)).collect();
    assert!(largest(&after[&weight], &expected) < 1e-6);
    assert!(largest(&after[&weight], &before[&weight]) > 1e-2);

    // A base without a head takes the adapter's, whose size gives the number of labels.
    std::fs::create_dir(bench.path("bare")).unwrap();
    std::fs::copy(base.join("model.safetensors"), bench.path("bare/model.safetensors")).unwrap();
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(base.join("config.json")).unwrap()).unwrap();
    config["architectures"] = serde_json::json!(["BertModel"]);
    config.as_object_mut().unwrap().remove("id2label");
    bench.write("bare/config.json", &config.to_string());
    assert_succeeds(&bench.run(&["merge", "./bare", adapter_name, "headed"]));
    assert_eq!(bench.json("headed/config.json")["id2label"]["2"], "LABEL_2");
    assert_eq!(weights(&bench.path("headed/model.safetensors")), after);
}

#[test]
fn what_belongs_to_a_model_goes_along() {
    let bench = Bench::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let zoo = crates.join("temper-models/tests/fixtures/zoo/bert-sequence-classification");
    let peft = crates.join("temper-freeze/tests/fixtures/lora/bert");
    for folder in ["base/1_Pooling", "adapter", "worded"] {
        std::fs::create_dir_all(bench.path(folder)).unwrap();
    }
    let copy = |from: &Path, name: &str, to: &str| {
        std::fs::write(bench.path(to).join(name), std::fs::read(from.join(name)).unwrap()).unwrap();
    };
    copy(&zoo, "model.safetensors", "base");
    let mut config: Value = serde_json::from_slice(&std::fs::read(zoo.join("config.json")).unwrap()).unwrap();
    config["dtype"] = "bfloat16".into();
    bench.write("base/config.json", &config.to_string());
    bench.write("base/modules.json", r#"[{"path": ""}, {"path": "1_Pooling"}]"#);
    for name in
        ["vocab.txt", "tokenizer_config.json", "chat_template.jinja", "1_Pooling/config.json", "README.md"]
    {
        bench.write(&format!("base/{name}"), "{}");
    }
    for folder in ["adapter", "worded"] {
        copy(&peft, "adapter_config.json", folder);
        copy(&peft, "adapter_model.safetensors", folder);
    }
    let names = |folder: &str| {
        let entries = std::fs::read_dir(bench.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };

    assert_succeeds(&bench.run(&["merge", "./base", "adapter", "merged"]));
    assert_eq!(
        names("merged"),
        [
            "1_Pooling",
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "modules.json",
            "tokenizer_config.json",
            "vocab.txt"
        ]
    );
    assert_eq!(names("merged/1_Pooling"), ["config.json"]);
    assert_eq!(bench.json("merged/config.json")["dtype"], "float32");

    // A tokenizer next to the adapter is the one that it was trained with: all of its files, and no other.
    bench.write("worded/tokenizer.json", "{}");
    let output = bench.run(&["merge", "./base", "worded", "with-words"]);
    assert_succeeds(&output);
    assert!(stdout(&output).contains("tokenizer: of worded"), "{}", stdout(&output));
    assert_eq!(
        names("with-words"),
        ["1_Pooling", "config.json", "model.safetensors", "modules.json", "tokenizer.json"]
    );
}

#[test]
fn an_adapter_that_cannot_be_honoured_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &LORA));
    let path = "runs/run/adapter/adapter_config.json";
    let mut config = bench.json(path);
    config["use_dora"] = true.into();
    config["rank_pattern"] = serde_json::json!({"(": 2});
    bench.write(path, &config.to_string());
    let output = bench.run(&["merge", "./model", "runs/run/adapter", "merged"]);
    assert_fails(&output, 3, &["use_dora = true", "rank_pattern: \"(\"", "merge_and_unload"]);
    assert!(!bench.path("merged").exists());
}

#[test]
fn a_merge_that_does_not_agree_ends_with_7() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &LORA));
    let file = bench.path("runs/run/adapter/adapter_model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let parsed = SafeTensors::deserialize(&bytes).unwrap();
    let spoilt: Vec<(String, Vec<usize>, Vec<u8>)> = parsed
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let mut data = view.data().to_vec();
            if name.ends_with("lora_B.weight") {
                // Finite, so that the file is read; its squares are not.
                data[..4].copy_from_slice(&3e38_f32.to_le_bytes());
            }
            (name, view.shape().to_vec(), data)
        })
        .collect();
    let views = spoilt
        .iter()
        .map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, &file).unwrap();
    let output = bench.run(&["merge", "./model", "runs/run/adapter", "merged"]);
    assert_fails(&output, 7, &["verification failed"]);
    assert!(!bench.path("merged").exists(), "nothing half-right is left");
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    let flags = [
        &LORA[..],
        &["--lora-dropout", "0.1", "--num-train-epochs", "3", "--eval-steps", "7", "--logging-steps", "2"],
    ]
    .concat();
    assert_succeeds(&bench.finetune("straight", &flags));
    let mut arguments = vec!["finetune", "./model", "reviews.csv", "--run-name", "resumed"];
    arguments.extend(["--learning-rate", "5e-3", "--per-device-train-batch-size", "8"]);
    arguments.extend(["--max-seq-length", "16"]);
    arguments.extend(flags);
    let mut child = bench.command(&arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    bench.wait_for_step("resumed", 8);
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130), "the run was interrupted in time");
    // Base and adapters are apart in a checkpoint: the base is still that of the model.
    let checkpoints = std::fs::read_dir(bench.path("runs/resumed/checkpoints")).unwrap();
    let step = checkpoints.map(|entry| entry.unwrap().path()).find(|path| !path.ends_with("best")).unwrap();
    assert!(step.join("adapter.safetensors").is_file());
    let base = weights(&bench.path("model/model.safetensors"));
    let kept = weights(&step.join("model.safetensors"));
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    assert_eq!(kept[query], base[query]);

    assert_succeeds(&bench.run(&["finetune", "--resume", "runs/resumed"]));
    for file in ["model/model.safetensors", "adapter/adapter_model.safetensors"] {
        let read = |run: &str| std::fs::read(bench.path(&format!("runs/{run}/{file}"))).unwrap();
        assert!(read("straight") == read("resumed"), "{file}");
    }
}

#[test]
fn bad_settings_of_adapters_are_refused() {
    let bench = Bench::new();
    for (flags, words) in [
        (vec!["--lora-targets", "queery"], vec!["queery", "attention.query"]),
        (vec!["--lora-targets", "("], vec!["not a regex"]),
        (vec!["--lora-targets", ""], vec!["all-linear"]),
        (vec!["--lora-rank", "0"], vec!["lora_rank"]),
        (vec!["--lora-dropout", "1"], vec!["lora_dropout"]),
        (vec!["--max-steps", "2"], vec!["at least 3"]),
    ] {
        let output = bench.finetune("run", &[&["--strategy", "lora"][..], &flags].concat());
        assert_fails(&output, 2, &words);
        assert!(!bench.path("runs/run").exists());
    }
    assert_succeeds(&bench.run(&["inspect", "./model", "--strategy", "lora"]));
    let output =
        bench.finetune("slow", &["--strategy", "lora", "--max-steps", "3", "--learning-rate", "5e-5"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("need a higher learning rate"), "{}", stderr(&output));
}
