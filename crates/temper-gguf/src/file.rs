//! A file: what it says, and where its tensors are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::blocks::BlockType;
use crate::error::GgufError;
use crate::metadata::Metadata;
use crate::parse::Parser;

/// Dimensions that a tensor may have.
const MOST_DIMENSIONS: u32 = 4;

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its shape, the outermost dimension first, as in PyTorch; in a file it is the other way round.
    pub shape: Vec<usize>,
    /// How its numbers are packed.
    pub kind: BlockType,
    /// Its bytes in the file.
    bytes: std::ops::Range<usize>,
}

/// A sound file.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// What it says of its model.
    pub metadata: Metadata,
    /// Its tensors, in its order.
    pub tensors: Vec<TensorInfo>,
}

impl GgufFile {
    /// Reads a file and checks all of it.
    ///
    /// # Errors
    /// [`GgufError::Io`]; [`GgufError::Damaged`]; [`GgufError::Unsupported`] for another version and for tensors that are
    /// packed otherwise, with the name of the first.
    pub fn read(path: &Path) -> Result<Self, GgufError> {
        let bytes =
            std::fs::read(path).map_err(|source| GgufError::Io { path: path.to_path_buf(), source })?;
        Self::of(path, bytes)
    }

    /// As [`Self::read`], of bytes that are there; messages name the path.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, GgufError> {
        let damaged = |reason: String| GgufError::Damaged { path: path.to_path_buf(), reason };
        let mut parser = Parser::new(&bytes);
        if parser.take(4).map_err(damaged)? != b"GGUF" {
            return Err(damaged("it does not begin with GGUF".into()));
        }
        let version = parser.u32().map_err(damaged)?;
        if !(2..=3).contains(&version) {
            let what = format!("it has version {version} of the format, and 2 and 3 are read");
            return Err(GgufError::Unsupported { path: path.to_path_buf(), what, remedy: OTHER_FILE });
        }
        // A tensor takes 24 bytes at least, a value of the metadata 13.
        let tensors = parser.count("a number of tensors of", 0).map_err(damaged)?;
        let values = parser.count("a number of values of", 13).map_err(damaged)?;
        let mut metadata = Metadata::new();
        for _ in 0..values {
            let key = parser.text().map_err(damaged)?;
            let value = parser.value().map_err(damaged)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(damaged(format!("it has {key} twice")));
            }
        }
        let mut headers = Vec::new();
        for _ in 0..tensors {
            headers.push(Header::read(&mut parser).map_err(damaged)?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(value) => value
                .as_u64()
                .filter(|value| value.is_power_of_two())
                .ok_or_else(|| damaged("general.alignment is not a power of two".into()))?
                as usize,
        };
        let start = parser.place.next_multiple_of(alignment);
        let tensors = headers.into_iter().map(|header| header.placed(path, start, alignment, bytes.len()));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        check_places(&tensors).map_err(damaged)?;
        Ok(Self { path: path.to_path_buf(), bytes, metadata, tensors })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The numbers of a tensor, row by row.
    pub fn numbers(&self, tensor: &TensorInfo) -> Vec<f32> {
        tensor.kind.unpacked(&self.bytes[tensor.bytes.clone()])
    }
}

/// What can be done about a file that is not read.
pub(crate) const OTHER_FILE: &str = "use another file of the model: safetensors, or GGUF in F16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K";

/// A tensor as a file announces it.
struct Header {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

impl Header {
    fn read(parser: &mut Parser<'_>) -> Result<Self, String> {
        let name = parser.text()?;
        let dimensions = parser.u32()?;
        if dimensions == 0 || dimensions > MOST_DIMENSIONS {
            return Err(format!("the tensor {name} has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = parser.u64()?;
            let size = usize::try_from(size).ok().filter(|&size| size > 0);
            shape.push(size.ok_or_else(|| format!("a dimension of the tensor {name} is not a size"))?);
        }
        shape.reverse();
        Ok(Self { name, shape, kind: parser.u32()?, offset: parser.u64()? })
    }

    /// The tensor, whose bytes are all there.
    fn placed(
        self,
        path: &Path,
        start: usize,
        alignment: usize,
        end: usize,
    ) -> Result<TensorInfo, GgufError> {
        let Self { name, shape, kind, offset } = self;
        let damaged = |reason: String| GgufError::Damaged { path: path.to_path_buf(), reason };
        let Some(kind) = BlockType::of_number(kind) else {
            let what = format!("the tensor {name} is packed in a way that is not read (type {kind} of ggml)");
            return Err(GgufError::Unsupported { path: path.to_path_buf(), what, remedy: OTHER_FILE });
        };
        let columns = shape.last().copied().unwrap_or(1);
        if !columns.is_multiple_of(kind.numbers()) {
            let (name, numbers) = (kind.name(), kind.numbers());
            return Err(damaged(format!(
                "rows of {columns} numbers cannot be divided into blocks of {numbers}, as {name} needs"
            )));
        }
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        let length = count.and_then(|count| (count / kind.numbers()).checked_mul(kind.bytes()));
        let offset = usize::try_from(offset).ok().filter(|offset| offset.is_multiple_of(alignment));
        let first = offset.and_then(|offset| start.checked_add(offset));
        let last = first.zip(length).and_then(|(first, length)| first.checked_add(length));
        match (first, last.filter(|&last| last <= end)) {
            (Some(first), Some(last)) => Ok(TensorInfo { name, shape, kind, bytes: first..last }),
            _ => Err(damaged(format!("the tensor {name} is not within the file's {end} bytes"))),
        }
    }
}

/// Refuses tensors of one name, or with bytes in common.
fn check_places(tensors: &[TensorInfo]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
        return Err(format!("it has the tensor {} twice", twice.name));
    }
    let mut places: Vec<&TensorInfo> = tensors.iter().collect();
    places.sort_by_key(|tensor| tensor.bytes.start);
    match places.windows(2).find(|pair| pair[0].bytes.end > pair[1].bytes.start) {
        Some(pair) => Err(format!("the tensors {} and {} overlap", pair[0].name, pair[1].name)),
        None => Ok(()),
    }
}
