//! Goes on with a download that broke off, in this process or an earlier one.
//!
//! hf-hub 1.0.0 leaves `<hash>.incomplete` in its cache and starts over the next time. The name
//! says which content the file will have, so what is fetched in addition is checked against it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use hf_hub::{HFError, HFRepositorySync, RepoType};
use temper_files::sha256_of;

use crate::progress::DownloadBar;

/// Asked for at once; also what a further break costs at most.
const PIECE: u64 = 16 << 20;

/// A download to go on with.
pub(crate) struct Partial<'a, T: RepoType> {
    repo: &'a HFRepositorySync<T>,
    file: &'a str,
    revision: &'a str,
    part: PathBuf,
    whole: PathBuf,
    hash: String,
    _lock: File,
}

impl<'a, T: RepoType> Partial<'a, T> {
    /// What an earlier attempt left of this file, if nobody else is writing to it. `folder` is
    /// the repository's in the cache.
    pub(crate) fn find(
        repo: &'a HFRepositorySync<T>,
        file: &'a str,
        revision: &'a str,
        cache: &Path,
        folder: &str,
    ) -> Option<Self> {
        let blobs = cache.join(folder).join("blobs");
        let is_part = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "incomplete");
        if !fs::read_dir(&blobs).ok()?.flatten().any(is_part) {
            return None;
        }
        // Where this fails, or the server announces no sha256, the file is fetched from its start.
        let announced = repo.get_file_metadata().filepath(file).revision(revision).send().ok()?;
        let hash = announced.etag;
        let is_sha256 = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let part = blobs.join(format!("{hash}.incomplete"));
        if !is_sha256 || !part.is_file() {
            return None;
        }
        // The lock file that hf-hub itself takes for this content.
        let locks = cache.join(".locks").join(folder);
        fs::create_dir_all(&locks).ok()?;
        let lock = File::create(locks.join(format!("{hash}.lock"))).ok()?;
        lock.try_lock().ok()?;
        Some(Self { repo, file, revision, whole: blobs.join(&hash), part, hash, _lock: lock })
    }

    /// Fetches the rest and puts the file in its place if its content is right. If it is not, or
    /// the server does not serve ranges, what was there is dropped.
    ///
    /// # Errors
    /// The connection's, when it breaks again; what came stays for the next attempt.
    pub(crate) fn finish(self, bar: &DownloadBar) -> Result<(), HFError> {
        let complete = self.fetch_rest(bar)?;
        if complete && sha256_of(&self.part).is_ok_and(|found| found == self.hash) {
            fs::rename(&self.part, &self.whole)?;
        } else {
            tracing::debug!(file = self.file, "the download cannot be resumed; starting over");
            fs::remove_file(&self.part)?;
        }
        Ok(())
    }

    /// Appends what is missing; says whether the server played along.
    fn fetch_rest(&self, bar: &DownloadBar) -> Result<bool, HFError> {
        let mut part = OpenOptions::new().append(true).open(&self.part)?;
        let mut have = part.metadata()?.len();
        loop {
            let request = self.repo.download_file_to_bytes().filename(self.file);
            let piece = match request.revision(self.revision).range(have..have + PIECE).send() {
                Ok(piece) => piece,
                // The end was reached exactly.
                Err(HFError::Http { context }) if context.status.as_u16() == 416 => break,
                Err(error @ HFError::Request { .. }) => return Err(error),
                Err(_) => return Ok(false),
            };
            let length = piece.len() as u64;
            if length > PIECE {
                return Ok(false);
            }
            part.write_all(&piece)?;
            have += length;
            bar.at(have);
            if length < PIECE {
                break;
            }
        }
        part.sync_all()?;
        Ok(true)
    }
}
