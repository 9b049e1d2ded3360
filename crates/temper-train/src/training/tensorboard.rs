//! TensorBoard's event files: the numbers of metrics.jsonl as TensorBoard reads them.
//!
//! A file is a sequence of records (TensorFlow 2, `tsl/lib/io/record_writer.h`): length, its checksum, an `Event` in
//! protocol buffers (`tensorflow/core/util/event.proto`), its checksum. Of both formats only what scalars need is here.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::journal::JournalRow;
use crate::TrainError;

/// The only name of such a file in a run: TensorBoard looks for `tfevents` in names.
const NAME: &str = "events.out.tfevents.temper";

/// An event file of a run.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Writes the file again with these rows, which are those before a resumed run continues.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub(super) fn create(dir: &Path, rows: &[JournalRow]) -> Result<Self, TrainError> {
        std::fs::create_dir_all(dir).map_err(|error| TrainError::file(dir, error))?;
        let path = dir.join(NAME);
        let file = File::create(&path).map_err(|error| TrainError::file(&path, error))?;
        let mut events = Self { path, file };
        let mut version = event(None);
        text(&mut version, 3, b"brain.Event:2");
        events.append(&version)?;
        rows.iter().try_for_each(|row| events.write(row))?;
        Ok(events)
    }

    /// Appends the numbers of a row.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub(super) fn write(&mut self, row: &JournalRow) -> Result<(), TrainError> {
        let scalars = row.scalars();
        if scalars.is_empty() {
            return Ok(());
        }
        let mut summary = Vec::new();
        for (tag, scalar) in scalars {
            // Summary.value = 1; in it tag = 1 and simple_value = 2.
            let mut value = Vec::new();
            text(&mut value, 1, tag.as_bytes());
            key(&mut value, 2, FOUR_BYTES);
            value.extend((scalar as f32).to_le_bytes());
            text(&mut summary, 1, &value);
        }
        let mut event = event(Some(row.step()));
        text(&mut event, 5, &summary);
        self.append(&event)
    }

    fn append(&mut self, event: &[u8]) -> Result<(), TrainError> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_checksum(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked_checksum(event).to_le_bytes());
        self.file.write_all(&record).map_err(|error| TrainError::file(&self.path, error))
    }
}

/// The CRC-32C of some bytes, changed so that data with checksums in it has others.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// How a field is stored.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH_FIRST: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// An `Event` with its time (field 1) and, but for the first one, its step (field 2).
fn event(step: Option<usize>) -> Vec<u8> {
    let mut event = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    key(&mut event, 1, EIGHT_BYTES);
    event.extend(now.to_le_bytes());
    if let Some(step) = step {
        key(&mut event, 2, VARINT);
        varint(&mut event, step as u64);
    }
    event
}

fn key(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

fn text(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, LENGTH_FIRST);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_masked_as_tensorflow_does() {
        // RFC 3720, B.4: 32 bytes of zeros have 0x8a9136aa.
        assert_eq!(masked_checksum(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn numbers_of_several_bytes_are_written_seven_bits_at_a_time() {
        let mut bytes = Vec::new();
        varint(&mut bytes, 300);
        assert_eq!(bytes, [0xac, 0x02]);
    }
}
