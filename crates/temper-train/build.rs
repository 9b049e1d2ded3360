//! Tells the program the commit that it was built from: that of TEMPER_COMMIT, which release builds set, or that of the
//! package. A checkout changes with every commit, so its builds are not told: they would all be compiled again.

use std::env;
use std::fs;

fn main() {
    println!("cargo::rerun-if-env-changed=TEMPER_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    let commit = env::var("TEMPER_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = commit.or_else(packaged) {
        println!("cargo::rustc-env=TEMPER_COMMIT={commit}");
    }
}

/// The commit that cargo writes into a package: `"sha1": "..."`.
fn packaged() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?;
    commit.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| commit.to_owned())
}
