//! Language models on a tiny decoder: text, completions and chats are learned, resumed, scored and generated from.

mod common;

use common::page::assert_report;
use common::{Bench, assert_fails, assert_succeeds, interrupt, stdout};
use serde_json::{Value, json};

const TEMPLATE: &str = "{% for m in messages %}{{ m.content }} {% if m.role == 'user' %}.\
                        {% else %}, {% endif %}{% endfor %}";

/// A bench with a new decoder's configuration next to BERT's tokenizer.
fn bench() -> Bench {
    let bench = Bench::new();
    let config = json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 40, "n_positions": 32,
        "n_embd": 32, "n_layer": 2, "n_head": 4, "activation_function": "gelu_new", "resid_pdrop": 0.1,
        "embd_pdrop": 0.1, "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "initializer_range": 0.1,
        "bos_token_id": 2, "eos_token_id": 3
    });
    bench.write("decoder.json", &config.to_string());
    let settings = json!({"eos_token": "[SEP]", "chat_template": TEMPLATE});
    bench.write("model/tokenizer_config.json", &settings.to_string());
    bench
}

/// Sentences in which one word decides the next.
fn sentences(rows: usize) -> Vec<String> {
    let pairs = [("film", "good"), ("plot", "dull"), ("cast", "great"), ("story", "weak")];
    let fillers = ["is", "was", "is very", "was so", "is not", "was not so", "is so very"];
    (0..rows)
        .map(|row| {
            let (subject, word) = pairs[row % 4];
            format!("the {subject} {} {word} .", fillers[row / 4 % 7])
        })
        .collect()
}

fn train(bench: &Bench, data: &str, name: &str, flags: &[&str]) -> std::process::Output {
    let settings = [
        "finetune",
        "./model",
        data,
        "--task",
        "language-modeling",
        "--from-scratch",
        "decoder.json",
        "--run-name",
        name,
        "--learning-rate",
        "1e-2",
        "--per-device-train-batch-size",
        "8",
        "--max-seq-length",
        "24",
    ];
    bench.run(&[&settings[..], flags].concat())
}

fn metric(scores: &Value, name: &str) -> f64 {
    scores["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} is not in {scores}"))
}

fn evaluated(bench: &Bench, run: &str) -> Value {
    let output = bench.run(&["evaluate", run, "--json"]);
    assert_succeeds(&output);
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn a_new_model_learns_a_text_and_is_scored_again() {
    let bench = bench();
    bench.write("text.txt", &sentences(400).join("\n"));
    let flags = ["--num-train-epochs", "6"];
    assert_succeeds(&train(&bench, "text.txt", "run", &flags));
    assert_report(&bench, "run", &["perplexity is", "every token as often as in training"]);
    let results = bench.json("runs/run/results.json");
    let test = &results["test"];
    let (perplexity, baseline) = (metric(test, "perplexity"), test["baseline"].as_f64().unwrap());
    assert!(perplexity < 0.5 * baseline && test["lower_is_better"] == true, "{perplexity}, {baseline}");
    assert!((metric(test, "loss").exp() - perplexity).abs() < 1e-9);
    assert_eq!(evaluated(&bench, "runs/run")["metrics"], test["metrics"]);
    assert!(bench.read("runs/run/run.toml").contains("from_scratch"));
    assert_eq!(bench.json("runs/run/model/config.json")["architectures"][0], "GPT2LMHeadModel");

    let predicted = |text: &str| {
        let output = bench.run(&["predict", "runs/run", "--json", "--text", text]);
        assert_succeeds(&output);
        let row: Value = serde_json::from_str(stdout(&output).trim()).unwrap();
        row["perplexity"].as_f64().unwrap()
    };
    assert!(predicted("the film is good .") < predicted("good film . is the"));
    let written = bench.run(&["generate", "runs/run", "--prompt", "the film is", "--max-new-tokens", "4"]);
    assert_succeeds(&written);
    assert!(stdout(&written).starts_with("the film is"), "{}", stdout(&written));
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let bench = bench();
    bench.write("text.txt", &sentences(400).join("\n"));
    let flags = ["--num-train-epochs", "8", "--save-steps", "5", "--logging-steps", "1"];
    assert_succeeds(&train(&bench, "text.txt", "whole", &flags));
    let mut arguments = vec![
        "finetune",
        "./model",
        "text.txt",
        "--task",
        "language-modeling",
        "--from-scratch",
        "decoder.json",
        "--run-name",
        "halves",
        "--learning-rate",
        "1e-2",
        "--per-device-train-batch-size",
        "8",
        "--max-seq-length",
        "24",
    ];
    arguments.extend(flags);
    let mut child = bench.command(&arguments).spawn().expect("started");
    bench.wait_for_step("halves", 7);
    interrupt(child.id());
    child.wait().expect("ended");
    // The run needs no file but its own.
    std::fs::remove_file(bench.path("decoder.json")).unwrap();
    if !bench.path("runs/halves/results.json").exists() {
        assert_succeeds(&bench.run(&["finetune", "--resume", "runs/halves"]));
    }
    let model =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(model("whole") == model("halves"));
}

/// Parts of a step add up to the whole, though they have different numbers of predicted tokens.
#[test]
fn micro_batches_change_nothing() {
    let bench = bench();
    let row = |row: usize| {
        let prompt = "the film was".repeat(1 + row % 3);
        let completion = ["good", "very very dull", "so not so not so fine ."][row % 3];
        json!({"prompt": format!("{prompt} {row} "), "completion": completion}).to_string() + "\n"
    };
    bench.write("pairs.jsonl", &(0..120).map(row).collect::<String>());
    let losses = |name: &str, flags: &[&str]| {
        let flags = [&["--max-steps", "6", "--logging-steps", "1"], flags].concat();
        let output =
            train(&bench, "pairs.jsonl", name, &[&flags[..], &["--frozen-dropout", "true"]].concat());
        assert_succeeds(&output);
        let journal = bench.read(&format!("runs/{name}/metrics.jsonl"));
        let rows = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| row["loss"].as_f64()).collect::<Vec<_>>()
    };
    let mut config = bench.json("decoder.json");
    for dropout in ["resid_pdrop", "embd_pdrop", "attn_pdrop"] {
        config[dropout] = json!(0.0);
    }
    bench.write("decoder.json", &config.to_string());
    let (whole, parts) = (losses("whole", &[]), losses("parts", &["--max-tokens-per-batch", "24"]));
    assert_eq!(whole.len(), parts.len());
    for (whole, part) in whole.iter().zip(&parts) {
        assert!((whole - part).abs() < 2e-4 * whole, "{whole}, {part}");
    }
}

