//! Takes members out of a package's archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use temper_files::fill;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::HubError;
use crate::source::Archive;

/// Writes one member to `target`, whole or not at all. `member` may be `outer.tar.gz!inner`.
///
/// # Errors
/// [`HubError::MissingMember`], [`HubError::Format`] for a damaged archive, [`HubError::Io`].
pub(crate) fn extract(archive: &Path, form: Archive, member: &str, target: &Path) -> Result<(), HubError> {
    let (outer, inner) = match member.split_once('!') {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (member, None),
    };
    let file = File::open(archive).map_err(|error| HubError::io(archive, error))?;
    let reading = Reading { archive, member };
    let mut copy = |content: &mut dyn Read| match inner {
        Some(inner) => reading.tar_member(content, inner, &mut |inside| reading.copy(inside, target)),
        None => reading.copy(content, target),
    };
    match form {
        Archive::Wheel => reading.zip_member(file, outer, &mut copy),
        Archive::Sdist => reading.tar_member(&mut BufReader::new(file), outer, &mut copy),
    }
}

/// The archive and member at hand, for messages.
struct Reading<'a> {
    archive: &'a Path,
    member: &'a str,
}

impl Reading<'_> {
    fn zip_member(
        &self,
        file: File,
        name: &str,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<(), HubError>,
    ) -> Result<(), HubError> {
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| self.damaged(error))?;
        match zip.by_name(name) {
            Ok(mut content) => take(&mut content),
            Err(ZipError::FileNotFound) => Err(self.missing()),
            Err(error) => Err(self.damaged(error)),
        }
    }

    fn tar_member(
        &self,
        compressed: &mut dyn Read,
        name: &str,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<(), HubError>,
    ) -> Result<(), HubError> {
        let mut tar = tar::Archive::new(GzDecoder::new(compressed));
        for entry in tar.entries().map_err(|error| self.damaged(error))? {
            let mut entry = entry.map_err(|error| self.damaged(error))?;
            let is_wanted = entry.header().entry_type().is_file()
                && entry.path().is_ok_and(|path| path == Path::new(name));
            if is_wanted {
                return take(&mut entry);
            }
        }
        Err(self.missing())
    }

    fn copy(&self, content: &mut dyn Read, target: &Path) -> Result<(), HubError> {
        fill(target, |file| {
            let mut piece = vec![0; 1 << 20];
            loop {
                // Read and write apart, because a damaged archive and a full disk differ.
                match content.read(&mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(read) => {
                        file.write_all(&piece[..read]).map_err(|error| HubError::io(target, error))?
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.damaged(error)),
                }
            }
        })
    }

    fn missing(&self) -> HubError {
        HubError::MissingMember { archive: self.archive_name(), member: self.member.to_string() }
    }

    fn damaged(&self, error: impl std::fmt::Display) -> HubError {
        HubError::Format {
            what: format!("{} in {}", self.member, self.archive_name()),
            reason: error.to_string(),
        }
    }

    fn archive_name(&self) -> String {
        let name = self.archive.file_name().unwrap_or(self.archive.as_os_str());
        name.to_string_lossy().into_owned()
    }
}
