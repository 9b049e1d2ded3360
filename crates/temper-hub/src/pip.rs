//! Fetches a package's archive with the user's own pip, so that a company's index and its
//! settings apply.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::HubError;
use crate::progress::Spinner;
use crate::settings::HubSettings;
use crate::source::{Archive, PackageSource};

/// At most this many lines of pip's complaint are shown.
const LINES: usize = 12;

/// Downloads the archive into an empty folder and returns its path.
///
/// # Errors
/// [`HubError::Package`] when pip is missing or fails; [`HubError::WrongHash`] when pip finds
/// another hash than the card's.
pub(crate) fn download(
    package: &PackageSource,
    settings: &HubSettings,
    into: &Path,
) -> Result<PathBuf, HubError> {
    // pip runs the build script of a source archive, so it must itself check the hash first.
    // It does that only for requirements in a file.
    let requirements = into.join("requirements.txt");
    let line = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, package.sha256);
    temper_files::write(&requirements, line.as_bytes())?;
    let archives = into.join("archives");
    fs::create_dir_all(&archives).map_err(|error| HubError::io(&archives, error))?;

    let message = format!("fetching the package {} {}", package.name, package.version);
    let _spinner = Spinner::start(message, settings.progress);
    let arguments = arguments(package, &requirements, &archives);
    let (shown, output) = run(settings.python.as_deref(), &arguments)?;
    if !output.status.success() {
        return Err(complaint(package, shown, &output));
    }
    let mut files = fs::read_dir(&archives).map_err(|error| HubError::io(&archives, error))?.flatten();
    match (files.next(), files.next()) {
        (Some(archive), None) => Ok(archive.path()),
        _ => Err(HubError::Package { command: shown, stderr: "it did not leave exactly one archive".into() }),
    }
}

fn arguments(package: &PackageSource, requirements: &Path, archives: &Path) -> Vec<String> {
    let form = match package.archive {
        Archive::Wheel => "--only-binary",
        Archive::Sdist => "--no-binary",
    };
    let fixed = [
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "--retries",
        "2",
        form,
        ":all:",
        "--require-hashes",
    ];
    let mut arguments: Vec<String> = fixed.map(String::from).to_vec();
    for (flag, path) in [("--dest", archives), ("--requirement", requirements)] {
        arguments.push(flag.into());
        arguments.push(path.display().to_string());
    }
    arguments
}

/// Runs the first Python that exists; returns the command as shown in messages, too.
fn run(python: Option<&Path>, arguments: &[String]) -> Result<(String, Output), HubError> {
    let candidates: Vec<&Path> = match python {
        Some(python) => vec![python],
        None => vec![Path::new("python3"), Path::new("python")],
    };
    let shown = |python: &Path| format!("{} {}", python.display(), arguments.join(" "));
    for python in &candidates {
        match Command::new(python).args(arguments).output() {
            Ok(output) => return Ok((shown(python), output)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(HubError::io(*python, error)),
        }
    }
    Err(HubError::Package {
        command: shown(candidates[0]),
        stderr: "there is no such Python on this machine".into(),
    })
}

fn complaint(package: &PackageSource, command: String, output: &Output) -> HubError {
    let text = String::from_utf8_lossy(&output.stderr);
    if let Some(found) = other_hash(&text) {
        return HubError::WrongHash {
            file: format!("the package {} {}", package.name, package.version),
            expected: package.sha256.clone(),
            found,
        };
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines.len().saturating_sub(LINES);
    HubError::Package { command, stderr: lines[end..].join("\n") }
}

/// The hash that pip found, from its line `Got        <hash>`.
fn other_hash(stderr: &str) -> Option<String> {
    stderr.lines().find_map(|line| {
        let hash = line.trim().strip_prefix("Got ")?.trim();
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| hash.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::other_hash;

    #[test]
    fn the_hash_that_pip_found_is_read_from_its_complaint() {
        let hash = "5".repeat(64);
        let complaint = format!(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    \
             p==1:\n        Expected sha256 {}\n             Got        {hash}\n",
            "4".repeat(64)
        );
        assert_eq!(other_hash(&complaint), Some(hash));
        assert_eq!(other_hash("Got lost\nGot "), None);
    }
}
