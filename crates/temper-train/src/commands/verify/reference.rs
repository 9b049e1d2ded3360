//! A reference file: a model's inputs, and what another implementation made of them.

use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use safetensors::{Dtype, SafeTensors};
use temper_models::{HeadTask, Loaded, TokenBatch};

use crate::TrainError;

/// The label of a token that has none, as PyTorch's loss knows it.
const NO_LABEL: i64 = -100;

/// What a reference may contain besides outputs.
const INPUTS: [&str; 6] = [
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "decoder_input_ids",
    "decoder_attention_mask",
    "labels",
];

/// A parsed reference file.
pub(super) struct Reference<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

/// Ids and their shape, `[sequences, seq]`.
type Ids = (Vec<u32>, [usize; 2]);

/// Shape and values of a stored tensor.
pub(super) struct Stored<E> {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<E>,
}

/// Sequences padded on the right.
struct Rectangle {
    ids: Vec<u32>,
    /// `[sequences, seq]`
    shape: [usize; 2],
    /// Real tokens of each sequence.
    lengths: Vec<u32>,
}

impl<'a> Reference<'a> {
    pub(super) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, TrainError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| TrainError::content(path, error))?;
        Ok(Self { path, tensors })
    }

    /// An error that says what is wrong with the file.
    pub(super) fn unusable(&self, reason: impl std::fmt::Display) -> TrainError {
        TrainError::content(self.path, reason)
    }

    /// Every name but those of inputs, sorted.
    pub(super) fn outputs(&self) -> Vec<&str> {
        let mut names = self.tensors.names();
        names.retain(|name| !INPUTS.contains(name));
        names.sort_unstable();
        names
    }

    /// A tensor of floating-point numbers, of any width.
    pub(super) fn floats(&self, name: &str) -> Result<Option<Stored<f64>>, TrainError> {
        let known = |dtype| match dtype {
            Dtype::F64 => Some(DType::F64),
            Dtype::F32 => Some(DType::F32),
            Dtype::F16 => Some(DType::F16),
            Dtype::BF16 => Some(DType::BF16),
            _ => None,
        };
        self.stored(name, known, "F64, F32, F16 or BF16")
    }

    fn integers(&self, name: &str) -> Result<Option<Stored<i64>>, TrainError> {
        let known = |dtype| match dtype {
            Dtype::I64 => Some(DType::I64),
            Dtype::I32 => Some(DType::I32),
            Dtype::BOOL | Dtype::U8 => Some(DType::U8), // Masks.
            _ => None,
        };
        self.stored(name, known, "I64 or I32")
    }

    fn stored<E: burn::tensor::Element>(
        &self,
        name: &str,
        known: impl Fn(Dtype) -> Option<DType>,
        allowed: &str,
    ) -> Result<Option<Stored<E>>, TrainError> {
        let Ok(tensor) = self.tensors.tensor(name) else { return Ok(None) };
        let Some(dtype) = known(tensor.dtype()) else {
            return Err(self.unusable(format!("{name} is {:?}, not {allowed}", tensor.dtype())));
        };
        let shape = tensor.shape().to_vec();
        let data = TensorData::from_bytes_vec(tensor.data().to_vec(), shape.clone(), dtype);
        Ok(Some(Stored { shape, values: data.iter::<E>().collect() }))
    }

    /// Numbers of at least 0, such as ids.
    fn ids(&self, name: &str) -> Result<Option<Stored<u32>>, TrainError> {
        let Some(Stored { shape, values }) = self.integers(name)? else { return Ok(None) };
        let id =
            |value| u32::try_from(value).map_err(|_| self.unusable(format!("{name} has the value {value}")));
        Ok(Some(Stored { shape, values: values.into_iter().map(id).collect::<Result<_, _>>()? }))
    }

    /// The same of a tensor that has to have a given shape.
    fn ids_of_shape(&self, name: &str, shape: [usize; 2]) -> Result<Option<Vec<u32>>, TrainError> {
        match self.ids(name)? {
            Some(stored) if stored.shape == shape => Ok(Some(stored.values)),
            Some(stored) => {
                Err(self.unusable(format!("{name} is {:?}, its ids are {shape:?}", stored.shape)))
            }
            None => Ok(None),
        }
    }

    /// What the model is to read.
    pub(super) fn batch(&self, loaded: &Loaded, device: &Device) -> Result<TokenBatch, TrainError> {
        let input = self.input()?.ok_or_else(|| self.unusable("has no input_ids"))?;
        self.check_bounds("input_ids", &input, loaded)?;
        let types = self.segments(&input, loaded)?;
        let batch = TokenBatch::from_padded(&input.ids, &types, &input.lengths, input.shape[1], device);
        let Some(decoder) = self.decoder(&input, loaded)? else { return Ok(batch) };
        if !has_decoder(loaded) {
            return Err(self.unusable("has decoder_input_ids, but the model has no decoder"));
        }
        self.check_bounds("decoder_input_ids", &decoder, loaded)?;
        let types = vec![0; decoder.ids.len()];
        let [_, seq] = decoder.shape;
        Ok(batch.with_decoder(TokenBatch::from_padded(&decoder.ids, &types, &decoder.lengths, seq, device)))
    }

    fn input(&self) -> Result<Option<Rectangle>, TrainError> {
        let Some((ids, shape)) = self.rectangle("input_ids")? else { return Ok(None) };
        let lengths = match self.mask("attention_mask", shape)? {
            Some(lengths) => lengths,
            None => full(shape),
        };
        Ok(Some(Rectangle { ids, shape, lengths }))
    }

    /// What the decoder reads: as long as its mask says, else as its labels say.
    fn decoder(&self, input: &Rectangle, loaded: &Loaded) -> Result<Option<Rectangle>, TrainError> {
        let Some((ids, shape)) = self.rectangle("decoder_input_ids")? else { return Ok(None) };
        if shape[0] != input.shape[0] {
            return Err(
                self.unusable(format!("decoder_input_ids is {shape:?}, input_ids is {:?}", input.shape))
            );
        }
        let lengths = match (self.mask("decoder_attention_mask", shape)?, self.labelled(shape)?) {
            (Some(lengths), _) | (None, Some(lengths)) => lengths,
            // A decoder that classifies or marks a span reads the text itself.
            (None, None) if shape == input.shape && !generates(loaded) => input.lengths.clone(),
            (None, None) => full(shape),
        };
        Ok(Some(Rectangle { ids, shape, lengths }))
    }

    fn rectangle(&self, name: &str) -> Result<Option<Ids>, TrainError> {
        let Some(stored) = self.ids(name)? else { return Ok(None) };
        match stored.shape[..] {
            [sequences, seq] if sequences > 0 && seq > 0 => Ok(Some((stored.values, [sequences, seq]))),
            _ => Err(self.unusable(format!("{name} is {:?}, not [batch, seq]", stored.shape))),
        }
    }

    /// Lengths that a mask gives.
    fn mask(&self, name: &str, shape: [usize; 2]) -> Result<Option<Vec<u32>>, TrainError> {
        let Some(mask) = self.ids_of_shape(name, shape)? else { return Ok(None) };
        let rows = mask.chunks(shape[1]).enumerate();
        let lengths = rows.map(|(row, mask)| {
            length_of(mask).map_err(|reason| self.unusable(format!("{name}, row {row}: {reason}")))
        });
        lengths.collect::<Result<_, _>>().map(Some)
    }

    /// Lengths that labels give, where they are labels of the decoder's tokens: up to the last that is one.
    fn labelled(&self, shape: [usize; 2]) -> Result<Option<Vec<u32>>, TrainError> {
        let Some(labels) = self.integers("labels")?.filter(|labels| labels.shape == shape) else {
            return Ok(None);
        };
        let length = |row: &[i64]| row.iter().rposition(|&label| label != NO_LABEL).unwrap_or(0) as u32 + 1;
        Ok(Some(labels.values.chunks(shape[1]).map(length).collect()))
    }

    fn segments(&self, input: &Rectangle, loaded: &Loaded) -> Result<Vec<u32>, TrainError> {
        let types = self.ids_of_shape("token_type_ids", input.shape)?;
        let types = types.unwrap_or_else(|| vec![0; input.ids.len()]);
        let parameters = loaded.model.parameters().parameters;
        let table = parameters.iter().find(|parameter| parameter.path == "type_embedding.weight");
        let segments = table.map_or(1, |table| table.shape[0]);
        match types.iter().max() {
            Some(&highest) if highest as usize >= segments => Err(self
                .unusable(format!("token_type_ids go up to {highest}, the model has {segments} segments"))),
            _ => Ok(types),
        }
    }

    fn check_bounds(&self, name: &str, read: &Rectangle, loaded: &Loaded) -> Result<(), TrainError> {
        let bounds = loaded.config.bounds();
        let rows = read.ids.chunks(read.shape[1]).zip(&read.lengths);
        let highest = rows.flat_map(|(row, &length)| &row[..length as usize]).max();
        let highest = highest.copied().unwrap_or(0);
        if highest as usize >= bounds.vocab_size {
            let reason = format!("{name} go up to {highest}, the model has {} tokens", bounds.vocab_size);
            return Err(self.unusable(reason));
        }
        let longest = read.lengths.iter().copied().max().unwrap_or(0);
        if longest as usize > bounds.max_positions {
            let reason = format!(
                "{name} has {longest} tokens in a row, the model has {} positions",
                bounds.max_positions
            );
            return Err(self.unusable(reason));
        }
        Ok(())
    }
}

