//! `temper quantize`: a copy that predicts nearly the same, or nothing at all.

mod common;

use common::{Bench, assert_succeeds, stderr, stdout};
use safetensors::{Dtype, SafeTensors};

fn trained() -> Bench {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--num-train-epochs", "6"]));
    bench
}

#[test]
fn a_copy_has_integers_and_the_scores_of_its_run() {
    let bench = trained();
    let output = bench.run(&["quantize", "runs/run", "small"]);
    assert_succeeds(&output);
    assert!(
        stdout(&output).contains("in f32") && stdout(&output).contains("model: small"),
        "{}",
        stdout(&output)
    );
    let bytes = std::fs::read(bench.path("small/model.safetensors")).expect("weights");
    let stored = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let integers = stored.tensors().iter().filter(|(_, view)| view.dtype() == Dtype::I8).count();
    let scales = stored.names().iter().filter(|name| name.ends_with("_scale")).count();
    assert!(integers > 6 && integers == scales, "{integers} {scales}");

    for precision in ["int8", "f32", "bf16"] {
        let text = ["--text", "the film is great.", "--json"];
        let predicted = bench.run(&[&["predict", "small", "--precision", precision], &text[..]].concat());
        assert_succeeds(&predicted);
        assert!(stdout(&predicted).contains("\"label\":\"pos\""), "{}", stdout(&predicted));
    }
    let again = bench.run(&["quantize", "runs/run", "small"]);
    assert!(
        again.status.code() == Some(2) && stderr(&again).contains("exists already"),
        "{}",
        stderr(&again)
    );
    let twice = bench.run(&["quantize", "small", "smaller", "reviews.csv"]);
    assert!(
        twice.status.code() == Some(2) && stderr(&twice).contains("8 bits already"),
        "{}",
        stderr(&twice)
    );
}

#[test]
fn a_score_that_falls_too_far_leaves_nothing() {
    let bench = trained();
    // Not even the same score is good enough.
    let output = bench.run(&["quantize", "runs/run", "small", "--tolerance=-0.001"]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing is written"), "{}", stderr(&output));
    let names = std::fs::read_dir(bench.path(".")).expect("the folder").flatten();
    let names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("small") || name.starts_with(".temper-")), "{names:?}");
}

#[test]
fn what_cannot_be_is_refused_with_words() {
    let bench = trained();
    assert_succeeds(&bench.run(&["quantize", "runs/run", "small"]));
    let cases: [(&[&str], &str); 3] = [
        (&["quantize", "model", "other"], "name a DATASET"),
        (&["finetune", "small", "reviews.csv", "--preset", "full"], "are for use only"),
        (&["finetune", "model", "reviews.csv", "--precision", "int8"], "training needs more exact numbers"),
    ];
    for (arguments, words) in cases {
        let output = bench.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
}
