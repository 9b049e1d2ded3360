//! Packages the crates as a registry gets them, and compiles what was packaged.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::{cargo, root, run, target_dir};

/// The line of the workspace's manifest that names its members.
const MEMBERS: &str = "members = [\"crates/*\", \"examples\", \"xtask\"]";

/// Packages every published crate, and checks the packages in a workspace of their own: a file that is embedded has to be
/// in the package, and each crate has to find the others by their versions.
pub fn check() -> Result<()> {
    let packages = published()?;
    let target = target_dir();
    let mut package = cargo();
    package.current_dir(root()).args(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    package.args(packages.iter().flat_map(|(name, _)| ["--package", name.as_str()]));
    run(package.arg("--target-dir").arg(&target))?;
    let folder = target.join("package/unpacked");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(folder.join("crates"))?;
    for (name, version) in &packages {
        let archive = target.join(format!("package/{name}-{version}.crate"));
        run(Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(folder.join("crates")))?;
    }
    write_workspace(&folder, &packages)?;
    // The same profile and target folder: what the crates depend on is compiled already.
    let mut check = cargo();
    check.args(["check", "--release", "--workspace", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    run(check.arg("--target-dir").arg(&target))
}

/// The workspace's profile and lock file, with the unpacked crates as its members.
fn write_workspace(folder: &Path, packages: &[(String, String)]) -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    if !manifest.contains(MEMBERS) {
        bail!("Cargo.toml has no line {MEMBERS}, which is replaced for the packaged crates");
    }
    let mut manifest = manifest.replace(MEMBERS, "members = [\"crates/*\"]");
    manifest += "\n[patch.crates-io]\n";
    for (name, version) in packages {
        manifest += &format!("{name} = {{ path = \"crates/{name}-{version}\" }}\n");
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

/// Names and versions of the crates that are for a registry.
fn published() -> Result<Vec<(String, String)>> {
    let mut metadata = cargo();
    metadata.current_dir(root()).args(["metadata", "--no-deps", "--format-version", "1", "--locked"]);
    let output = metadata.output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    // `publish = false` is an empty list of registries.
    let packages = packages.filter(|package| package["publish"].is_null());
    let text = |package: &Value, field: &str| package[field].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for package in packages {
        let name = text(package, "name");
        let lacks = ["description", "readme", "license"].into_iter().find(|field| package[field].is_null());
        if let Some(field) = lacks {
            bail!("{name} has no {field}");
        }
        found.push((name, text(package, "version")));
    }
    Ok(found)
}
