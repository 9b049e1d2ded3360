//! What a file will hold: everything that can be refused is refused here, before anything is written.

use std::collections::BTreeMap;

use crate::architecture::Architecture;
use crate::error::GgufError;
use crate::metadata::{Metadata, Value};
use crate::names::{Place, STORED_OUTPUT};
use crate::pack::Packing;
use crate::source::SourceModel;
use crate::tokenizer::{SourceTokenizer, metadata_of};

/// The version of ggml's packings (`GGML_QNT_VERSION` of ggml.h).
const QUANTIZATION_VERSION: u64 = 2;

/// Ends of names of tensors that are no weights: buffers of old versions, which llama.cpp's converter leaves out, too.
const BUFFERS: [&str; 3] = [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"];

/// A tensor of a file.
#[derive(Debug)]
pub(crate) struct Planned {
    pub place: Place,
    /// Its name in the source: checkpoints without a head leave out what theirs begin with.
    pub source: String,
    pub packing: Packing,
}

/// All that a file will hold.
#[derive(Debug)]
pub(crate) struct Plan {
    pub architecture: Architecture,
    pub tokenizer: Metadata,
    pub metadata: Metadata,
    pub tensors: Vec<Planned>,
}

impl Plan {
    /// Plans a file whose matrices are packed so.
    ///
    /// # Errors
    /// [`GgufError::Unwritable`]; [`GgufError::Source`].
    pub fn of(model: SourceModel<'_>, packing: Packing) -> Result<Self, GgufError> {
        let unwritable = GgufError::unwritable;
        let architecture = Architecture::of_config(model.config).map_err(unwritable)?;
        let mut shapes: BTreeMap<String, Vec<usize>> = model.tensors.shapes().into_iter().collect();
        shapes.retain(|name, _| !BUFFERS.iter().any(|end| name.ends_with(end)));
        let places = architecture.places(shapes.len()).map_err(unwritable)?;
        let tensors = places.into_iter().map(|place| planned(place, packing, &mut shapes));
        let tensors = tensors.collect::<Result<Vec<Planned>, String>>().map_err(unwritable)?;
        check_rest(model, &architecture, &tensors, shapes)?;
        // After the tensors: the embedding has as many rows as config.json says.
        let tokenizer = SourceTokenizer {
            definition: model.tokenizer,
            config: model.tokenizer_config,
            model: model.config,
        };
        let tokenizer = metadata_of(tokenizer, architecture.sizes().vocab).map_err(unwritable)?;
        let mut metadata = architecture.metadata();
        metadata.extend(tokenizer.clone());
        metadata.extend(
            [
                ("general.type", Value::Text("model".into())),
                ("general.name", Value::Text(model.name.into())),
                ("general.file_type", Value::Unsigned(packing.file_type())),
                ("general.quantization_version", Value::Unsigned(QUANTIZATION_VERSION)),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        Ok(Self { architecture, tokenizer, metadata, tensors })
    }
}

/// Finds the tensor of a place, and takes it from those that are left.
fn planned(
    place: Place,
    packing: Packing,
    shapes: &mut BTreeMap<String, Vec<usize>>,
) -> Result<Planned, String> {
    let bare = place.stored.split_once('.').map_or(place.stored.as_str(), |(_, bare)| bare);
    let names = [place.stored.clone(), bare.to_owned()];
    let found = names.into_iter().find_map(|name| shapes.remove_entry(&name));
    let (source, shape) = found.ok_or_else(|| format!("it has no tensor {}", place.stored))?;
    let expected = place.order.stored_shape(&place.shape);
    if shape != expected {
        return Err(format!("its tensor {source} has the shape {shape:?}, not {expected:?}"));
    }
    let packing = packing.of(&place.ggml, &place.shape);
    Ok(Planned { place, source, packing })
}

/// Refuses tensors that a file has no place for. A map to the vocabulary may be stored next to the embedding that it is.
fn check_rest(
    model: SourceModel<'_>,
    architecture: &Architecture,
    tensors: &[Planned],
    mut rest: BTreeMap<String, Vec<usize>>,
) -> Result<(), GgufError> {
    let stored = architecture.sizes().is_tied.then(|| rest.remove(STORED_OUTPUT)).flatten();
    if let Some(shape) = stored {
        // The first tensor of every table.
        let embedding = &tensors[0];
        let output = numbers_of(model, STORED_OUTPUT, shape.iter().product())?;
        if output != numbers(model, embedding)? {
            let embedding = &embedding.source;
            return Err(GgufError::unwritable(format!(
                "its tensor {STORED_OUTPUT} is not {embedding}, and tie_word_embeddings of config.json is true"
            )));
        }
    }
    match rest.into_keys().next() {
        Some(other) => Err(GgufError::unwritable(format!("it has the tensor {other}"))),
        None => Ok(()),
    }
}

/// The numbers of a source's tensor.
///
/// # Errors
/// [`GgufError::Source`], also where there are more or fewer than its shape says.
pub(crate) fn numbers(model: SourceModel<'_>, tensor: &Planned) -> Result<Vec<f32>, GgufError> {
    let count: usize = tensor.place.shape.iter().product();
    numbers_of(model, &tensor.source, count)
}

fn numbers_of(model: SourceModel<'_>, name: &str, count: usize) -> Result<Vec<f32>, GgufError> {
    let failed = |source| GgufError::Source { name: name.to_owned(), source };
    let numbers = model.tensors.numbers(name).map_err(failed)?;
    match numbers.len() == count {
        true => Ok(numbers),
        false => Err(failed(format!("it has {} numbers, not {count}", numbers.len()).into())),
    }
}
