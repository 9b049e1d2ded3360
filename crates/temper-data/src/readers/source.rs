//! A file's text in UTF-8, a piece at a time: byte-order marks, UTF-16, and bytes that are no text.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::compressed;
use crate::DataError;

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

/// The longest text that is held as a whole: that of a JSON array, or what a compressed file unpacks to.
const MOST_BYTES: usize = 1 << 30;

/// How every Git LFS pointer begins (git-lfs, docs/spec.md).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// How a text file stores its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// UTF-8, which ASCII is a part of.
    #[serde(rename = "UTF-8")]
    Utf8,
    /// UTF-16 with a byte-order mark, lower byte first.
    #[serde(rename = "UTF-16LE")]
    Utf16Le,
    /// UTF-16 with a byte-order mark, higher byte first.
    #[serde(rename = "UTF-16BE")]
    Utf16Be,
}

impl Encoding {
    /// The encoding's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }

    /// The encoding that a file's first bytes promise, and how many of them only say so.
    fn of_start(bytes: &[u8]) -> (Self, usize) {
        match bytes {
            [0xef, 0xbb, 0xbf, ..] => (Self::Utf8, 3),
            [0xff, 0xfe, ..] => (Self::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Self::Utf16Be, 2),
            _ => (Self::Utf8, 0),
        }
    }
}

/// Refuses the pointer that Git leaves where a file of Git LFS was not downloaded.
pub(super) fn refuse_pointer(path: &Path, start: &[u8]) -> Result<(), DataError> {
    if start.starts_with(LFS_POINTER) {
        return Err(DataError::LfsPointer { file: path.to_path_buf() });
    }
    Ok(())
}

/// Valid UTF-8 without NUL characters, from a file of any [`Encoding`].
pub(super) struct TextSource {
    path: PathBuf,
    file: Box<dyn Read + Send>,
    encoding: Encoding,
    /// Bytes of the file that are not decoded yet: a character that the last piece cut.
    raw: Vec<u8>,
    text: Vec<u8>,
    used: usize,
    ended: bool,
    /// Bytes of the file before `raw`.
    offset: u64,
    /// The line of the next character, from 1.
    line: u64,
    after_return: bool,
}

impl TextSource {
    /// Opens a file, perhaps a compressed one; a byte-order mark stays out of the text.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let mut source = Self {
            path: path.to_path_buf(),
            file: compressed::open(path)?,
            encoding: Encoding::Utf8,
            raw: Vec::new(),
            text: Vec::new(),
            used: 0,
            ended: false,
            offset: 0,
            line: 1,
            after_return: false,
        };
        while source.raw.len() < LFS_POINTER.len() && !source.ended {
            source.read_piece()?;
        }
        refuse_pointer(path, &source.raw)?;
        let (encoding, mark) = Encoding::of_start(&source.raw);
        source.encoding = encoding;
        source.take_raw(mark);
        source.decode()?;
        Ok(source)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The next characters, possibly cut within one; empty at the end of the file.
    pub fn piece(&mut self) -> Result<&[u8], DataError> {
        while self.used == self.text.len() && !self.ended {
            self.read_piece()?;
            self.decode()?;
        }
        Ok(&self.text[self.used..])
    }

    /// Marks `count` bytes of the piece as read.
    pub fn consume(&mut self, count: usize) {
        self.used += count;
    }

    /// The whole text, up to 1 GiB.
    pub fn read_all(mut self) -> Result<String, DataError> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.piece()?;
            if piece.is_empty() {
                return text_of(&self.path, bytes);
            }
            if bytes.len() + piece.len() > MOST_BYTES {
                let reason = "it has more than 1 GiB of text; write one object on each line of .jsonl files, which are read \
                              line by line";
                return Err(DataError::broken(&self.path, None, reason));
            }
            bytes.extend_from_slice(piece);
            let count = piece.len();
            self.consume(count);
        }
    }

    fn read_piece(&mut self) -> Result<(), DataError> {
        let before = self.raw.len();
        self.raw.resize(before + PIECE, 0);
        let count = loop {
            match self.file.read(&mut self.raw[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.map_err(|source| DataError::io(&self.path, source))?,
            }
        };
        self.raw.truncate(before + count);
        self.ended = count == 0;
        Ok(())
    }

    fn take_raw(&mut self, count: usize) {
        self.raw.drain(..count);
        self.offset += count as u64;
    }

    /// Moves what is complete from `raw` to `text`.
    fn decode(&mut self) -> Result<(), DataError> {
        self.pass_lines();
        self.used = 0;
        self.text.clear();
        let (taken, is_bad) = match self.encoding {
            Encoding::Utf8 => self.decode_utf8(),
            Encoding::Utf16Le => self.decode_utf16(u16::from_le_bytes),
            Encoding::Utf16Be => self.decode_utf16(u16::from_be_bytes),
        };
        if is_bad || self.ended && taken < self.raw.len() {
            let (byte, value) = (self.offset + taken as u64 + 1, self.raw[taken]);
            self.pass_lines();
            let encoding = self.encoding.name();
            return Err(DataError::NotDecoded {
                file: self.path.clone(),
                line: self.line,
                byte,
                value,
                encoding,
            });
        }
        if let Some(at) = self.text.iter().position(|byte| *byte == 0) {
            self.text.truncate(at);
            self.pass_lines();
            return Err(DataError::NulByte { file: self.path.clone(), line: self.line });
        }
        self.take_raw(taken);
        Ok(())
    }

    /// How many bytes were decoded, and whether those after them are wrong, not only cut.
    fn decode_utf8(&mut self) -> (usize, bool) {
        let (taken, is_bad) = match std::str::from_utf8(&self.raw) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        self.text.extend_from_slice(&self.raw[..taken]);
        (taken, is_bad)
    }

    fn decode_utf16(&mut self, unit: fn([u8; 2]) -> u16) -> (usize, bool) {
        let units = self.raw.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let (mut taken, whole) = (0, self.raw.len() / 2);
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    taken += character.len_utf16();
                }
                // The first half of a pair at the end may only be cut.
                Err(half) => {
                    let is_first = (0xd800..0xdc00).contains(&half.unpaired_surrogate());
                    return (2 * taken, !(is_first && taken + 1 == whole));
                }
            }
        }
        (2 * taken, false)
    }

    /// Counts the lines of the text that was handed out. LF, CR and CR LF end a line.
    fn pass_lines(&mut self) {
        for byte in &self.text {
            let ends = *byte == b'\r' || *byte == b'\n' && !self.after_return;
            self.line += u64::from(ends);
            self.after_return = *byte == b'\r';
        }
    }
}