#[test]
fn chats_are_learned_and_answered() {
    let bench = bench();
    let answers = [("film", "good"), ("plot", "dull"), ("cast", "great"), ("story", "weak")];
    let fillers = ["is", "was", "is very", "was so", "is not", "was not so", "not", "so"];
    let row = |row: usize| {
        let (subject, word) = answers[row % 4];
        let question = format!("the {subject} {}", fillers[row / 4 % 8]);
        let messages = json!([{"role": "user", "content": question}, {"role": "assistant", "content": word}]);
        json!({"messages": messages}).to_string() + "\n"
    };
    bench.write("chats.jsonl", &(0..320).map(row).collect::<String>());
    let flags = ["--column", "messages=messages", "--num-train-epochs", "20"];
    assert_succeeds(&train(&bench, "chats.jsonl", "run", &flags));
    let results = bench.json("runs/run/results.json");
    assert!(metric(&results["test"], "accuracy") > 0.9, "{}", results["test"]);
    let answer =
        bench.run(&["generate", "runs/run", "--chat", "--prompt", "the cast is", "--max-new-tokens", "1"]);
    assert_succeeds(&answer);
    assert_eq!(stdout(&answer).trim(), "great");

    bench.write("wrong.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n");
    let flags = ["--column", "messages=messages"];
    assert_fails(&train(&bench, "wrong.jsonl", "no", &flags), 3, &["wrong.jsonl, row 1", "assistant"]);
    bench.write("model/tokenizer_config.json", "{\"eos_token\": \"[SEP]\"}");
    assert_fails(&train(&bench, "chats.jsonl", "no", &flags), 3, &["chats.jsonl, row 1", "chat_template"]);
    let output = bench.run(&["generate", "./model", "--chat", "--prompt", "x"]);
    assert_eq!(output.status.code(), Some(2));
    // As transformers 5 saves it.
    bench.write("model/chat_template.jinja", TEMPLATE);
    assert_succeeds(&train(&bench, "chats.jsonl", "jinja", &[&flags[..], &["--max-steps", "2"]].concat()));
}