/// Whether there is a decoder after an encoder.
pub(super) fn has_decoder(loaded: &Loaded) -> bool {
    let parameters = loaded.model.parameters().parameters;
    let any = |part: &str| parameters.iter().any(|parameter| parameter.path.starts_with(part));
    any("encoder.") && any("decoder.")
}

/// True if the decoder has a text of its own.
fn generates(loaded: &Loaded) -> bool {
    loaded.config.head().is_none_or(|head| head.kind.task() == HeadTask::Seq2SeqLm)
}

fn full([sequences, seq]: [usize; 2]) -> Vec<u32> {
    vec![seq as u32; sequences]
}

/// Ones of a row that is padded on the right, or what is wrong with it.
fn length_of(mask: &[u32]) -> Result<u32, &'static str> {
    let (real, padding) = mask.split_at(mask.iter().take_while(|&&one| one == 1).count());
    if mask.iter().any(|&value| value > 1) {
        return Err("is not of zeros and ones");
    }
    match (real.len(), padding.contains(&1)) {
        (0, false) => Err("hides every token"),
        (0, true) => Err("is padded on the left; write a reference that is padded on the right"),
        (_, true) => Err("has a hole; write a reference that is padded on the right"),
        (length, false) => Ok(length as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_padding_on_the_right_has_a_length() {
        assert_eq!(length_of(&[1, 1, 0]), Ok(2));
        assert_eq!(length_of(&[1]), Ok(1));
        for (mask, word) in
            [([0, 1, 1], "left"), ([1, 0, 1], "hole"), ([0, 0, 0], "hides"), ([1, 2, 0], "zeros and ones")]
        {
            assert!(length_of(&mask).unwrap_err().contains(word), "{mask:?}");
        }
    }
}
