use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use temper_models::{Backbone, HeadRequest, Loaded, Mode, Model, TokenBatch};

use super::backend;
use crate::backend::Backend;
use crate::{LocalModel, SourceOptions, TrainError};

/// Compare a model's outputs with those of a reference implementation
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// Name (bert), Hub id (org/name), folder or run of a model
    pub model: String,
    /// A safetensors file with input_ids, attention_mask, token_type_ids and any of
    /// last_hidden_state, logits
    #[arg(long, value_name = "FILE")]
    pub reference: PathBuf,
    /// Largest absolute difference allowed
    #[arg(long, default_value_t = 1e-4)]
    pub tolerance: f64,
    /// flex, ndarray or cuda
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// The outputs that can be compared; `encoder_last_hidden_state` and the others belong to heads
/// and families that are not there yet.
const OUTPUTS: [&str; 2] = ["last_hidden_state", "logits"];

/// Runs the command: one line a tensor, and a verdict.
///
/// # Errors
/// [`TrainError::Verification`] above the tolerance; [`TrainError::File`] for a reference that
/// cannot be used.
pub fn verify(args: &VerifyArgs) -> Result<(), TrainError> {
    let device = backend(args.backend)?.device()?;
    let bytes = std::fs::read(&args.reference).map_err(|error| TrainError::content(&args.reference, error))?;
    let reference = Reference::parse(&args.reference, &bytes)?;
    let local = LocalModel::find(&args.sources.hub(true), &args.model)?;
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
    let batch = reference.batch(&loaded, &device)?;
    let mut worst = ("", 0.0_f64);
    let mut compared = 0;
    for name in OUTPUTS {
        let Some((shape, theirs)) = reference.floats(name)? else { continue };
        let difference = match name {
            "last_hidden_state" => {
                largest(&reference, name, loaded.model.backbone.forward(&batch, Mode::Evaluate), &shape, &theirs, &batch)?
            }
            _ => match loaded.model.classify(&batch, Mode::Evaluate) {
                Some(logits) => largest(&reference, name, logits, &shape, &theirs, &batch)?,
                None => return Err(reference.unusable("has logits, but the model has no head")),
            },
        };
        compared += 1;
        println!("{name:<20} largest absolute difference {:.3e} at {:?}", difference.value, difference.position);
        if difference.value >= worst.1 {
            worst = (name, difference.value);
        }
    }
    if compared == 0 {
        return Err(reference.unusable(&format!("has none of {}", OUTPUTS.join(", "))));
    }
    if worst.1 > args.tolerance {
        return Err(TrainError::Verification { what: worst.0.into(), difference: worst.1, tolerance: args.tolerance });
    }
    println!("verified: nothing differs by more than {:e}", args.tolerance);
    Ok(())
}

struct Reference<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

struct Difference {
    value: f64,
    position: Vec<usize>,
}

impl<'a> Reference<'a> {
    fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, TrainError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| TrainError::content(path, error))?;
        Ok(Self { path, tensors })
    }

    fn unusable(&self, reason: &str) -> TrainError {
        TrainError::content(self.path, reason)
    }

    fn integers(&self, name: &str) -> Result<Option<(Vec<usize>, Vec<u32>)>, TrainError> {
        let Ok(tensor) = self.tensors.tensor(name) else { return Ok(None) };
        if tensor.dtype() != safetensors::Dtype::I64 {
            return Err(self.unusable(&format!("{name} is {:?}, not I64", tensor.dtype())));
        }
        let values = tensor.data().chunks_exact(8).map(|bytes| {
            let value = i64::from_le_bytes(bytes.try_into().unwrap_or_default());
            u32::try_from(value).map_err(|_| self.unusable(&format!("{name} has the value {value}")))
        });
        Ok(Some((tensor.shape().to_vec(), values.collect::<Result<_, _>>()?)))
    }

    fn floats(&self, name: &str) -> Result<Option<(Vec<usize>, Vec<f32>)>, TrainError> {
        let Ok(tensor) = self.tensors.tensor(name) else { return Ok(None) };
        if tensor.dtype() != safetensors::Dtype::F32 {
            return Err(self.unusable(&format!("{name} is {:?}, not F32", tensor.dtype())));
        }
        let values = tensor.data().chunks_exact(4);
        let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default()));
        Ok(Some((tensor.shape().to_vec(), values.collect())))
    }

    fn batch(&self, loaded: &Loaded, device: &Device) -> Result<TokenBatch, TrainError> {
        let (shape, ids) = self.integers("input_ids")?.ok_or_else(|| self.unusable("has no input_ids"))?;
        let [rows, seq] = shape[..] else { return Err(self.unusable("input_ids is not [batch, seq]")) };
        let same_shape = |name: &str, default: u32| match self.integers(name)? {
            Some((other, values)) if other == shape => Ok(values),
            Some((other, _)) => Err(self.unusable(&format!("{name} is {other:?}, input_ids is {shape:?}"))),
            None => Ok(vec![default; rows * seq]),
        };
        let (mask, type_ids) = (same_shape("attention_mask", 1)?, same_shape("token_type_ids", 0)?);
        let lengths: Vec<u32> = mask.chunks(seq.max(1)).map(|row| row.iter().sum()).collect();
        let on_the_right = mask
            .chunks(seq.max(1))
            .zip(&lengths)
            .all(|(row, &length)| length > 0 && row.iter().take(length as usize).all(|&one| one == 1));
        if !on_the_right {
            return Err(self.unusable("attention_mask must be ones, then zeros, with at least one 1 a row"));
        }
        let bounds = loaded.config.bounds();
        let highest = ids.iter().copied().max().unwrap_or(0) as usize;
        if highest >= bounds.vocab_size || seq > bounds.max_positions {
            return Err(self.unusable(&format!(
                "needs {} tokens and {seq} positions, the model has {} and {}",
                highest + 1,
                bounds.vocab_size,
                bounds.max_positions
            )));
        }
        Ok(TokenBatch::new(&ids, &type_ids, &lengths, seq, device))
    }
}

/// Over the positions that are not padding; a NaN counts as infinite.
fn largest<const D: usize>(
    reference: &Reference<'_>,
    name: &str,
    ours: Tensor<D>,
    shape: &[usize],
    theirs: &[f32],
    batch: &TokenBatch,
) -> Result<Difference, TrainError> {
    if ours.dims()[..] != *shape {
        return Err(reference.unusable(&format!("{name} is {shape:?}, the model gives {:?}", ours.dims())));
    }
    let mut worst = Difference { value: 0.0, position: vec![0; D] };
    for (index, (ours, theirs)) in ours.into_data().iter::<f32>().zip(theirs).enumerate() {
        let position = position(index, shape);
        if D == 3 && position[1] >= batch.lengths[position[0]] {
            continue;
        }
        let difference = f64::from((ours - theirs).abs());
        let difference = if difference.is_nan() { f64::INFINITY } else { difference };
        if difference > worst.value {
            worst = Difference { value: difference, position };
        }
    }
    Ok(worst)
}

fn position(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (axis, &size) in shape.iter().enumerate().rev() {
        position[axis] = index % size;
        index /= size;
    }
    position
}
