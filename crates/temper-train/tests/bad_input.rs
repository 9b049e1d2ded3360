//! Bad input gets a message with the place and the remedy, the right exit code, and leaves nothing
//! half-written.

mod common;

use common::{Bench, assert_fails, assert_succeeds, reviews};

fn assert_no_run(bench: &Bench) {
    let runs = bench.path("runs");
    let left: Vec<_> =
        std::fs::read_dir(&runs).map(|entries| entries.flatten().collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

/// Fine-tuning on a changed dataset fails with a code and words, and leaves nothing.
fn refused(data: &str, code: i32, words: &[&str]) {
    let bench = Bench::new();
    bench.write("reviews.csv", data);
    assert_fails(&bench.finetune("run", &[]), code, words);
    assert_no_run(&bench);
}

#[test]
fn unknown_names_come_with_near_ones() {
    let bench = Bench::new();
    assert_fails(&bench.run(&["finetune", "brt", "imdb"]), 2, &["brt", "bert"]);
    assert_fails(
        &bench.run(&["finetune", "./model", "imbd", "--max-seq-length", "16"]),
        2,
        &["imbd", "imdb"],
    );
    assert_fails(&bench.run(&["finetune", "gpt4", "imdb"]), 2, &["never", "gpt-neo"]);
    assert_no_run(&bench);
}

#[test]
fn devices_are_nvidias_and_each_named_once() {
    let bench = Bench::new();
    let refused = |flags: &[&str], words: &[&str]| assert_fails(&bench.finetune("run", flags), 2, words);
    refused(&["--devices", "0,1"], &["--devices names the GPUs of --backend cuda", "flex"]);
    refused(&["--devices", "1,0,1"], &["--devices names GPU 1 twice"]);
    refused(&["--devices", "0,one"], &["--devices", "one"]);
    assert_no_run(&bench);
}

#[cfg(not(feature = "mpi"))]
#[test]
fn without_mpi_a_process_is_no_rank() {
    let bench = Bench::new();
    let mut command = bench.command(&["finetune", "./model", "reviews.csv"]);
    let output = command.env("OMPI_COMM_WORLD_SIZE", "4").output().unwrap();
    assert_fails(&output, 2, &["4 processes were started to share a run", "--features mpi"]);
    assert_no_run(&bench);
}

#[test]
fn a_source_that_is_not_there_is_exit_4() {
    let bench = Bench::new();
    let output = bench.run(&["finetune", "bert", "imdb", "--offline", "--no-stand-in"]);
    assert_fails(&output, 4, &["bert"]);
    assert_no_run(&bench);
}

#[test]
fn bad_columns_and_labels() {
    refused("review,label\nx,1\ny,0\n", 3, &["reviews.csv", "text", "review"]);
    refused("text,label\n", 3, &["reviews.csv"]);
    let one_class = reviews(200).replace(",neg", ",pos");
    refused(&one_class, 3, &["pos"]);
    let missing = reviews(200).replacen(",neg", ",", 1);
    refused(&missing, 3, &["reviews.csv", "row 1", "label"]);
}

#[test]
fn a_label_out_of_range_is_named_by_row() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("mirror/datasets/some/reviews")).unwrap();
    std::fs::create_dir(bench.path("cards")).unwrap();
    bench.write(
        "cards/mine.toml",
        "name = \"mine\"\ntitle = \"Mine\"\nhomepage = \"none\"\nlicence = \"MIT\"\n\
         task = \"text-classification\"\nformat = \"csv\"\nlabels = [\"neg\", \"pos\"]\n\
         [source]\nhub = \"some/reviews\"\n[splits]\ntrain = [\"reviews.csv\"]\n\
         [columns]\ntext = \"text\"\nlabel = \"label\"\n[hold_out]\ntest = 0.1\nvalidation = 0.1\n",
    );
    let numbered = reviews(200).replace(",neg", ",0").replace(",pos", ",1");
    let run = |data: &str| {
        bench.write("mirror/datasets/some/reviews/reviews.csv", data);
        let flags = ["--cards", "cards", "--mirror", "mirror", "--max-seq-length", "16", "--max-steps", "2"];
        bench.run(&[&["finetune", "./model", "mine"], &flags[..]].concat())
    };
    assert_fails(&run(&numbered.replacen(",1\n", ",7\n", 1)), 3, &["reviews.csv", "row 2", "7"]);
    assert_no_run(&bench);
    assert_succeeds(&run(&numbered));
}

