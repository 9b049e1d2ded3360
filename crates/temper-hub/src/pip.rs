//! Fetches a package's archive with the user's own pip, so that a company's index and its
//! settings apply. No code of the package runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::HubError;
use crate::progress::Spinner;
use crate::settings::HubSettings;
use crate::source::{Archive, PackageSource};

/// At most this many lines of pip's complaint are shown.
const LINES: usize = 12;

/// More than the largest packages have.
const MOST_BYTES: u64 = 8 << 30;

/// `python -m pip`, without modules of the current folder in pip's way: it may hold a `json.py`.
const PIP: &str = "import sys; sys.path[:] = filter(None, sys.path); \
                   import runpy; runpy.run_module('pip', run_name='__main__', alter_sys=True)";

/// What fetches a source archive and runs nothing of it.
const SOURCE_ARCHIVE: &str = include_str!("source_archive.py");

/// Downloads the archive into an empty folder and returns its path. Nothing of the package runs:
/// its card is data.
///
/// # Errors
/// [`HubError::Package`] when pip is missing or fails; [`HubError::WrongHash`] when pip finds
/// another hash than the card's.
pub(crate) fn download(
    package: &PackageSource,
    settings: &HubSettings,
    into: &Path,
) -> Result<PathBuf, HubError> {
    let message = format!("fetching the package {} {}", package.name, package.version);
    let _spinner = Spinner::start(message, settings.progress);
    match package.archive {
        Archive::Wheel => wheel(package, settings, into),
        Archive::Sdist => source_archive(package, settings, into),
    }
}

/// A wheel is built already: pip only fetches it.
fn wheel(package: &PackageSource, settings: &HubSettings, into: &Path) -> Result<PathBuf, HubError> {
    // pip checks hashes only of requirements in a file.
    let requirements = into.join("requirements.txt");
    let line = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, package.sha256);
    temper_files::write(&requirements, line.as_bytes())?;
    let archives = into.join("archives");
    fs::create_dir_all(&archives).map_err(|error| HubError::io(&archives, error))?;
    let fixed = "download --no-deps --no-input --disable-pip-version-check --progress-bar off --retries 2 \
                 --only-binary :all: --require-hashes";
    let mut arguments: Vec<String> = vec!["-c".into(), PIP.into()];
    arguments.extend(fixed.split(' ').map(String::from));
    for (flag, path) in [("--dest", &archives), ("--requirement", &requirements)] {
        arguments.extend([flag.into(), path.display().to_string()]);
    }
    run(package, settings, &arguments)?;
    let mut files = fs::read_dir(&archives).map_err(|error| HubError::io(&archives, error))?.flatten();
    match (files.next(), files.next()) {
        (Some(archive), None) => Ok(archive.path()),
        _ => Err(HubError::Package {
            command: shown(settings, &arguments),
            stderr: "it did not leave exactly one archive".into(),
        }),
    }
}

/// `pip download` runs the build script of a source archive, so pip's index code fetches it alone.
fn source_archive(package: &PackageSource, settings: &HubSettings, into: &Path) -> Result<PathBuf, HubError> {
    let script = into.join("source_archive.py");
    temper_files::write(&script, SOURCE_ARCHIVE.as_bytes())?;
    let archive = into.join(format!("{}-{}.tar.gz", package.name, package.version));
    let arguments = [
        script.display().to_string(),
        package.name.clone(),
        package.version.clone(),
        package.sha256.clone(),
        archive.display().to_string(),
        MOST_BYTES.to_string(),
    ];
    run(package, settings, &arguments)?;
    Ok(archive)
}

/// The Pythons to try, in this order.
fn pythons(settings: &HubSettings) -> Vec<&Path> {
    match &settings.python {
        Some(python) => vec![python],
        None => vec![Path::new("python3"), Path::new("python")],
    }
}

/// The command as people would type it.
fn shown(settings: &HubSettings, arguments: &[String]) -> String {
    let python = pythons(settings)[0].display();
    format!("{python} {}", arguments.join(" ")).replace(&format!("-c {PIP}"), "-m pip")
}

/// Runs the first Python that exists.
fn run(package: &PackageSource, settings: &HubSettings, arguments: &[String]) -> Result<(), HubError> {
    for python in pythons(settings) {
        match Command::new(python).args(arguments).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => return Err(complaint(package, shown(settings, arguments), &output)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(HubError::io(python, error)),
        }
    }
    Err(HubError::Package {
        command: shown(settings, arguments),
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
    // An index has its say in it: no control characters for the terminal.
    let printable = lines[end..].iter().map(|line| line.replace(char::is_control, " "));
    HubError::Package { command, stderr: printable.collect::<Vec<_>>().join("\n") }
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
