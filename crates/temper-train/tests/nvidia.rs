//! Messages about an NVIDIA driver and toolkit, with libraries that only imitate them (fake_nvidia.c).
#![cfg(target_os = "linux")]

mod common;
#[path = "../../temper-data/tests/common/outside.rs"]
mod outside;

use std::process::Command;

use common::{Bench, assert_succeeds, stdout};
use serde_json::Value;

/// A folder `lib` with the fake libraries.
fn with_libraries(names: &[&str]) -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("lib")).expect("a folder");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fake_nvidia.c");
    let first = bench.path("lib").join(names[0]);
    let compiler = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&first).arg(source).status();
    assert!(compiler.expect("a C compiler").success());
    for name in &names[1..] {
        std::fs::copy(&first, bench.path("lib").join(name)).expect("copied");
    }
    bench
}

const ALL: [&str; 3] = ["libcuda.so", "libnvidia-ml.so.1", "libnvrtc.so"];

fn command(bench: &Bench, arguments: &[&str], answers: &[(&str, &str)]) -> Command {
    let mut command = bench.command(arguments);
    command.env("LD_LIBRARY_PATH", bench.path("lib")).env("CUDA_PATH", bench.path("toolkit"));
    command.envs(answers.iter().copied());
    command
}

fn examined(bench: &Bench, answers: &[(&str, &str)]) -> Value {
    let output = command(bench, &["doctor", "--machine", "--json"], answers).output().expect("started");
    assert_succeeds(&output);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn gpus_and_their_memory_are_listed() {
    let bench = with_libraries(&ALL);
    let driver = &examined(&bench, &[("FAKE_DRIVER", "12080")])["nvidia"]["driver"]["found"];
    assert_eq!((&driver["cuda"], &driver["release"]), (&"12.8".into(), &"580.1.2".into()));
    for (index, gpu) in driver["gpus"].as_array().expect("a list").iter().enumerate() {
        assert_eq!(gpu["index"], index);
        assert_eq!(gpu["name"], format!("Fake GPU {index}"));
        assert_eq!(gpu["compute_capability"], serde_json::json!([8, 9]));
        assert_eq!(gpu["memory_bytes"], 16_u64 << 30);
        // Bus 1 is GPU 0: as many GiB are free.
        assert_eq!(gpu["free_bytes"], (index as u64 + 1) << 30);
    }
    assert_eq!(driver["gpus"].as_array().expect("a list").len(), 2);
    let output = command(&bench, &["doctor", "--machine"], &[]).output().expect("started");
    let text = stdout(&output);
    assert!(text.contains("cuda:1") && text.contains("2.0 GiB free"), "{text}");
}

#[test]
fn a_driver_without_nvml_tells_the_rest() {
    let bench = with_libraries(&["libcuda.so"]);
    let driver = &examined(&bench, &[])["nvidia"]["driver"]["found"];
    assert_eq!(driver["gpus"][1]["name"], "Fake GPU 1");
}

#[test]
fn a_driver_that_refuses_is_named_with_its_reason() {
    let bench = with_libraries(&ALL);
    let refused = |code: &str| {
        let value = examined(&bench, &[("FAKE_INIT", code)]);
        value["nvidia"]["driver"]["missing"].as_str().expect("why").to_owned()
    };
    let mismatch = refused("803");
    assert!(
        mismatch.contains("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH") && mismatch.contains("reboot"),
        "{mismatch}"
    );
    assert!(refused("100").contains("CUDA_VISIBLE_DEVICES"), "{}", refused("100"));
    assert!(refused("4711").contains("4711"), "{}", refused("4711"));
}

#[test]
fn a_library_of_another_kind_is_no_driver() {
    let bench = with_libraries(&["libcuda.so"]);
    let empty = bench.path("empty.c");
    std::fs::write(&empty, "int nothing;").expect("written");
    let target = bench.path("lib/libcuda.so");
    let compiler = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(target).arg(empty).status();
    assert!(compiler.expect("a C compiler").success());
    let value = examined(&bench, &[]);
    let missing = value["nvidia"]["driver"]["missing"].as_str().expect("why");
    assert!(missing.contains("cuInit"), "{missing}");
}

#[test]
fn nvrtc_is_found_in_the_toolkit_too() {
    let bench = with_libraries(&["libcuda.so"]);
    if !examined(&bench, &[])["nvidia"]["nvrtc"]["found"].is_null() {
        return outside::skipped("the system has an NVRTC of its own, which goes first");
    }
    std::fs::create_dir_all(bench.path("toolkit/lib64")).expect("a folder");
    let inside = bench.path("toolkit/lib64/libnvrtc.so.13");
    std::fs::copy(bench.path("lib/libcuda.so"), &inside).expect("copied");
    let nvrtc = &examined(&bench, &[("FAKE_NVRTC", "1302")])["nvidia"]["nvrtc"]["found"];
    assert_eq!(
        (&nvrtc["version"], &nvrtc["library"]),
        (&"13.2".into(), &inside.display().to_string().into())
    );
}

/// What a run on a GPU ends with, in a binary that could.
#[cfg(feature = "cuda")]
mod runs {
    use super::*;
    use common::assert_fails;

    fn refused(bench: &Bench, backend: &str, answers: &[(&str, &str)], code: i32, words: &[&str]) {
        let arguments = ["predict", "./model", "--text", "fine", "--backend", backend];
        let output = command(bench, &arguments, answers).output().expect("started");
        assert_fails(&output, code, words);
    }

    fn with_toolkit() -> Bench {
        let bench = with_libraries(&ALL);
        for folder in ["include/crt", "include/nv", "nvvm/libdevice"] {
            std::fs::create_dir_all(bench.path("toolkit").join(folder)).expect("a folder");
        }
        let headers = ["include/cuda_fp16.h", "include/mma.h", "include/crt/mma.h", "include/nv/target"];
        for file in headers.into_iter().chain(["nvvm/libdevice/libdevice.10.bc"]) {
            bench.write(&format!("toolkit/{file}"), "");
        }
        bench
    }

    #[test]
    fn a_wrong_number_is_exit_2_and_no_gpu_exit_4() {
        let bench = with_toolkit();
        refused(&bench, "cuda:7", &[], 2, &["cuda:7", "cuda:0 (Fake GPU 0), cuda:1 (Fake GPU 1)"]);
        refused(&bench, "cuda", &[("FAKE_GPUS", "0")], 4, &["no GPU at all"]);
    }

    #[test]
    fn a_driver_that_refuses_is_exit_4() {
        refused(&with_toolkit(), "cuda", &[("FAKE_INIT", "803")], 4, &["reboot", "doctor --machine"]);
    }

    #[cfg(feature = "cuda-nvrtc")]
    #[test]
    fn a_compiler_that_does_not_fit_is_exit_4() {
        let bench = with_toolkit();
        refused(&bench, "cuda", &[("FAKE_NVRTC", "1204")], 4, &["12.4", "12.8 or newer"]);
        refused(&bench, "cuda", &[("FAKE_DRIVER", "12080")], 4, &["13.0", "up to CUDA 12.8"]);
        std::fs::remove_file(bench.path("toolkit/include/mma.h")).expect("removed");
        refused(&bench, "cuda", &[], 4, &["headers", "mma.h", "CUDA_PATH"]);
        std::fs::remove_file(bench.path("lib/libnvrtc.so")).expect("removed");
        refused(&bench, "cuda", &[], 4, &["NVRTC", "libnvrtc.so.13"]);
    }

    #[cfg(not(feature = "cuda-nvrtc"))]
    #[test]
    fn missing_libdevice_is_exit_4() {
        let bench = with_toolkit();
        std::fs::remove_file(bench.path("toolkit/nvvm/libdevice/libdevice.10.bc")).expect("removed");
        refused(&bench, "cuda", &[], 4, &["libdevice.10.bc", "CUDA_PATH"]);
    }

    /// The fake driver has no functions for computing: Burn panics at the first, and that is caught.
    #[test]
    fn a_driver_that_cannot_compute_is_exit_4() {
        refused(&with_toolkit(), "cuda", &[], 4, &["cuda:0 cannot be used"]);
    }
}
