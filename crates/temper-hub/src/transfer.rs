//! Brings one announced content into the cache: counted, hashed, and only then in its place.
//!
//! What came before a break stays as `<hash>.incomplete`. The name says which content it is a
//! part of, so a later attempt, in this process or another, continues from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::announced::Announced;
use crate::client::{Content, HubClient};
use crate::error::HubError;
use crate::failure::RequestFailure;
use crate::progress::DownloadBar;
use crate::source::HubFile;
use crate::verify::{Hashing, Mismatch};
use temper_files::read_in_pieces;

/// A server that sends fewer bytes than this within the time-out is as good as silent.
const LEAST: u64 = 1 << 10;

/// Why a content is not there.
pub(crate) enum Broken {
    /// The server failed or refused, before or within the content.
    Server(RequestFailure),
    /// The content ended early, or nothing more came.
    Cut(String),
    /// Another content than the one announced.
    Wrong(Mismatch),
    /// This machine's disk.
    Disk(HubError),
}

/// A content to fetch.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a HubClient,
    pub(crate) file: &'a HubFile<'a>,
    pub(crate) announced: &'a Announced,
    /// Where it goes. The caller holds its lock.
    pub(crate) blob: &'a Path,
    pub(crate) bar: &'a DownloadBar,
}

impl Transfer<'_> {
    /// Fetches what is missing of the content, checks it and puts it in its place.
    pub(crate) fn run(&self) -> Result<(), Broken> {
        let part = self.part();
        let folder = self.blob.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| Broken::Disk(HubError::io(folder, error)))?;
        let began_before = self.left_over(&part)? > 0;
        match self.attempt(&part) {
            // The earlier part was of something else, or damaged: once from the start.
            Err(Broken::Wrong(_) | Broken::Server(RequestFailure::Unusable(_))) if began_before => {
                tracing::debug!(part = %part.display(), "the download cannot be resumed; starting over");
                self.attempt(&part)
            }
            result => result,
        }
    }

    fn part(&self) -> PathBuf {
        let mut name = self.blob.as_os_str().to_os_string();
        name.push(".incomplete");
        PathBuf::from(name)
    }

    /// The bytes that are there already. A part longer than the whole is none.
    fn left_over(&self, part: &Path) -> Result<u64, Broken> {
        match fs::metadata(part) {
            Ok(known) if known.len() <= self.announced.size => Ok(known.len()),
            Ok(_) => fs::remove_file(part).map(|()| 0).map_err(|error| disk(part, error)),
            Err(_) => Ok(0),
        }
    }

    fn attempt(&self, part: &Path) -> Result<(), Broken> {
        let mut file =
            OpenOptions::new().create(true).append(true).open(part).map_err(|error| disk(part, error))?;
        let mut hashing = self.announced.hash.hashing(self.announced.size);
        read_in_pieces(part, |piece| hashing.update(piece)).map_err(|error| Broken::Disk(error.into()))?;
        let have = file.metadata().map_err(|error| disk(part, error))?.len();
        let result = self.fill(&mut file, have, hashing, part);
        if matches!(result, Err(Broken::Wrong(_) | Broken::Server(RequestFailure::Unusable(_)))) {
            let _ = fs::remove_file(part);
        }
        result
    }

    /// Appends what is missing, and moves the file to its place if its content is right.
    fn fill(&self, file: &mut File, mut have: u64, mut hashing: Hashing, part: &Path) -> Result<(), Broken> {
        if have < self.announced.size {
            let rest = if have > 0 { self.rest(have)? } else { None };
            let content = match rest {
                Some(content) => content,
                None => {
                    file.set_len(0).map_err(|error| disk(part, error))?;
                    have = 0;
                    hashing = self.announced.hash.hashing(self.announced.size);
                    self.client.open(self.file, None).map_err(Broken::Server)?
                }
            };
            self.receive(content, file, have, &mut hashing, part)?;
        }
        if let Some(mismatch) = hashing.mismatch(&self.announced.hash) {
            return Err(Broken::Wrong(mismatch));
        }
        file.sync_all().map_err(|error| disk(part, error))?;
        fs::rename(part, self.blob).map_err(|error| disk(self.blob, error))
    }

    /// The content from byte `have` on; `None` where the server serves no ranges. hf-hub does not
    /// say whether the server kept to the range, but its length does; what has none is believed,
    /// counted and hashed.
    fn rest(&self, have: u64) -> Result<Option<Content<'_>>, Broken> {
        let size = self.announced.size;
        match self.client.open(self.file, Some(have..size)) {
            Ok(content) if content.length.is_none_or(|length| length == size - have) => Ok(Some(content)),
            Ok(_) | Err(RequestFailure::Refused { status: 416, .. }) => Ok(None),
            Err(failure) => Err(Broken::Server(failure)),
        }
    }

    /// Writes a content after the bytes that are there: not one more than was announced.
    fn receive(
        &self,
        mut content: Content,
        file: &mut File,
        mut have: u64,
        hashing: &mut Hashing,
        part: &Path,
    ) -> Result<(), Broken> {
        let size = self.announced.size;
        if let Some(length) = content.length
            && have.checked_add(length) != Some(size)
        {
            return Err(self.unusable(format!("{size} bytes were announced, and {length} of them are sent")));
        }
        self.bar.start(size);
        let mut pace = MinimumRate::new(self.client.limit());
        while let Some(piece) = content.next().map_err(Broken::Cut)? {
            let piece: &[u8] = piece.as_ref();
            have += piece.len() as u64;
            if have > size {
                return Err(self.unusable(format!("{size} bytes were announced, and more are sent")));
            }
            file.write_all(piece).map_err(|error| disk(part, error))?;
            hashing.update(piece);
            self.bar.at(have);
            pace.received(piece.len() as u64).map_err(Broken::Cut)?;
        }
        if have < size {
            return Err(Broken::Cut(format!("it ended after {have} of {size} bytes")));
        }
        Ok(())
    }

    fn unusable(&self, reason: String) -> Broken {
        Broken::Server(RequestFailure::Unusable(reason))
    }
}

fn disk(path: &Path, error: io::Error) -> Broken {
    Broken::Disk(HubError::io(path, error))
}

/// Sees a server that sends a byte now and then.
struct MinimumRate {
    limit: Duration,
    since: Instant,
    bytes: u64,
}

impl MinimumRate {
    fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), bytes: 0 }
    }

    fn received(&mut self, bytes: u64) -> Result<(), String> {
        self.bytes += bytes;
        if self.since.elapsed() < self.limit {
            return Ok(());
        }
        if self.bytes < LEAST {
            return Err(format!("only {} bytes came in {} s", self.bytes, self.limit.as_secs_f64()));
        }
        *self = Self::new(self.limit);
        Ok(())
    }
}