impl Read for TextSource {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let piece = self.piece().map_err(|error| std::io::Error::other(error.to_string()))?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Bytes that a [`TextSource`] gave, as text.
pub(super) fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|error| DataError::broken(path, None, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(String, Encoding), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, bytes).unwrap();
        let source = TextSource::open(&path)?;
        let encoding = source.encoding();
        Ok((source.read_all()?, encoding))
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_byte_order_mark_decides_the_encoding_and_stays_out() {
        let text = "na\u{ef}ve \u{1f600}\r\n";
        let utf8 = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        assert_eq!(read(&utf8).unwrap(), (text.to_string(), Encoding::Utf8));
        assert_eq!(read(text.as_bytes()).unwrap(), (text.to_string(), Encoding::Utf8));
        let little = utf16(&format!("\u{feff}{text}"), u16::to_le_bytes);
        assert_eq!(read(&little).unwrap(), (text.to_string(), Encoding::Utf16Le));
        let big = utf16(&format!("\u{feff}{text}"), u16::to_be_bytes);
        assert_eq!(read(&big).unwrap(), (text.to_string(), Encoding::Utf16Be));
        assert_eq!(read(b"").unwrap().0, "");
    }

    #[test]
    fn characters_may_lie_across_pieces() {
        for shift in 0..4 {
            let text = "x".repeat(shift) + &"\u{1f600}".repeat(PIECE / 2);
            assert_eq!(read(text.as_bytes()).unwrap().0, text);
            let wide = utf16(&format!("\u{feff}{text}"), u16::to_le_bytes);
            assert_eq!(read(&wide).unwrap().0, text);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_line_and_place() {
        let error = read(b"good\r\nfine\rcaf\xe9\n").unwrap_err();
        assert!(matches!(error, DataError::NotDecoded { line: 3, byte: 15, value: 0xe9, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("line 3") && message.contains("iconv"), "{message}");
        // A character that the end of the file cuts.
        let error = read(b"caf\xc3").unwrap_err();
        assert!(matches!(error, DataError::NotDecoded { line: 1, byte: 4, .. }), "{error}");
        // Half a pair in the middle, and an odd byte at the end.
        for units in [&b"\x00\xd8a\x00"[..], b"a\x00\x00\xdc", b"a\x00b"] {
            let error = read(&[b"\xff\xfe", units].concat()).unwrap_err();
            assert!(matches!(error, DataError::NotDecoded { encoding: "UTF-16LE", .. }), "{error}");
        }
    }

    #[test]
    fn nul_characters_are_no_text() {
        let error = read(b"a\nb\0c").unwrap_err();
        assert!(matches!(error, DataError::NulByte { line: 2, .. }), "{error}");
        let error = read(&utf16("no mark", u16::to_le_bytes)).unwrap_err();
        assert!(error.to_string().contains("UTF-16"), "{error}");
    }

    #[test]
    fn a_pointer_of_git_lfs_says_how_to_fetch_the_file() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 440449768\n";
        let error = read(pointer).unwrap_err();
        assert!(matches!(error, DataError::LfsPointer { .. }), "{error}");
        assert!(error.to_string().contains("git lfs pull"), "{error}");
    }
}
