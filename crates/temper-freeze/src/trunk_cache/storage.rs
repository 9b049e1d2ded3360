//! Numbers at fixed places: in memory, or in a file that is mapped into memory.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

/// How much room kept states may take.
#[derive(Clone, Debug)]
pub struct TrunkLimits {
    /// Bytes in memory at most.
    pub memory_bytes: u64,
    /// Bytes in a file at most, where memory does not suffice.
    pub file_bytes: u64,
    /// The folder of that file.
    pub dir: PathBuf,
}

/// Where kept states are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkPlace {
    /// In memory.
    Memory,
    /// In a file that is mapped into memory.
    File,
    /// Nowhere: there was too little room.
    Off,
}

/// One row of `f32`, zero where nothing was written.
#[derive(Debug)]
pub(super) enum Storage {
    Memory(Vec<f32>),
    File(MappedFile),
    Off,
}

impl Storage {
    /// Room for `len` numbers in the first place that is large enough; with the reason when there is none.
    pub(super) fn new(len: usize, limits: &TrunkLimits) -> (Self, Option<String>) {
        let bytes = bytes_of(len);
        if bytes <= limits.memory_bytes {
            // Pages that are never written cost nothing.
            return (Self::Memory(vec![0.0; len]), None);
        }
        if bytes > limits.file_bytes {
            let reason = format!(
                "{bytes} bytes fit neither {} bytes of memory nor {} bytes of disk",
                limits.memory_bytes, limits.file_bytes
            );
            return (Self::Off, Some(reason));
        }
        match MappedFile::new(&limits.dir, bytes) {
            Ok(file) => (Self::File(file), None),
            Err(error) => (Self::Off, Some(format!("{}: {error}", limits.dir.display()))),
        }
    }

    pub(super) fn place(&self) -> TrunkPlace {
        match self {
            Self::Memory(_) => TrunkPlace::Memory,
            Self::File(_) => TrunkPlace::File,
            Self::Off => TrunkPlace::Off,
        }
    }

    /// Numbers that were written.
    pub(super) fn read(&self, range: Range<usize>) -> &[f32] {
        match self {
            Self::Memory(values) => &values[range],
            Self::File(file) => file.read(range),
            Self::Off => &[],
        }
    }

    pub(super) fn write(&mut self, at: usize, values: &[f32]) -> io::Result<()> {
        match self {
            Self::Memory(all) => all[at..at + values.len()].copy_from_slice(values),
            Self::File(file) => file.write(at, values)?,
            Self::Off => {}
        }
        Ok(())
    }
}

pub(super) fn bytes_of(len: usize) -> u64 {
    len as u64 * size_of::<f32>() as u64
}

/// A temporary file without a name, which the system removes when it is closed, however the process ends.
#[derive(Debug)]
pub(super) struct MappedFile {
    file: File,
    map: Mmap,
}

impl MappedFile {
    fn new(dir: &Path, bytes: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(dir)?;
        file.set_len(bytes)?;
        // SAFETY: a map is sound while its file is neither changed nor shortened by others. The file has no name, so
        // only this value can change it, and it writes through `&mut self`, when no slice of the map is alive.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { file, map })
    }

    fn read(&self, range: Range<usize>) -> &[f32] {
        let size = size_of::<f32>();
        bytemuck::cast_slice(&self.map[range.start * size..range.end * size])
    }

    /// Through the file, not the map: a full disk is an error there and would end the process here.
    fn write(&mut self, at: usize, values: &[f32]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(bytes_of(at)))?;
        self.file.write_all(bytemuck::cast_slice(values))
    }
}
