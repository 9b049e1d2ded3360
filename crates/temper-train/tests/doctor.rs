//! `temper doctor --machine`, and backends that cannot be had. What a machine has differs, so that the
//! tests look for what has to be there on any, and give it folders of their own for the rest.

mod common;

use common::{Bench, assert_fails, assert_succeeds, reviews, stderr, stdout};
use serde_json::Value;

fn examined(bench: &Bench, toolkit: &str) -> Value {
    let mut command = bench.command(&["--threads", "1", "doctor", "--machine", "--json"]);
    let output = command.env("CUDA_PATH", bench.path(toolkit)).output().expect("started");
    assert_succeeds(&output);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn processor_memory_and_backends_are_told() {
    let value = examined(&Bench::new(), "none");
    assert_eq!(value["cpu"]["threads"], 1);
    assert!(value["cpu"]["logical"].as_u64().expect("a number") >= 1);
    assert!(value["memory"]["bytes"].as_u64() >= value["memory"]["free_bytes"].as_u64());
    assert!(value["memory"]["free_bytes"].as_u64().expect("a number") > 0);
    let backends = value["backends"].as_array().expect("a list");
    let names: Vec<&str> = backends.iter().filter_map(|backend| backend["backend"].as_str()).collect();
    assert_eq!(names, ["flex", "ndarray", "cuda", "wgpu"]);
    assert_eq!(backends[0]["missing"], serde_json::json!([]));
    assert_eq!(backends[0]["default"], true);
    assert!(backends[0]["uses"].as_str().expect("text").contains("1 threads"));
}

#[test]
fn a_toolkit_is_looked_for_where_cuda_path_says() {
    let bench = Bench::new();
    let nvidia = &examined(&bench, "toolkit")["nvidia"];
    for part in ["headers", "libdevice"] {
        let missing = nvidia[part]["missing"].as_str().expect(part);
        assert!(missing.contains("toolkit") && missing.contains("CUDA_PATH"), "{missing}");
    }
    for folder in ["include/crt", "include/cccl/nv", "nvvm/libdevice"] {
        std::fs::create_dir_all(bench.path("toolkit").join(folder)).expect("a folder");
    }
    for header in ["cuda_fp16.h", "crt/mma.h", "cccl/nv/target"] {
        bench.write(&format!("toolkit/include/{header}"), "");
    }
    let nvidia = &examined(&bench, "toolkit")["nvidia"];
    let missing = nvidia["headers"]["missing"].as_str().expect("one of them");
    assert!(missing.contains("include/mma.h"), "{missing}");
    assert!(!missing.contains("cuda_fp16.h") && !missing.contains("nv/target"), "{missing}");

    bench.write("toolkit/include/mma.h", "");
    bench.write("toolkit/nvvm/libdevice/libdevice.10.bc", "");
    let nvidia = &examined(&bench, "toolkit")["nvidia"];
    assert_eq!(nvidia["headers"]["found"], bench.path("toolkit/include").display().to_string());
    let found = nvidia["libdevice"]["found"].as_str().expect("found");
    assert!(found.ends_with("libdevice.10.bc"), "{found}");
}

#[test]
fn the_text_names_every_part() {
    let output = Bench::new().run(&["doctor", "--machine"]);
    assert_succeeds(&output);
    let text = stdout(&output);
    for word in ["processor", "memory", "driver", "NVRTC", "headers", "libdevice", "flex", "ndarray", "cuda"]
    {
        assert!(text.lines().any(|line| line.trim_start().starts_with(word)), "{word}: {text}");
    }
}

#[test]
fn what_is_to_be_examined_has_to_be_said() {
    assert_fails(&Bench::new().run(&["doctor"]), 2, &["--machine"]);
    assert_fails(&Bench::new().run(&["doctor", "reviews.csv", "--machine"]), 2, &["--machine"]);
}

/// Rows that cannot be read are reported with all else that is wrong, refuse a run, and are left out with --force.
#[test]
fn a_dataset_is_examined_and_faulty_rows_are_refused_or_left_out() {
    let bench = Bench::new();
    let output = bench.run(&["doctor", "reviews.csv", "--model", "./model", "--max-seq-length", "4"]);
    assert_succeeds(&output);
    let text = stdout(&output);
    for part in
        ["text-classification", "neg ", "tokens: mean", "longer than the model reads; that is 4 tokens"]
    {
        assert!(text.contains(part), "{part} is not in: {text}");
    }

    let mut rows = reviews(200);
    rows.push_str("a text without a label,\n");
    bench.write("faulty.csv", &rows);
    let row = ["faulty.csv", "row 201"];
    assert_fails(&bench.run(&["finetune", "./model", "faulty.csv", "--max-seq-length", "16"]), 3, &row);
    assert!(!bench.path("runs").exists());
    let output = bench.run(&["doctor", "faulty.csv", "--json"]);
    assert_fails(&output, 3, &["1 errors", "--force"]);
    let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let first = &diagnosis["findings"][0];
    assert_eq!((first["kind"].as_str(), first["severity"].as_str()), (Some("unreadable-row"), Some("error")));
    assert_eq!(first["rows"][0][0]["row"], 201);

    let flags = ["--learning-rate", "5e-3", "--max-seq-length", "16", "--max-steps", "6", "--force"];
    let mut arguments = vec!["finetune", "./model", "faulty.csv", "--run-name", "left-out"];
    arguments.extend(flags);
    let output = bench.run(&arguments);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("cannot be read: 1"), "{}", stderr(&output));
    let results = bench.json("runs/left-out/results.json");
    assert_eq!(results["data"]["unreadable"][0]["row"], 201);
    assert!(bench.read("runs/left-out/run.toml").contains("force = true"));
}

