use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use temper_models::{Backbone, HeadRequest, Loaded, Mode, Model, Rows, TokenBatch};

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

/// The outputs that can be compared.
const OUTPUTS: [&str; 2] = ["last_hidden_state", "logits"];

/// Outputs of other heads and families, which a reference may hold too.
const OTHER_OUTPUTS: [&str; 5] = [
    "encoder_last_hidden_state",
    "start_logits",
    "end_logits",
    "prediction_logits",
    "seq_relationship_logits",
];

/// Runs the command: one line a tensor, and a verdict.
///
/// # Errors
/// [`TrainError::Verification`] above the tolerance; [`TrainError::File`] for a reference that
/// cannot be used.
pub fn verify(args: &VerifyArgs) -> Result<(), TrainError> {
    let device = backend(args.backend)?.device()?;
    let bytes =
        std::fs::read(&args.reference).map_err(|error| TrainError::content(&args.reference, error))?;
    let reference = Reference::parse(&args.reference, &bytes)?;
    let local = LocalModel::find(&args.sources.hub(true), &args.model)?;
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
    let batch = reference.batch(&loaded, &device)?;
    let mut worst: Option<(&str, f64)> = None;
    for name in OUTPUTS {
        let Some((shape, theirs)) = reference.floats(name)? else { continue };
        let compare = Comparison { reference: &reference, name, shape: &shape, theirs: &theirs };
        let difference = match name {
            "last_hidden_state" => {
                let states = loaded.model.backbone.forward(&batch, Rows::All, Mode::Evaluate);
                compare.largest_of_tokens(states, &batch)?
            }
            _ => match loaded.model.classify(&batch, Mode::Evaluate) {
                Some(logits) => compare.largest(logits)?,
                None => return Err(reference.unusable("has logits, but the model has no head")),
            },
        };
        let Difference { value, position } = difference;
        println!("{name:<20} largest absolute difference {value:.3e} at {position:?}");
        if worst.is_none_or(|(_, before)| value > before) {
            worst = Some((name, value));
        }
    }
    for name in reference.others() {
        println!("{name:<20} not compared: this model has no such output");
    }
    verdict(&reference, worst, args.tolerance)
}

fn verdict(reference: &Reference<'_>, worst: Option<(&str, f64)>, tolerance: f64) -> Result<(), TrainError> {
    match worst {
        None => Err(reference.unusable(&format!("has none of {}", OUTPUTS.join(", ")))),
        Some((name, difference)) if difference > tolerance => {
            Err(TrainError::Verification { what: name.into(), difference, tolerance })
        }
        Some(_) => {
            println!("verified: nothing differs by more than {tolerance:e}");
            Ok(())
        }
    }
}

/// Shape and values of a stored tensor.
type Stored<E> = (Vec<usize>, Vec<E>);

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

    /// Names of outputs that are known, but not of this model.
    fn others(&self) -> impl Iterator<Item = &str> {
        OTHER_OUTPUTS.into_iter().filter(|name| self.tensors.tensor(name).is_ok())
    }

    fn integers(&self, name: &str) -> Result<Option<Stored<u32>>, TrainError> {
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

    fn floats(&self, name: &str) -> Result<Option<Stored<f32>>, TrainError> {
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
        Ok(TokenBatch::from_padded(&ids, &type_ids, &lengths, seq, device))
    }
}

/// One output beside its reference.
struct Comparison<'a> {
    reference: &'a Reference<'a>,
    name: &'a str,
    shape: &'a [usize],
    theirs: &'a [f32],
}

impl Comparison<'_> {
    /// Of `[sequences, labels]`.
    fn largest(&self, ours: Tensor<2>) -> Result<Difference, TrainError> {
        self.check_shape(&ours.dims())?;
        Ok(self.worst(ours, 0..self.theirs.len()))
    }

    /// Of the packed `[tokens, hidden]` beside the padded `[sequences, seq, hidden]`.
    fn largest_of_tokens(&self, ours: Tensor<2>, batch: &TokenBatch) -> Result<Difference, TrainError> {
        let (hidden, sequences) = (ours.dims()[1], batch.sequences.count());
        let seq = self.theirs.len() / (sequences * hidden).max(1);
        self.check_shape(&[sequences, seq, hidden])?;
        let places = batch.sequences.ranges().enumerate().flat_map(|(sequence, range)| {
            let first = sequence * seq * hidden;
            first..first + range.len() * hidden
        });
        Ok(self.worst(ours, places))
    }

    fn check_shape(&self, ours: &[usize]) -> Result<(), TrainError> {
        let (name, shape) = (self.name, self.shape);
        if ours == shape {
            return Ok(());
        }
        Err(self.reference.unusable(&format!("{name} is {shape:?}, the model gives {ours:?}")))
    }

    /// `places` says where each of our values stands in theirs; a NaN counts as infinite.
    fn worst(&self, ours: Tensor<2>, places: impl Iterator<Item = usize>) -> Difference {
        let mut worst = Difference { value: 0.0, position: vec![0; self.shape.len()] };
        for (ours, place) in ours.into_data().iter::<f32>().zip(places) {
            let difference = f64::from((ours - self.theirs[place]).abs());
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            if difference > worst.value {
                worst = Difference { value: difference, position: position(place, self.shape) };
            }
        }
        worst
    }
}

fn position(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (axis, &size) in shape.iter().enumerate().rev() {
        position[axis] = index % size;
        index /= size;
    }
    position
}
