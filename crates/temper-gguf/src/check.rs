//! Comparing a file that was written with what it was written of.

use std::path::Path;

use serde_json::Map;

use crate::convert::Understood;
use crate::file::GgufFile;
use crate::pack::BLOCK;
use crate::plan::{Plan, Planned, numbers};
use crate::source::SourceModel;
use crate::tokenizer::{SourceTokenizer, metadata_of};

/// Reads a file back: it has the same sizes, the same tokenizer, and numbers within the rounding of their packing.
///
/// # Errors
/// What differs first.
pub(crate) fn check(model: SourceModel<'_>, plan: &Plan, path: &Path) -> Result<(), String> {
    let file = GgufFile::read(path).map_err(|error| error.to_string())?;
    let understood = Understood::of(&file).map_err(|error| error.to_string())?;
    if understood.architecture != plan.architecture {
        return Err(format!("its sizes are {:?}, not {:?}", understood.architecture, plan.architecture));
    }
    let tokenizer = SourceTokenizer {
        definition: &understood.tokenizer.definition,
        config: &understood.tokenizer.config,
        model: &Map::new(),
    };
    let tokenizer = metadata_of(tokenizer, plan.architecture.sizes().vocab)?;
    if let Some((key, _)) = plan.tokenizer.iter().find(|(key, value)| tokenizer.get(*key) != Some(value)) {
        return Err(format!("its tokenizer has another {key}"));
    }
    for (planned, (_, tensor)) in plan.tensors.iter().zip(&understood.tensors) {
        compare(model, planned, &file.numbers(tensor))?;
    }
    Ok(())
}

fn compare(model: SourceModel<'_>, planned: &Planned, found: &[f32]) -> Result<(), String> {
    let Planned { place, packing, .. } = planned;
    let numbers = numbers(model, planned).map_err(|error| error.to_string())?;
    let numbers = place.order.in_file(numbers, &place.shape);
    // In blocks: the rounding of a whole tensor would be a third copy of it.
    for (block, (found, numbers)) in found.chunks(BLOCK).zip(numbers.chunks(BLOCK)).enumerate() {
        let rounding = packing.rounding(numbers);
        let is_near = |at: usize| (found[at] - numbers[at]).abs() <= rounding[at];
        if let Some(at) = (0..numbers.len()).find(|&at| !is_near(at)) {
            let (name, found, number, at) = (&place.ggml, found[at], numbers[at], block * BLOCK + at);
            return Err(format!("number {at} of its tensor {name} is {found}, not {number}"));
        }
    }
    Ok(())
}
