//! Takes members out of a package's archive, within limits: an archive is data of a stranger, and
//! a small one can unpack to more than any disk holds.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use tar::{Entry, EntryType};
use temper_files::fill;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{HubError, with_causes};
use crate::source::Archive;

/// What no archive may exceed.
pub(crate) struct Limits {
    /// Bytes in all.
    pub(crate) bytes: u64,
    /// Times its packed size. Text shrinks to a tenth, the same byte over and over to a thousandth.
    pub(crate) ratio: u64,
    /// Bytes to which every archive may unpack, whatever its ratio.
    pub(crate) always: u64,
    /// Members, wanted or not.
    pub(crate) members: usize,
}

/// Far beyond the packages that carry models.
pub(crate) const LIMITS: Limits = Limits { bytes: 32 << 30, ratio: 100, always: 64 << 20, members: 200_000 };

/// Names and other records of a tar archive that tar reads into memory.
const MOST_RECORD: u64 = 64 << 10;

/// An archive, and how much of it may still be unpacked.
pub(crate) struct Unpacker<'a> {
    archive: &'a Path,
    form: Archive,
    limits: Limits,
    /// Bytes that one pass through the archive may give, and all its members together.
    most: u64,
    /// Bytes of the members so far.
    taken: u64,
}

impl<'a> Unpacker<'a> {
    /// # Errors
    /// [`HubError::Io`] when there is no such file.
    pub(crate) fn open(archive: &'a Path, form: Archive, limits: Limits) -> Result<Self, HubError> {
        let packed = fs::metadata(archive).map_err(|error| HubError::io(archive, error))?.len();
        let most = packed.saturating_mul(limits.ratio).max(limits.always).min(limits.bytes);
        Ok(Self { archive, form, limits, most, taken: 0 })
    }

    /// Writes one member to `target`, whole or not at all. `member` may be `outer.tar.gz!inner`.
    ///
    /// # Errors
    /// [`HubError::MissingMember`], [`HubError::Format`] for an archive that is damaged or exceeds
    /// the limits, [`HubError::Io`].
    pub(crate) fn extract(&mut self, member: &str, target: &Path) -> Result<(), HubError> {
        let (outer, inner) = match member.split_once('!') {
            Some((outer, inner)) => (outer, Some(inner)),
            None => (member, None),
        };
        let file = File::open(self.archive).map_err(|error| HubError::io(self.archive, error))?;
        let reading =
            MemberReader { archive: self.archive, member, most: self.most, members: self.limits.members };
        let left = self.most - self.taken;
        let mut copy = |content: &mut dyn Read| match inner {
            Some(inner) => {
                reading.tar_member(content, inner, &mut |inside| reading.copy(inside, target, left))
            }
            None => reading.copy(content, target, left),
        };
        self.taken += match self.form {
            Archive::Wheel => reading.zip_member(file, outer, &mut copy)?,
            Archive::Sdist => reading.tar_member(&mut BufReader::new(file), outer, &mut copy)?,
        };
        Ok(())
    }
}

/// What becomes of a member's content; returns its bytes.
type Take<'a> = dyn FnMut(&mut dyn Read) -> Result<u64, HubError> + 'a;

/// The current archive and member.
struct MemberReader<'a> {
    archive: &'a Path,
    member: &'a str,
    most: u64,
    members: usize,
}

