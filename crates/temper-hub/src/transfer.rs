//! Brings one announced content into the cache: counted, hashed, and only then in its place.
//!
//! What came before a break stays as `<hash>.incomplete`. The name says which content it is a
//! part of, so a later attempt, in this process or another, goes on from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::blocking::Response;
use reqwest::header::CONTENT_RANGE;
use url::Url;

use crate::announced::Announced;
use crate::client::{Failure, HubClient};
use crate::error::HubError;
use crate::progress::DownloadBar;
use crate::verify::{Hashing, Mismatch};
use temper_files::read_in_pieces;

/// A server that sends fewer bytes than this within the time-out is as good as silent.
const LEAST: u64 = 1 << 10;
const PIECE: usize = 1 << 17;

/// Why a content is not there.
pub(crate) enum Broken {
    /// The server failed or refused, before or within the content.
    Server(Failure),
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
    pub(crate) address: &'a Url,
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
            Err(Broken::Wrong(_)) if began_before => {
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
        if matches!(result, Err(Broken::Wrong(_) | Broken::Server(Failure::Unusable(_)))) {
            let _ = fs::remove_file(part);
        }
        result
    }

    /// Appends what is missing, and moves the file to its place if its content is right.
    fn fill(&self, file: &mut File, mut have: u64, mut hashing: Hashing, part: &Path) -> Result<(), Broken> {
        if have < self.announced.size {
            let mut answer = self.client.open(self.address, have).map_err(Broken::Server)?;
            if have > 0 && !goes_on(&answer, have) {
                // No ranges there: from the start, with the answer at hand unless it is none.
                if answer.status().as_u16() != 200 {
                    answer = self.client.open(self.address, 0).map_err(Broken::Server)?;
                }
                file.set_len(0).map_err(|error| disk(part, error))?;
                have = 0;
                hashing = self.announced.hash.hashing(self.announced.size);
            }
            if !answer.status().is_success() {
                return Err(self.unusable(format!("it answers {}", answer.status())));
            }
            self.receive(answer, file, have, &mut hashing, part)?;
        }
        if let Some(mismatch) = hashing.mismatch(&self.announced.hash) {
            return Err(Broken::Wrong(mismatch));
        }
        file.sync_all().map_err(|error| disk(part, error))?;
        fs::rename(part, self.blob).map_err(|error| disk(self.blob, error))
    }

    /// Writes an answer's body behind the bytes that are there: not one more than was announced.
    fn receive(
        &self,
        mut answer: Response,
        file: &mut File,
        mut have: u64,
        hashing: &mut Hashing,
        part: &Path,
    ) -> Result<(), Broken> {
        let size = self.announced.size;
        if let Some(length) = answer.content_length()
            && have.checked_add(length) != Some(size)
        {
            return Err(self.unusable(format!("{size} bytes were announced, and {length} of them are sent")));
        }
        self.bar.start(size);
        let mut pace = Pace::new(self.client.limit());
        let mut piece = vec![0; PIECE];
        loop {
            let read = match answer.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Broken::Cut(crate::error::with_causes(&error))),
            };
            have += read as u64;
            if have > size {
                return Err(self.unusable(format!("{size} bytes were announced, and more are sent")));
            }
            file.write_all(&piece[..read]).map_err(|error| disk(part, error))?;
            hashing.update(&piece[..read]);
            self.bar.at(have);
            pace.received(read as u64).map_err(Broken::Cut)?;
        }
        if have < size {
            return Err(Broken::Cut(format!("it ended after {have} of {size} bytes")));
        }
        Ok(())
    }

    fn unusable(&self, reason: String) -> Broken {
        Broken::Server(Failure::Unusable(reason))
    }
}

/// Whether an answer is the rest of a content from byte `have` on.
fn goes_on(answer: &Response, have: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    answer.status().as_u16() == 206
        && range.is_some_and(|range| range.trim().starts_with(&format!("bytes {have}-")))
}

fn disk(path: &Path, error: io::Error) -> Broken {
    Broken::Disk(HubError::io(path, error))
}

/// Sees a server that sends a byte now and then.
struct Pace {
    limit: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
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
