//! A model as a file, which is complete and reads back as it was, or absent.

use std::io::{BufWriter, Write};
use std::path::Path;

use temper_files::{FileError, fill};

use crate::check::check;
use crate::converted::Converted;
use crate::encode;
use crate::error::GgufError;
use crate::pack::Packing;
use crate::plan::{Plan, Planned, numbers};
use crate::source::SourceModel;

/// Tensors begin at multiples of this, the default of files that do not say.
const ALIGNMENT: usize = 32;
/// The version of the format.
const VERSION: u32 = 3;

/// Writes a model as a file for llama.cpp, whose matrices are packed so; what has one dimension is F32, and rows that are
/// no whole blocks are F16. The file is read back and compared before it gets its name. One tensor of the model at a time
/// is in memory, and at last the file.
///
/// # Errors
/// [`GgufError::Unwritable`] for what such a file cannot say: but for numbers that a packing cannot hold, before anything
/// is written. [`GgufError::Source`]; [`GgufError::File`]; [`GgufError::Altered`] for a file that does not read back.
pub fn write(model: SourceModel<'_>, packing: Packing, path: &Path) -> Result<Converted, GgufError> {
    let plan = Plan::of(model, packing)?;
    let failed = |error| GgufError::File(FileError::io(path, error));
    fill(path, |temporary| {
        let mut out = BufWriter::new(temporary.as_file_mut());
        out.write_all(&header(&plan)?).map_err(failed)?;
        for tensor in &plan.tensors {
            out.write_all(&aligned(packed(model, tensor)?)).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        drop(out);
        check(model, &plan, temporary.path())
            .map_err(|what| GgufError::Altered { path: path.to_path_buf(), what })
    })?;
    let tensors = plan.tensors.iter();
    Ok(Converted::of(tensors.map(|tensor| (tensor.packing.kind(), &tensor.place.shape[..]))))
}

/// Everything before the tensors.
fn header(plan: &Plan) -> Result<Vec<u8>, GgufError> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((plan.tensors.len() as u64).to_le_bytes());
    bytes.extend((plan.metadata.len() as u64).to_le_bytes());
    let metadata = encode::metadata(&plan.metadata);
    bytes.extend(metadata.map_err(GgufError::unwritable)?);
    let mut offset = 0;
    for Planned { place, packing, .. } in &plan.tensors {
        encode::text(&place.ggml, &mut bytes);
        bytes.extend((place.shape.len() as u32).to_le_bytes());
        for &size in place.shape.iter().rev() {
            bytes.extend((size as u64).to_le_bytes());
        }
        let kind = packing.kind();
        bytes.extend(kind.number().to_le_bytes());
        bytes.extend((offset as u64).to_le_bytes());
        let count: usize = place.shape.iter().product();
        offset += (count / kind.numbers() * kind.bytes()).next_multiple_of(ALIGNMENT);
    }
    Ok(aligned(bytes))
}

/// The bytes of a tensor.
fn packed(model: SourceModel<'_>, tensor: &Planned) -> Result<Vec<u8>, GgufError> {
    let Planned { place, source, packing } = tensor;
    let numbers = place.order.in_file(numbers(model, tensor)?, &place.shape);
    packing.packed(&numbers).map_err(|number| {
        let what = format!("its tensor {source} has the number {number}, which {packing:?} cannot hold");
        if number.is_finite() {
            GgufError::Unwritable { what, remedy: "write it as f32" }
        } else {
            GgufError::Unwritable { what, remedy: "it is of a model that is broken: take another checkpoint" }
        }
    })
}

/// The bytes with zeros after them, up to where the next tensor begins.
fn aligned(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}