/// A model whose labels are those of the dataset in another order: a run would turn its answers around.
#[test]
fn labels_of_another_order_are_told() {
    let bench = Bench::new();
    let mut config = bench.json("model/config.json");
    config["id2label"] = serde_json::json!({ "0": "pos", "1": "neg" });
    bench.write("model/config.json", &config.to_string());
    let output = bench.run(&["doctor", "reviews.csv", "--model", "./model"]);
    assert_succeeds(&output);
    assert!(stdout(&output).contains("the same labels in another order"), "{}", stdout(&output));
}

#[test]
fn a_backend_computes_or_says_why_not() {
    let bench = Bench::new();
    assert_succeeds(&bench.run(&["doctor", "--machine", "--backend", "flex"]));
    assert_fails(
        &bench.run(&["doctor", "--machine", "--backend", "cuda:x"]),
        2,
        &["cuda:x", "flex, ndarray, cuda, cuda:N"],
    );
    assert_fails(&bench.run(&["predict", "./model", "--text", "x", "--backend", "tpu"]), 2, &["tpu"]);
}

/// As the binary of the tests has it: without a feature for GPUs.
#[cfg(not(feature = "cuda"))]
#[test]
fn a_gpu_needs_another_binary() {
    let bench = Bench::new();
    let words = ["without the cuda backend", "--features cuda,", "cargo xtask finetune"];
    assert_fails(&bench.run(&["doctor", "--machine", "--backend", "cuda:1"]), 2, &words);
    assert_fails(&bench.finetune("run", &["--backend", "cuda"]), 2, &words);
    assert!(!bench.path("runs").exists());
}

/// With it, but on a machine without a driver; where there is one, this proves nothing.
#[cfg(feature = "cuda")]
#[test]
fn a_gpu_needs_a_driver() {
    let bench = Bench::new();
    if examined(&bench, "none")["nvidia"]["driver"]["found"].is_null() {
        assert_fails(
            &bench.finetune("run", &["--backend", "cuda"]),
            4,
            &["NVIDIA driver", "doctor --machine"],
        );
        assert!(!bench.path("runs").exists());
    }
}
