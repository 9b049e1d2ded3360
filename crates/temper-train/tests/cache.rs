//! `temper cache`: what it lists, what it removes, and what it leaves alone.

mod common;

use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::Value;

/// A file of this many bytes, last used some days ago.
fn put(bench: &Bench, name: &str, bytes: usize, days: u64) {
    let path = bench.path(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, vec![0; bytes]).expect("written");
    let time = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60 + 60);
    let times = FileTimes::new().set_accessed(time).set_modified(time);
    File::options().write(true).open(path).expect("opened").set_times(times).expect("set");
}

fn filled() -> Bench {
    let bench = Bench::new();
    put(&bench, "cache/packages/old-1.0/model/weights", 3000, 90);
    put(&bench, "cache/packages/new-1.0/weights", 200, 2);
    put(&bench, "cache/encoded/a.tokens", 50, 40);
    put(&bench, "cache/encoded/b.tokens", 50, 0);
    put(&bench, "hf/hub/models--org--name/blobs/0a", 5000, 90);
    put(&bench, "elsewhere/precious", 10, 90);
    #[cfg(unix)]
    for link in ["cache/packages/old-1.0/link", "cache/packages/link", "hf/hub/datasets--link"] {
        std::os::unix::fs::symlink(bench.path("elsewhere"), bench.path(link)).expect("linked");
    }
    bench
}

fn output(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[&["cache"], arguments].concat());
    assert_succeeds(&output);
    stdout(&output)
}

fn names(entries: &Value) -> Vec<&str> {
    let entries = entries.as_array().expect("a list");
    entries.iter().map(|entry| entry["name"].as_str().expect("a name")).collect()
}

#[test]
fn both_caches_are_listed_by_kind() {
    let bench = filled();
    let listed: Value = serde_json::from_str(&output(&bench, &["--json"])).expect("JSON");
    assert_eq!(names(&listed["entries"]), ["org/name", "new-1.0", "old-1.0", "a.tokens", "b.tokens"]);
    let expected = serde_json::json!({
        "models": 5000, "datasets": 0, "packages": 3200, "unpacked": 0, "encoded": 100
    });
    assert_eq!((&listed["bytes_by_kind"], &listed["total_bytes"]), (&expected, &8300.into()));
    let old = &listed["entries"][2];
    assert_eq!((&old["unused_days"], &old["in_use"], &old["files"]), (&90.into(), &false.into(), &1.into()));
    let table = output(&bench, &["list"]);
    assert!(table.contains("token ids of texts") && table.contains("90 days ago"), "{table}");
}

#[test]
fn what_is_old_is_removed_from_the_cache_that_is_tempers_own() {
    let bench = filled();
    let listed = output(&bench, &["prune", "--dry-run"]);
    assert!(listed.contains("old-1.0") && !listed.contains("new-1.0"), "{listed}");
    assert!(bench.path("cache/packages/old-1.0").is_dir(), "a dry run removes nothing");
    let removed = output(&bench, &["prune", "--json"]);
    let removed: Value = serde_json::from_str(&removed).expect("JSON");
    assert_eq!((names(&removed["removed"]), &removed["bytes"]), (vec!["old-1.0", "a.tokens"], &3050.into()));
    let is_there = |name: &str| bench.path(name).exists();
    assert!(!is_there("cache/packages/old-1.0") && !is_there("cache/encoded/a.tokens"));
    assert!(is_there("cache/packages/new-1.0") && is_there("hf/hub/models--org--name/blobs/0a"));
    output(&bench, &["prune", "--older-than", "0", "--hub"]);
    assert!(!is_there("cache/packages/new-1.0") && !is_there("hf/hub/models--org--name"));
    assert!(is_there("elsewhere/precious") && bench.path("cache/packages/link").is_symlink());
    assert_fails(&bench.run(&["cache", "prune", "--older-than", "soon"]), 2, &["--older-than"]);
}

#[test]
fn what_a_process_uses_stays() {
    let bench = Bench::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-gguf/tests/fixtures/tiny.gguf");
    fs::copy(fixture, bench.path("tiny.gguf")).expect("copied");
    let mut command = bench.command(&["embed", "tiny.gguf"]);
    let mut user =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    let mut input = user.stdin.take().expect("stdin");
    writeln!(input, "hello").expect("written");
    let mut answer = String::new();
    BufReader::new(user.stdout.take().expect("stdout")).read_line(&mut answer).expect("an answer");
    assert!(answer.contains('['), "{answer}");

    let prune = ["cache", "prune", "--older-than", "0"];
    let unpacked = || fs::read_dir(bench.path("cache/unpacked")).expect("a folder").count();
    let kept = bench.run(&prune);
    assert_succeeds(&kept);
    assert!(stderr(&kept).contains("is in use and stays"), "{}", stderr(&kept));
    assert_eq!(unpacked(), 1);
    drop(input);
    user.wait().expect("ended");
    assert_succeeds(&bench.run(&prune));
    assert_eq!(unpacked(), 0);
}