/// Masked tokens are learned under draws that a resumed run repeats, filled in, and a classifier starts from the model.
#[test]
fn masked_tokens_are_learned_filled_in_and_learned_from() {
    let bench = bench();
    bench.write("text.txt", &sentences(600).join("\n"));
    let arguments = |name: &'static str| {
        let mut arguments = vec!["finetune", "./model", "text.txt", "--task", "masked-language-modeling"];
        arguments.extend(["--run-name", name, "--learning-rate", "3e-3", "--max-seq-length", "12"]);
        arguments.extend(["--per-device-train-batch-size", "8", "--num-train-epochs", "40"]);
        arguments.extend(["--save-steps", "50", "--logging-steps", "1"]);
        arguments
    };
    assert_succeeds(&bench.run(&arguments("whole")));
    assert_report(&bench, "whole", &["perplexity is"]);
    let results = bench.json("runs/whole/results.json");
    let test = &results["test"];
    assert!(metric(test, "perplexity") < 0.3 * test["baseline"].as_f64().unwrap(), "{test}");
    assert_eq!(evaluated(&bench, "runs/whole")["metrics"], test["metrics"]);

    let mut child = bench.command(&arguments("halves")).spawn().expect("started");
    bench.wait_for_step("halves", 60);
    interrupt(child.id());
    child.wait().expect("ended");
    if !bench.path("runs/halves/results.json").exists() {
        assert_succeeds(&bench.run(&["finetune", "--resume", "runs/halves"]));
    }
    let model =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(model("whole") == model("halves"));

    let text = "the film is [MASK] .";
    let output = bench.run(&["predict", "runs/whole", "--json", "--text", text]);
    assert_succeeds(&output);
    let row: Value = serde_json::from_str(stdout(&output).trim()).unwrap();
    let best = &row["filled"][0];
    assert_eq!((best.as_array().unwrap().len(), row["filled"].as_array().unwrap().len()), (5, 1));
    assert!(best[0]["probability"].as_f64() >= best[1]["probability"].as_f64());
    let from = ["finetune", "--from", "runs/whole", "reviews.csv", "--max-steps", "3", "--run-name", "next"];
    assert_succeeds(&bench.run(&from));
}

/// Spans are masked, and pairs of sentences learned: both as a resumed run and an evaluation repeat them.
#[test]
fn pairs_of_sentences_are_learned_beside_masked_spans() {
    let bench = bench();
    // Each document has its own subject, so a sentence shows where it is from.
    let document = |row: usize| {
        let subject = ["film", "plot", "cast", "story"][row % 4];
        (0..6).map(|_| format!("The {subject} is good. ")).collect::<String>()
    };
    let rows: Vec<String> =
        (0..400).map(|row| json!({"text": format!("{}{row}", document(row))}).to_string()).collect();
    bench.write("texts.jsonl", &rows.join("\n"));
    let arguments = |name: &'static str| {
        let mut arguments = vec!["finetune", "./model", "texts.jsonl", "--task", "masked-language-modeling"];
        arguments.extend(["--next-sentence", "--masking", "spans", "--mlm-probability", "0.2"]);
        arguments.extend(["--run-name", name, "--learning-rate", "3e-3", "--max-seq-length", "32"]);
        arguments.extend(["--per-device-train-batch-size", "16", "--num-train-epochs", "12"]);
        arguments.extend(["--save-steps", "20", "--logging-steps", "1"]);
        arguments
    };
    assert_succeeds(&bench.run(&arguments("whole")));
    let test = &bench.json("runs/whole/results.json")["test"];
    // A quarter of the sentences of elsewhere are of a document with the same subject.
    assert!(metric(test, "next_sentence_accuracy") > 0.7, "{test}");
    assert!(metric(test, "perplexity") < 0.8 * test["baseline"].as_f64().unwrap(), "{test}");
    assert_eq!(evaluated(&bench, "runs/whole")["metrics"], test["metrics"]);
    let record = bench.json("runs/whole/model/temper.json");
    assert_eq!(
        record["task"],
        json!({"mask_token_id": 4, "mlm_probability": 0.2, "masking": "spans", "next_sentence": true})
    );

    let pair = |second: &str| {
        let flags =
            ["predict", "runs/whole", "--json", "--text", "The [MASK] is good.", "--text-pair", second];
        let output = bench.run(&flags);
        assert_succeeds(&output);
        let row: Value = serde_json::from_str(stdout(&output).trim()).unwrap();
        assert_eq!(row["filled"].as_array().unwrap().len(), 1);
        row["follows"].as_f64().unwrap()
    };
    assert!((0.0..=1.0).contains(&pair("The film is good.")));
    let from = ["finetune", "--from", "runs/whole", "reviews.csv", "--max-steps", "3", "--run-name", "next"];
    assert_succeeds(&bench.run(&from));
}