impl MemberReader<'_> {
    fn zip_member(&self, file: File, name: &str, take: &mut Take<'_>) -> Result<u64, HubError> {
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| self.damaged(error))?;
        self.count(zip.len())?;
        let content = match zip.by_name(name) {
            Ok(content) => content,
            Err(ZipError::FileNotFound) => return Err(self.missing()),
            Err(error) => return Err(self.damaged(error)),
        };
        if !content.is_file() || content.is_symlink() {
            return Err(self.damaged("it is a link or a folder, not a file"));
        }
        let announced = content.size();
        if announced > self.most {
            return Err(self.damaged(too_large(self.most)));
        }
        take(&mut Limited { inner: content, left: announced, most: announced })
    }

    fn tar_member(
        &self,
        compressed: &mut dyn Read,
        name: &str,
        take: &mut Take<'_>,
    ) -> Result<u64, HubError> {
        let unpacked = Limited { inner: GzDecoder::new(compressed), left: self.most, most: self.most };
        let mut tar = tar::Archive::new(unpacked);
        let damaged = |error: io::Error| self.damaged(with_causes(&error));
        let mut long_name = None;
        // Raw: tar reads records before a member into memory, however large, so they are looked at first.
        for (number, entry) in tar.entries().map_err(damaged)?.raw(true).enumerate() {
            self.count(number)?;
            let mut entry = entry.map_err(damaged)?;
            let kind = entry.header().entry_type();
            if is_record(kind) {
                if let Some(path) = self.record(&mut entry, kind)? {
                    long_name = Some(path);
                }
                continue;
            }
            let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            if Path::new(String::from_utf8_lossy(&path).as_ref()) != Path::new(name) {
                continue;
            }
            if !kind.is_file() {
                return Err(self.damaged("it is a link, a folder or a device, not a file"));
            }
            return take(&mut entry);
        }
        Err(self.missing())
    }

    /// The path in a record before a member whose name is too long for its header.
    fn record(&self, entry: &mut Entry<'_, impl Read>, kind: EntryType) -> Result<Option<Vec<u8>>, HubError> {
        if entry.size() > MOST_RECORD {
            return Err(self.damaged(format!("a record before a member has {} bytes", entry.size())));
        }
        let damaged = |error: io::Error| self.damaged(with_causes(&error));
        if kind.is_gnu_longname() {
            let mut path = Vec::new();
            entry.read_to_end(&mut path).map_err(damaged)?;
            path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
            return Ok(Some(path));
        }
        if !kind.is_pax_local_extensions() {
            return Ok(None);
        }
        let mut path = None;
        for extension in entry.pax_extensions().map_err(damaged)?.into_iter().flatten() {
            let extension = extension.map_err(damaged)?;
            match extension.key_bytes() {
                b"path" => path = Some(extension.value_bytes().to_vec()),
                b"size" => return Err(self.damaged("a member has more than 8 GiB")),
                _ => {}
            }
        }
        Ok(path)
    }

    fn count(&self, members: usize) -> Result<(), HubError> {
        if members > self.members {
            return Err(self.damaged(format!("the archive has more than {} members", self.members)));
        }
        Ok(())
    }

    /// Writes a content of at most `left` bytes; returns how many there were.
    fn copy(&self, content: &mut dyn Read, target: &Path, left: u64) -> Result<u64, HubError> {
        let mut content = Limited { inner: content, left, most: self.most };
        fill(target, |file| {
            let mut piece = vec![0; 1 << 17];
            loop {
                // Read and write apart, because a damaged archive and a full disk differ.
                match content.read(&mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(read) => {
                        file.write_all(&piece[..read]).map_err(|error| HubError::io(target, error))?
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.damaged(with_causes(&error))),
                }
            }
        })?;
        Ok(left - content.left)
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

/// True for an entry that only describes the next one, or all of them.
fn is_record(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

fn too_large(most: u64) -> String {
    format!("it unpacks to more than {most} bytes, which are too many for an archive of its size")
}

/// A reader that fails after a number of bytes.
struct Limited<R> {
    inner: R,
    left: u64,
    /// The limit, for the message.
    most: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::other(too_large(self.most))),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use zip::write::SimpleFileOptions;

    use super::*;

    const SMALL: Limits = Limits { bytes: 1 << 20, ratio: 10, always: 4096, members: 5 };

    fn header(kind: EntryType, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header
    }

    /// A `tar.gz` of files, after entries of the test's own.
    fn tar_gz(fill: impl Fn(&mut tar::Builder<GzEncoder<Vec<u8>>>), files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
        fill(&mut tar);
        for (name, content) in files {
            tar.append_data(&mut header(EntryType::Regular, content.len()), name, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        zip.finish().unwrap().into_inner()
    }

    /// The members' contents, taken one after the other.
    fn unpack(form: Archive, archive: &[u8], members: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path().join("archive"), folder.path().join("out"));
        fs::write(&path, archive).unwrap();
        let mut unpacker = Unpacker::open(&path, form, SMALL).unwrap();
        let mut contents = Vec::new();
        for (number, member) in members.iter().enumerate() {
            let target = out.join(number.to_string());
            if let Err(error) = unpacker.extract(member, &target) {
                assert!(!target.exists());
                return Err(error.to_string());
            }
            contents.push(fs::read(&target).unwrap());
        }
        Ok(contents)
    }

    fn refused(form: Archive, archive: &[u8], members: &[&str], word: &str) {
        let error = unpack(form, archive, members).unwrap_err();
        assert!(error.contains(word), "{word} is not in: {error}");
    }

    #[test]
    fn a_member_beyond_the_ratio_is_refused() {
        let zeros = vec![0; 100_000];
        let tar = tar_gz(|_| {}, &[("a", b"x"), ("bomb", &zeros), ("b", b"y")]);
        refused(Archive::Sdist, &tar, &["bomb"], "unpacks to more than 4096 bytes");
        // Also if it only precedes what is wanted.
        refused(Archive::Sdist, &tar, &["b"], "unpacks to more than 4096 bytes");
        assert_eq!(unpack(Archive::Sdist, &tar, &["a"]).unwrap(), [b"x"]);
        let nested = tar_gz(|_| {}, &[("in.tar.gz", &tar)]);
        refused(Archive::Sdist, &nested, &["in.tar.gz!bomb"], "unpacks to more than 4096 bytes");
        let zip = zipped(&[("bomb", &zeros), ("b", b"y"), ("in.tar.gz", &tar)]);
        refused(Archive::Wheel, &zip, &["bomb"], "unpacks to more than");
        refused(Archive::Wheel, &zip, &["in.tar.gz!bomb"], "unpacks to more than");
        assert_eq!(unpack(Archive::Wheel, &zip, &["b"]).unwrap(), [b"y"]);
    }

    #[test]
    fn all_members_together_are_limited() {
        let half = vec![0; 2500];
        let zip = zipped(&[("a", &half), ("b", &half)]);
        assert!(unpack(Archive::Wheel, &zip, &["a"]).is_ok());
        refused(Archive::Wheel, &zip, &["a", "b"], "unpacks to more than 4096 bytes");
    }

    #[test]
    fn a_zip_that_understates_a_size_is_refused() {
        let content = vec![7; 3000];
        let mut zip = zipped(&[("a", &content)]);
        for (signature, offset) in [(b"PK\x01\x02", 24), (b"PK\x03\x04", 22)] {
            let start = zip.windows(4).position(|bytes| bytes == signature).unwrap() + offset;
            zip[start..start + 4].copy_from_slice(&10u32.to_le_bytes());
        }
        unpack(Archive::Wheel, &zip, &["a"]).unwrap_err();
    }

    #[test]
    fn links_are_refused() {
        let link = |tar: &mut tar::Builder<GzEncoder<Vec<u8>>>| {
            for kind in [EntryType::Symlink, EntryType::Link] {
                let name = if kind.is_symlink() { "symbolic" } else { "hard" };
                tar.append_link(&mut header(kind, 0), name, "/etc/passwd").unwrap();
            }
        };
        let tar = tar_gz(link, &[("a", b"x")]);
        for name in ["symbolic", "hard"] {
            refused(Archive::Sdist, &tar, &[name], "is a link");
        }
        assert_eq!(unpack(Archive::Sdist, &tar, &["a"]).unwrap(), [b"x"]);
        refused(Archive::Wheel, &zipped(&[]), &["link"], "is a link");
    }

    #[test]
    fn an_archive_of_too_many_members_is_refused() {
        let files: Vec<(String, &[u8])> = (0..9).map(|number| (number.to_string(), &b""[..])).collect();
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        refused(Archive::Wheel, &zipped(&files), &["0"], "more than 5 members");
        refused(Archive::Sdist, &tar_gz(|_| {}, &files), &["8"], "more than 5 members");
    }

    #[test]
    fn long_names_are_read_and_endless_ones_are_not() {
        let name = format!("{}/file", "long".repeat(60));
        let gnu = tar_gz(|_| {}, &[(&name, b"x")]);
        assert_eq!(unpack(Archive::Sdist, &gnu, &[&name]).unwrap(), [b"x"]);
        let path = |tar: &mut tar::Builder<GzEncoder<Vec<u8>>>| {
            tar.append_pax_extensions([("path", name.as_bytes())]).unwrap();
        };
        let pax = tar_gz(path, &[("short", b"x")]);
        assert_eq!(unpack(Archive::Sdist, &pax, &[&name]).unwrap(), [b"x"]);

        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let endless = |tar: &mut tar::Builder<GzEncoder<Vec<u8>>>| {
                let mut header = header(kind, 1 << 30);
                header.set_cksum();
                tar.append(&header, io::repeat(b'a').take(1000)).unwrap();
            };
            refused(Archive::Sdist, &tar_gz(endless, &[]), &["a"], "a record before a member has");
        }
    }
}
