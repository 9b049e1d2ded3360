//! Encoded sets on disk.
//!
//! A file is little-endian: magic, version, the 32 bytes of its key, the number of examples; for
//! each example the tokens lost, whether that is an estimate, its length, its ids and its type ids (all u32); at the end the
//! SHA-256 of everything before.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use temper_files::hex;

use super::{EncodeSettings, Encoded, TextInput, Truncation};
use crate::TextTokenizer;

const MAGIC: &[u8; 8] = b"TMPRTOKS";

/// Raised when the same input would be encoded differently.
const VERSION: u32 = 2;

/// The place of one encoded set.
pub(super) struct CacheFile {
    path: PathBuf,
    key: [u8; 32],
}

impl CacheFile {
    /// The file of this input in `folder`.
    pub fn new(
        folder: &Path,
        tokenizer: &TextTokenizer,
        texts: &[TextInput<'_>],
        settings: &EncodeSettings,
    ) -> Self {
        let key = key(tokenizer, texts, settings);
        Self { path: folder.join(format!("{}.tokens", hex(&key))), key }
    }

    /// The set, if the file is there and whole.
    pub fn read(&self, examples: usize) -> Option<Vec<Encoded>> {
        // No file is the usual miss.
        let bytes = std::fs::read(&self.path).ok()?;
        let items = self.parse(&bytes, examples);
        if items.is_none() {
            tracing::warn!(file = %self.path.display(), "damaged cache file; encoding again");
        }
        items
    }

    /// Keeps a set; without a cache the next run is only slower, so failing is no error.
    pub fn write(&self, items: &[Encoded]) {
        if let Err(error) = temper_files::write(&self.path, &self.bytes(items)) {
            tracing::warn!(file = %self.path.display(), %error, "encoded texts could not be cached");
        }
    }

    fn bytes(&self, items: &[Encoded]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.key);
        bytes.extend((items.len() as u32).to_le_bytes());
        for item in items {
            bytes.extend(item.tokens_lost.to_le_bytes());
            bytes.extend(u32::from(item.lost_is_estimate).to_le_bytes());
            bytes.extend((item.ids.len() as u32).to_le_bytes());
            for number in item.ids.iter().chain(&item.type_ids) {
                bytes.extend(number.to_le_bytes());
            }
        }
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        bytes
    }

    fn parse(&self, bytes: &[u8], examples: usize) -> Option<Vec<Encoded>> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Sha256::digest(content)[..] != *checksum {
            return None;
        }
        let mut rest = content.strip_prefix(MAGIC)?;
        if number(&mut rest)? != VERSION {
            return None;
        }
        rest = rest.strip_prefix(&self.key)?;
        if number(&mut rest)? as usize != examples {
            return None;
        }
        let items = (0..examples)
            .map(|_| {
                let tokens_lost = number(&mut rest)?;
                let lost_is_estimate = number(&mut rest)? != 0;
                let length = number(&mut rest)? as usize;
                Some(Encoded {
                    ids: numbers(&mut rest, length)?,
                    type_ids: numbers(&mut rest, length)?,
                    tokens_lost,
                    lost_is_estimate,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        rest.is_empty().then_some(items)
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn numbers(rest: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (bytes, after) = rest.split_at_checked(count.checked_mul(4)?)?;
    *rest = after;
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Some(bytes.chunks_exact(4).map(word).collect())
}

/// Everything that the ids depend on. Texts go in with their lengths, so that no two lists of
/// texts look the same.
fn key(tokenizer: &TextTokenizer, texts: &[TextInput<'_>], settings: &EncodeSettings) -> [u8; 32] {
    let truncation = match settings.truncation {
        Truncation::Head => 0u8,
        Truncation::Tail => 1,
        Truncation::HeadTail => 2,
    };
    let mut hash = Sha256::new();
    hash.update(VERSION.to_le_bytes());
    hash.update(tokenizer.sha256());
    hash.update([tokenizer.has_segments(), tokenizer.inner().get_encode_special_tokens()].map(u8::from));
    hash.update((settings.max_length as u64).to_le_bytes());
    hash.update([truncation]);
    for (text, pair) in texts {
        for part in [Some(*text), *pair] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_le_bytes());
            hash.update(part.unwrap_or_default());
        }
    }
    hash.finalize().into()
}
