//! Checks a file of the Hub's cache against the hash that the Hub announced for it.
//!
//! hf-hub 1.0.0 names a cached file after the announced ETag and does not look at the content;
//! it even keeps the body of an error answer as the file (`download_file_to_cache_network` does
//! not check the status of its GET). The ETag of a large file is its sha256, that of any other
//! file its git blob id.

use std::fs;
use std::path::Path;

use sha1::{Digest, Sha1};
use temper_files::{hex, read_in_pieces};

use crate::error::HubError;
use crate::resolved::ResolvedFile;

/// A hash that was announced, and the one that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Compares a cached file with its announced hash. `None` when they agree, or when the server
/// announced no hash: then there is nothing to compare with.
pub(crate) fn mismatch(file: &ResolvedFile) -> Result<Option<Mismatch>, HubError> {
    let Some(expected) = announced(&file.path) else {
        return Ok(None);
    };
    let found = match expected.len() {
        64 => file.sha256.clone(),
        40 => {
            let (blob, plain) = sha1s_of(&file.path, file.bytes)?;
            // Company mirrors of the Hub announce the plain sha1.
            if plain == expected { plain } else { blob }
        }
        _ => return Ok(None),
    };
    Ok((found != expected).then_some(Mismatch { expected, found }))
}

/// Takes a file out of the cache, so that the next attempt downloads it again.
pub(crate) fn discard(path: &Path) {
    if let Ok(content) = fs::canonicalize(path) {
        let _ = fs::remove_file(content);
    }
    let _ = fs::remove_file(path);
}

/// The announced hash: the name of the file that the cache's link points to. Where there are no
/// links (Windows), nothing is known.
fn announced(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let name = target.file_name()?.to_str()?.to_lowercase();
    name.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(name)
}

/// The sha1 as a git blob, and that of the content alone.
fn sha1s_of(path: &Path, bytes: u64) -> Result<(String, String), HubError> {
    let mut blob = Sha1::new();
    blob.update(format!("blob {bytes}\0"));
    let mut plain = Sha1::new();
    read_in_pieces(path, |piece| {
        blob.update(piece);
        plain.update(piece);
    })?;
    Ok((hex(&blob.finalize()), hex(&plain.finalize())))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::place::measured;

    fn cached_under(etag: &str, content: &str) -> (tempfile::TempDir, ResolvedFile) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(etag), content).unwrap();
        let link = folder.path().join("file");
        symlink(etag, &link).unwrap();
        (folder, measured("file", link).unwrap())
    }

    #[test]
    fn each_kind_of_announced_hash_is_checked() {
        // `git hash-object`, `sha1sum` and `sha256sum` of the text `abc`.
        let right = [
            "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ];
        for etag in right {
            let (_folder, file) = cached_under(etag, "abc");
            assert_eq!(mismatch(&file).unwrap(), None, "{etag}");
            let (_folder, file) = cached_under(etag, "abd");
            assert_eq!(mismatch(&file).unwrap().unwrap().expected, etag);
        }
    }

    #[test]
    fn other_tags_claim_nothing() {
        for etag in ["some-tag", "0123456789abcdef0123456789abcdef"] {
            let (_folder, file) = cached_under(etag, "abc");
            assert_eq!(mismatch(&file).unwrap(), None, "{etag}");
        }
    }
}
