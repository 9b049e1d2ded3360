//! Packages through the real pip (python3 has to be there): no code runs, neither the package's
//! nor that of the current folder.

#![cfg(unix)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::packages::{FakePip, entries, source, tar_gz, wheel};
use common::{required, sha256};
use temper_hub::{Archive, Hub, HubError, RepoKind, Source};

const DATASET: RepoKind = RepoKind::Dataset;

/// A source archive that leaves a file where its code runs, and a folder with modules that take
/// the place of Python's and pip's own where Python looks for them there.
struct Hostile {
    pip: FakePip,
    canary: PathBuf,
}

impl Hostile {
    /// The real pip, which finds the archive in a folder and nowhere else.
    fn new(archive_name: &str, archive: impl Fn(&str) -> Vec<u8>) -> (Self, Vec<u8>) {
        let pip = FakePip { folder: tempfile::tempdir().unwrap() };
        let folder = pip.folder.path();
        let canary = folder.join("canary");
        let code = format!("open({:?}, 'w').write('the code ran')\n", canary.to_str().unwrap());
        let archive = archive(&code);
        fs::create_dir_all(folder.join("links")).unwrap();
        fs::write(folder.join("links").join(archive_name), &archive).unwrap();
        fs::create_dir_all(folder.join("current")).unwrap();
        for module in ["pip", "json", "hashlib", "runpy", "logging"] {
            fs::write(folder.join(format!("current/{module}.py")), &code).unwrap();
        }
        pip.install(&format!(
            "#!/bin/sh\ncd '{0}/current'\nexport PIP_NO_INDEX=1 PIP_FIND_LINKS='{0}/links'\n\
             unset PYTHONPATH\nexec python3 \"$@\"\n",
            folder.display()
        ));
        (Self { pip, canary }, archive)
    }

    fn fetch(&self, source: &Source) -> Result<Vec<u8>, HubError> {
        let found = Hub::new(self.pip.settings()).fetch(DATASET, "p", source, &required("a"))?;
        Ok(fs::read(&found.files[0].path).unwrap())
    }
}

/// The project's files as each way of building one names its code.
fn evil_sdist(code: &str) -> Vec<u8> {
    let project = "[build-system]\nrequires = []\nbuild-backend = \"b\"\nbackend-path = [\".\"]\n";
    tar_gz(&[
        ("pack-1.0/setup.py", code.as_bytes()),
        ("pack-1.0/b.py", code.as_bytes()),
        ("pack-1.0/pyproject.toml", project.as_bytes()),
        ("pack-1.0/PKG-INFO", b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n"),
        ("pack-1.0/data", b"rows"),
    ])
}

#[test]
fn a_source_archive_is_fetched_by_the_real_pip_and_none_of_its_code_runs() {
    let (hostile, archive) = Hostile::new("pack-1.0.tar.gz", evil_sdist);
    let right = source(Archive::Sdist, sha256(&archive), &[("a", "pack-1.0/data")]);
    assert_eq!(hostile.fetch(&right).unwrap(), b"rows");
    assert!(!hostile.canary.exists());

    // The code does run where pip builds the package: the test above can fail.
    let into = hostile.pip.folder.path().join("into");
    let mut pip = Command::new(hostile.pip.python());
    pip.args(["-P", "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "pack==1.0", "--dest"]);
    if pip
        .arg(into)
        .output()
        .is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("option -P"))
    {
        assert!(hostile.canary.exists());
    }
}

#[test]
fn a_source_archive_of_another_hash_or_version_is_refused() {
    let (hostile, archive) = Hostile::new("pack-1.0.tar.gz", evil_sdist);
    let other = source(Archive::Sdist, sha256(b"other"), &[("a", "pack-1.0/data")]);
    let error = hostile.fetch(&other).unwrap_err();
    let HubError::WrongHash { expected, found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (&sha256(b"other"), &sha256(&archive)));
    assert_eq!(entries(&hostile.pip.extracted()), 0);

    let mut newer = source(Archive::Sdist, sha256(&archive), &[("a", "pack-1.0/data")]);
    newer.package.as_mut().unwrap().version = "1.1".into();
    let error = hostile.fetch(&newer).unwrap_err();
    assert!(matches!(&error, HubError::Package { stderr, .. } if stderr.contains("pack 1.1")), "{error}");
    assert!(!hostile.canary.exists());
}

#[test]
fn a_wheel_is_fetched_by_the_real_pip_and_no_module_of_the_current_folder_runs() {
    let metadata = b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n";
    let (hostile, archive) = Hostile::new("pack-1.0-py3-none-any.whl", |_| {
        let tags = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let information =
            [("pack-1.0.dist-info/METADATA", &metadata[..]), ("pack-1.0.dist-info/WHEEL", tags)];
        wheel(&[&[("pack/data", &b"rows"[..])], &information[..]].concat())
    });
    let source = source(Archive::Wheel, sha256(&archive), &[("a", "pack/data")]);
    assert_eq!(hostile.fetch(&source).unwrap(), b"rows");
    assert!(!hostile.canary.exists());
}
