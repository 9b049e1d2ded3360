//! Checks a content against the hash that the Hub announced for it.
//!
//! The ETag of a large file is its sha256, that of any other file its git blob id.

use sha1::{Digest, Sha1};
use sha2::Sha256;
use temper_files::{hex, read_in_pieces};

use crate::error::HubError;
use crate::resolved::ResolvedFile;
use crate::rules::is_hexadecimal;

/// A hash that was announced: a sha256 or a sha1 in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentHash(String);

/// A hash that was announced, and the one that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl ContentHash {
    /// `None` for whatever is neither 40 nor 64 hexadecimal digits: there is nothing to check with it.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        (matches!(tag.len(), 40 | 64) && is_hexadecimal(tag)).then(|| Self(tag.to_lowercase()))
    }

    /// The digits; safe as a file's name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Begins to hash a content of this many bytes.
    pub(crate) fn hashing(&self, bytes: u64) -> Hashing {
        if self.0.len() == 64 {
            return Hashing::Sha256(Sha256::new());
        }
        let mut blob = Sha1::new();
        blob.update(format!("blob {bytes}\0"));
        Hashing::Sha1 { blob, plain: Sha1::new() }
    }

    /// Compares with a file on this machine.
    pub(crate) fn mismatch(&self, file: &ResolvedFile) -> Result<Option<Mismatch>, HubError> {
        if self.0.len() == 64 {
            return Ok(self.differs_from(file.sha256.clone()));
        }
        let mut hashing = self.hashing(file.bytes);
        read_in_pieces(&file.path, |piece| hashing.update(piece))?;
        Ok(hashing.mismatch(self))
    }

    fn differs_from(&self, found: String) -> Option<Mismatch> {
        (found != self.0).then(|| Mismatch { expected: self.0.clone(), found })
    }
}

/// The hash of a content that comes in pieces.
pub(crate) enum Hashing {
    Sha256(Sha256),
    /// Of the git blob and of the content: company mirrors of the Hub announce that of the content.
    Sha1 {
        blob: Sha1,
        plain: Sha1,
    },
}

impl Hashing {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(piece),
            Self::Sha1 { blob, plain } => {
                blob.update(piece);
                plain.update(piece);
            }
        }
    }

    /// `None` where the content is the announced one.
    pub(crate) fn mismatch(self, expected: &ContentHash) -> Option<Mismatch> {
        match self {
            Self::Sha256(hash) => expected.differs_from(hex(&hash.finalize())),
            Self::Sha1 { plain, .. } if hex(&plain.clone().finalize()) == expected.0 => None,
            Self::Sha1 { blob, .. } => expected.differs_from(hex(&blob.finalize())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::measured;

    /// `git hash-object`, `sha1sum` and `sha256sum` of the text `abc`.
    const ABC: [&str; 3] = [
        "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ];

    #[test]
    fn each_kind_of_announced_hash_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for tag in ABC {
            let hash = ContentHash::parse(&tag.to_uppercase()).unwrap();
            for (content, is_right) in [("abc", true), ("abd", false)] {
                std::fs::write(&path, content).unwrap();
                let found = hash.mismatch(&measured("file", path.clone()).unwrap()).unwrap();
                assert_eq!(found.is_none(), is_right, "{tag} {content}");
                assert!(found.is_none_or(|mismatch| mismatch.expected == tag));
                let mut hashing = hash.hashing(3);
                hashing.update(&content.as_bytes()[..1]);
                hashing.update(&content.as_bytes()[1..]);
                assert_eq!(hashing.mismatch(&hash).is_none(), is_right, "{tag} {content}");
            }
        }
    }

    #[test]
    fn nothing_else_is_a_hash() {
        let (short, long) = (&ABC[0][1..], format!("{}0", ABC[2]));
        for tag in ["", "some-tag", "0123456789abcdef0123456789abcdef", "../../x", "/x", short, long.as_str()]
        {
            assert_eq!(ContentHash::parse(tag), None, "{tag}");
        }
        assert_eq!(ContentHash::parse(&format!("{}g", &ABC[0][1..])), None);
    }
}
