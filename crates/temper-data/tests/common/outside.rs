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

/// The folder of a model in a mirror of the Hub: the one that TEMPER_MIRROR names, else `shared/mirror` beside
/// the checkout. Says so where there is none, and fails where TEMPER_MIRROR names no mirror.
pub fn mirrored(model: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/mirror");
    let named = std::env::var_os("TEMPER_MIRROR").map(PathBuf::from);
    if let Some(named) = &named {
        assert!(named.join("models").is_dir(), "TEMPER_MIRROR={}: no folder with models/", named.display());
    }
    let dir = named.unwrap_or(beside).join("models").join(model);
    if dir.is_dir() {
        return Some(dir);
    }
    skipped(format!("no mirror of the Hub with {model}; name one in TEMPER_MIRROR"));
    None
}
