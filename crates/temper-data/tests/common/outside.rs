//! What a test needs from outside the repository, and how it says that it was not there. Other crates' tests
//! use this file, too.
#![allow(dead_code)] // Each test file uses its own part.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Says on stderr why the test that calls this checks nothing: a line that begins with `skipped: `.
///
/// It goes past the macros, whose output the test harness keeps to itself where a test passes.
pub fn skipped(why: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let why = why.to_string().replace('\n', " ");
    let _ = writeln!(std::io::stderr(), "skipped: {why} ({test})");
}

/// The mirror of the Hub that TEMPER_MIRROR names, else `shared/mirror` next to the checkout. Fails where
/// TEMPER_MIRROR names no mirror.
fn mirror() -> PathBuf {
    let Some(named) = std::env::var_os("TEMPER_MIRROR").map(PathBuf::from) else {
        return Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/mirror");
    };
    assert!(named.join("models").is_dir(), "TEMPER_MIRROR={}: no folder with models/", named.display());
    named
}

/// The folder of a model in the mirror of the Hub. Says so where there is none.
pub fn mirrored(model: &str) -> Option<PathBuf> {
    let dir = mirror().join("models").join(model);
    if dir.is_dir() {
        return Some(dir);
    }
    skipped(format!("no mirror of the Hub with {model}; name one in TEMPER_MIRROR"));
    None
}

/// A mirror of the Hub that has a dataset. Says so where there is none.
pub fn mirror_with(dataset: &str) -> Option<PathBuf> {
    let mirror = mirror();
    if mirror.join("datasets").join(dataset).is_dir() {
        return Some(mirror);
    }
    skipped(format!("no mirror of the Hub with the dataset {dataset}; name one in TEMPER_MIRROR"));
    None
}