#[test]
fn broken_and_contradicting_models() {
    let bench = Bench::new();
    let weights = bench.path("model/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    assert_fails(&bench.finetune("run", &[]), 3, &["model.safetensors", "truncated"]);
    std::fs::write(&weights, &bytes).unwrap();

    let config = bench.read("model/config.json");
    let wrong = config.replace("\"intermediate_size\":64", "\"intermediate_size\":65");
    assert_ne!(wrong, config);
    bench.write("model/config.json", &wrong);
    assert_fails(
        &bench.finetune("run", &[]),
        3,
        &["encoder.layer.0.intermediate.dense.weight", "encoder.layer.1.output.dense.weight"],
    );
    bench.write("model/config.json", "{");
    assert_fails(&bench.finetune("run", &[]), 3, &["config.json"]);
    assert_no_run(&bench);
}

#[test]
fn a_tokenizer_of_another_model() {
    let bench = Bench::new();
    let more: String = (0..60).map(|number| format!("\nword{number}")).collect();
    let vocabulary = bench.read("model/vocab.txt") + &more;
    bench.write("model/vocab.txt", &vocabulary);
    assert_fails(&bench.finetune("run", &[]), 3, &["different models", "60"]);
    assert_no_run(&bench);
}

#[test]
fn settings_that_cannot_work() {
    let bench = Bench::new();
    assert_fails(&bench.finetune("run", &["--max-seq-length", "999"]), 2, &["999", "40 positions"]);
    assert_fails(&bench.finetune("run", &["--strategy", "last:9"]), 2, &["last:9", "2"]);
    assert_fails(&bench.finetune("run", &["--strategy", "everything"]), 2, &["everything", "last:K"]);
    assert_fails(&bench.finetune("run", &["--truncation", "middle"]), 2, &["middle"]);
    assert_fails(&bench.finetune("run", &["--warmup-ratio", "2"]), 2, &["warmup_ratio"]);
    bench.write("settings.toml", "lerning_rate = 1\n");
    assert_fails(&bench.finetune("run", &["--config", "settings.toml"]), 2, &["did you mean learning_rate"]);
    assert_no_run(&bench);
}

#[test]
fn an_existing_run_is_not_touched() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--max-steps", "2"]));
    let before = bench.read("runs/run/results.json");
    assert_fails(&bench.finetune("run", &["--max-steps", "3"]), 2, &["exists already", "--resume"]);
    assert_eq!(bench.read("runs/run/results.json"), before);
    assert_succeeds(&bench.finetune("run", &["--max-steps", "3", "--overwrite-output-dir"]));
    assert_ne!(bench.read("runs/run/results.json"), before);
}

#[test]
fn a_run_without_checkpoint_cannot_be_resumed() {
    let bench = Bench::new();
    assert_fails(&bench.run(&["finetune", "--resume", "nowhere"]), 2, &["nowhere"]);
}

#[test]
fn a_place_that_cannot_be_written() {
    let bench = Bench::new();
    bench.write("occupied", "a file");
    assert_fails(&bench.finetune("run", &["--output-dir", "occupied/runs"]), 1, &["occupied"]);
}

#[test]
fn predictions_need_a_head() {
    let bench = Bench::new();
    let config = bench.read("model/config.json").replace("BertForSequenceClassification", "BertModel");
    bench.write("model/config.json", &config);
    assert_fails(&bench.run(&["predict", "./model", "--text", "x"]), 2, &["no head of a task"]);
}

#[test]
fn a_run_goes_on_with_its_own_files_only() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--max-steps", "4", "--save-steps", "2"]));
    assert_fails(&bench.run(&["finetune", "--resume", "runs/run"]), 2, &["is finished"]);
    std::fs::remove_file(bench.path("runs/run/results.json")).unwrap();
    let vocabulary = bench.read("model/vocab.txt");
    bench.write("model/vocab.txt", &(vocabulary.clone() + "\nnew"));
    assert_fails(&bench.run(&["finetune", "--resume", "runs/run"]), 2, &["vocab.txt", "is not the same"]);
    bench.write("model/vocab.txt", &vocabulary);
    assert_succeeds(&bench.run(&["finetune", "--resume", "runs/run"]));
}
