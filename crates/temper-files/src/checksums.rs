//! The sha256 of every file of a folder, in the format of `sha256sum`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::FileError;
use crate::hash::sha256_of;

/// Where they are written.
const NAME: &str = "SHA256SUMS";

/// The sha256 of a folder's files, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    files: BTreeMap<String, String>,
}

impl Checksums {
    /// Hashes the files of a folder and writes the hashes there. `sha256sum -c SHA256SUMS` checks them, too.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write(folder: &Path) -> Result<Self, FileError> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(|error| FileError::io(folder, error))? {
            let entry = entry.map_err(|error| FileError::io(folder, error))?;
            if entry.path().is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.insert(name, sha256_of(&entry.path())?);
            }
        }
        let lines: String = files.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect();
        let path = folder.join(NAME);
        fs::write(&path, lines).map_err(|error| FileError::io(&path, error))?;
        Ok(Self { files })
    }

    /// Reads the hashes of a folder and compares every file with its own.
    ///
    /// # Errors
    /// [`FileError::Damaged`] for the first file that is missing or differs, or where there are no hashes.
    pub fn check(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join(NAME);
        let damaged = |path: &Path, reason: String| FileError::Damaged { path: path.into(), reason };
        let text = fs::read_to_string(&path).map_err(|error| damaged(&path, error.to_string()))?;
        let lines = text.lines().map(|line| line.split_once("  "));
        let files: Option<BTreeMap<String, String>> =
            lines.map(|line| line.map(|(hash, name)| (name.to_owned(), hash.to_owned()))).collect();
        let files = files.filter(|files| !files.is_empty() && text.ends_with('\n'));
        let files = files.ok_or_else(|| damaged(&path, "it is not a list of sha256".into()))?;
        for (name, hash) in &files {
            let file = folder.join(name);
            let found = sha256_of(&file).map_err(|error| damaged(&file, error.to_string()))?;
            if found != *hash {
                return Err(damaged(&file, format!("its sha256 was {hash} and is {found}")));
            }
        }
        Ok(Self { files })
    }

    /// The hash of a file.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_an_unlisted_file_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        fs::write(&file, "{}").unwrap();
        fs::write(folder.path().join("other"), "").unwrap();
        let written = Checksums::write(folder.path()).unwrap();
        assert_eq!(Checksums::check(folder.path()).unwrap(), written);
        assert_eq!(
            written.of("state.json"),
            Some("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
        );
        fs::write(&file, "{ }").unwrap();
        let error = Checksums::check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("state.json is damaged"), "{error}");
        fs::remove_file(&file).unwrap();
        assert!(Checksums::check(folder.path()).is_err());
        fs::write(folder.path().join(NAME), "").unwrap();
        assert!(Checksums::check(folder.path()).is_err(), "an empty list");
    }
}
