//! Whether a build of one package compiles crates with other features than a build of the whole workspace: it would
//! compile them, and all that depend on them, a second time.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root};

/// Packages that are built or run on their own: by `cargo xtask`, and by the lines of examples/README.md.
const ALONE: [&str; 2] = ["temper-train", "temper-examples"];

/// Compares the features of all crates.
pub fn check() -> Result<()> {
    let workspace = features(&["--workspace"])?;
    let mut different = Vec::new();
    for package in ALONE {
        for (name, alone) in features(&["--package", package])? {
            match workspace.get(&name) {
                Some(whole) if *whole != alone => {
                    different.push(format!("{name}: [{alone}] for {package}, [{whole}] for the workspace"));
                }
                _ => {}
            }
        }
    }
    if different.is_empty() {
        return Ok(());
    }
    bail!("crates that are compiled twice, with different features:\n{}", different.join("\n"))
}

/// The features of each crate, dev-dependencies of the selected packages included, as cargo unifies them.
fn features(selection: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut tree = cargo();
    tree.current_dir(root()).args(["tree", "--locked", "--edges", "features", "--prefix", "none"]);
    let output = tree.args(["--format", "{p}\t{f}"]).args(selection).output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Lines without a TAB are features.
    let crates = text.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'));
    Ok(crates.map(|(name, features)| (name.to_owned(), features.to_owned())).collect())
}
