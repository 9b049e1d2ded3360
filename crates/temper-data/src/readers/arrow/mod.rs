//! Apache Arrow's stream format, in which Hugging Face's `datasets` keeps what `save_to_disk` writes; also its file
//! format, which is the same between a mark and an index.

mod batch;
mod flatbuffer;
mod schema;

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use self::batch::ArrowBatch;
use self::flatbuffer::FlatTable;
use self::schema::{DAMAGED, Field};
use super::features::{self, FEATURES_KEY};
use super::source::refuse_pointer;
use super::{FileReport, Row, RowReader, choose};
use crate::{Column, DataError, Format, Value};

/// How the file format begins; a stream follows.
const MARK: &[u8; 8] = b"ARROW1\0\0";
/// The marker before the length of each message.
const CONTINUES: [u8; 4] = [0xff; 4];
/// Numbers of the union `MessageHeader`.
const SCHEMA: u8 = 1;
const RECORD_BATCH: u8 = 3;
/// Values that any file may have, and how many more for each byte of it.
const VALUES_FREELY: u64 = 1 << 20;
const VALUES_PER_BYTE: u64 = 8;

/// The rows of a file. A batch of them is held at a time.
///
/// Class names come from the features of `datasets`: in dataset_info.json beside the file, else in the file's metadata.
pub(super) struct ArrowRows {
    path: PathBuf,
    messages: Messages,
    fields: Vec<Field>,
    columns: Vec<Column>,
    /// Of each column, its place among the fields.
    places: Vec<usize>,
    batch: Option<ArrowBatch>,
    /// Rows of the batch that were read.
    of_batch: usize,
    rows: usize,
    /// Values that further rows may have.
    room: u64,
}

impl ArrowRows {
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let mut messages = Messages::open(path)?;
        let broken = |reason: String| DataError::broken(path, None, reason);
        let Some(Message { metadata, .. }) = messages.next().map_err(broken)? else {
            return Err(broken("it ends before its schema".into()));
        };
        let message = FlatTable::root(&metadata).filter(|message| message.byte(1) == SCHEMA);
        let schema = message.and_then(|message| message.table(2));
        let schema =
            schema.ok_or_else(|| broken("not an Arrow stream: it begins without a schema".into()))?;
        let (fields, features) = schema::read(schema, FEATURES_KEY).map_err(broken)?;
        let features =
            features::of_folder(path).unwrap_or_else(|| features::of_metadata(features.as_deref()));
        let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        let column = |name: &&str| Column {
            class_names: features::class_names(&features[*name]),
            ..Column::plain(*name)
        };
        Ok(Self {
            path: path.to_path_buf(),
            places: choose(path, &names, wanted)?,
            columns: wanted.iter().map(column).collect(),
            fields,
            batch: None,
            of_batch: 0,
            rows: 0,
            room: VALUES_FREELY.saturating_add(messages.left.saturating_mul(VALUES_PER_BYTE)),
            messages,
        })
    }

    /// The next batch; `None` behind the last.
    fn next_batch(&mut self) -> Result<Option<ArrowBatch>, String> {
        let Some(Message { metadata, body }) = self.messages.next()? else {
            return Ok(None);
        };
        let message = FlatTable::root(&metadata).ok_or(DAMAGED)?;
        match (message.byte(1), message.table(2)) {
            (RECORD_BATCH, Some(batch)) => ArrowBatch::new(batch, &self.fields, body).map(Some),
            (number, _) => Err(format!("a message of kind {number} where rows are expected")),
        }
    }

    fn next_cells(&mut self) -> Result<Option<Vec<Value>>, String> {
        while self.batch.as_ref().is_none_or(|batch| self.of_batch >= batch.rows) {
            self.batch = self.next_batch()?;
            self.of_batch = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        // A row without columns is one, too.
        self.room = self.room.checked_sub(1).ok_or("it has far more rows than its size allows")?;
        let cell = |place: &usize| batch.cell(&self.fields, *place, self.of_batch, &mut self.room);
        let cells = self.places.iter().map(cell).collect::<Result<_, _>>()?;
        self.of_batch += 1;
        Ok(Some(cells))
    }
}

impl RowReader for ArrowRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let number = self.rows + 1;
        let cells = self.next_cells();
        let cells = cells.map_err(|reason| DataError::broken(&self.path, Some(number), reason))?;
        Ok(cells.map(|cells| {
            self.rows = number;
            Row { number, cells }
        }))
    }

    fn report(&self) -> FileReport {
        FileReport { rows: self.rows, ..FileReport::new(&self.path, Format::Arrow) }
    }
}

/// A message: its metadata, and the bytes that belong to it.
struct Message {
    metadata: Vec<u8>,
    body: Vec<u8>,
}

/// The messages of a stream.
struct Messages {
    file: BufReader<File>,
    /// Bytes of the file that were not read.
    left: u64,
}

impl Messages {
    fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::io(path, source);
        let mut start = Vec::new();
        let file = File::open(path).map_err(failed)?;
        (&file).take(64).read_to_end(&mut start).map_err(failed)?;
        refuse_pointer(path, &start)?;
        let mut messages = Self {
            left: file.metadata().map_err(failed)?.len(),
            file: BufReader::new(File::open(path).map_err(failed)?),
        };
        if start.starts_with(MARK) {
            messages.exactly(MARK.len() as u64).map_err(|reason| DataError::broken(path, None, reason))?;
        }
        Ok(messages)
    }

    /// The next message; `None` at the end, which is marked or that of the file.
    fn next(&mut self) -> Result<Option<Message>, String> {
        if self.left == 0 {
            return Ok(None);
        }
        let prefix = self.exactly(8)?;
        let (mark, length) = prefix.split_at(4);
        if mark != CONTINUES {
            return Err("not an Arrow stream, or damaged".into());
        }
        let length: [u8; 4] = length.try_into().map_err(|_| DAMAGED)?;
        let length = u32::from_le_bytes(length);
        if length == 0 {
            self.left = 0;
            return Ok(None);
        }
        let metadata = self.exactly(length.into())?;
        let body = FlatTable::root(&metadata).ok_or(DAMAGED)?.long(3);
        let body = self.exactly(u64::try_from(body).map_err(|_| DAMAGED)?)?;
        Ok(Some(Message { metadata, body }))
    }

    /// So many bytes; room is made for no more than the file has.
    fn exactly(&mut self, count: u64) -> Result<Vec<u8>, String> {
        self.left =
            self.left.checked_sub(count).ok_or("it ends in the middle of a message; fetch it again")?;
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| DAMAGED)?];
        self.file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => "it became shorter while it was read".to_string(),
            _ => error.to_string(),
        })?;
        Ok(bytes)
    }
}
