//! `temper embed`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;
use temper_data::{
    EncodeSettings, EncodedSet, TextInput, Truncation, UnlabelledText, collate, encode_all, plan_evaluation,
};
use temper_models::{Backbone, HeadRequest, Model, TextPooling, TokenBatch, embed as pool};

use super::{TextOptions, compute_on, max_seq_length};
use crate::backend::Backend;
use crate::terminal::{print, say};
use crate::{LocalModel, PrecisionSetting, SourceOptions, TrainError};

/// Turn texts into vectors
#[derive(Clone, Debug, clap::Args)]
pub struct EmbedArgs {
    /// Name (minilm), Hub id (org/name), folder or run of a model
    pub model: String,
    /// Which texts
    #[command(flatten)]
    pub texts: TextOptions,
    /// What of a text's hidden states stands for it: mean (over its tokens), cls (the first), last
    #[arg(long, default_value_t)]
    pub pooling: TextPooling,
    /// Scale each vector to length 1
    #[arg(long)]
    pub normalize: bool,
    /// A .npy (f32, a row a text) or .jsonl file; without it, one JSON object a text on stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Tokens a text, special tokens included
    #[arg(long)]
    pub max_seq_length: Option<usize>,
    /// Tokens computed at once
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// What matrix products compute in: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// How embeddings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Npy,
    Jsonl,
}

/// A line of a .jsonl file.
#[derive(Serialize)]
struct Row<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_pair: Option<&'a str>,
    embedding: &'a [f32],
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn embed(args: &EmbedArgs) -> Result<(), TrainError> {
    let format = args.output.as_deref().map(format_of).transpose()?;
    let (device, precision) = compute_on(args.backend, args.precision)?;
    let local = LocalModel::find(&args.sources.hub(true), &args.model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let texts = args.texts.read()?;
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
    let bounds = loaded.config.bounds();
    let max_length = max_seq_length(args.max_seq_length, &local, bounds.max_positions)?;
    let tokenizer = local.tokenizer(bounds.vocab_size)?;
    let inputs: Vec<TextInput<'_>> = texts.iter().map(UnlabelledText::input).collect();
    let settings = EncodeSettings { max_length, truncation: Truncation::Head };
    let encoded = encode_all(&tokenizer, &inputs, &settings, None)?;
    if encoded.truncated_examples > 0 {
        say(&format!(
            "{} of {} texts were cut to {max_length} tokens",
            encoded.truncated_examples,
            texts.len()
        ));
    }
    let backbone = &loaded.model.with_precision(precision).backbone;
    let mut embeddings = embeddings(backbone, &encoded, args.pooling, args.max_tokens_per_batch, &device);
    if args.normalize {
        embeddings.iter_mut().for_each(|embedding| normalize(embedding));
    }
    match (&args.output, format) {
        (Some(file), Some(Format::Npy)) => {
            Ok(temper_files::write(file, &npy(&embeddings, backbone.hidden_size()))?)
        }
        (Some(file), _) => Ok(temper_files::write(file, jsonl(&texts, &embeddings)?.as_bytes())?),
        (None, _) => print(&jsonl(&texts, &embeddings)?),
    }
}

/// One vector an encoded text, in their order.
pub fn embeddings(
    backbone: &impl Backbone,
    encoded: &EncodedSet,
    pooling: TextPooling,
    tokens_per_batch: usize,
    device: &Device,
) -> Vec<Vec<f32>> {
    let mut embeddings = vec![Vec::new(); encoded.items.len()];
    for indices in plan_evaluation(&encoded.lengths(), tokens_per_batch) {
        let batch = collate(encoded, &indices);
        let tokens = TokenBatch::new(&batch.ids, &batch.type_ids, &batch.lengths, device);
        let pooled = pool(backbone, &tokens, pooling);
        let [_, width] = pooled.dims();
        let values: Vec<f32> = pooled.into_data().iter::<f32>().collect();
        for (example, row) in batch.examples.into_iter().zip(values.chunks(width)) {
            embeddings[example] = row.to_vec();
        }
    }
    embeddings
}

fn normalize(embedding: &mut [f32]) {
    let length = embedding.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        embedding.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

fn format_of(file: &Path) -> Result<Format, TrainError> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(Format::Npy),
        Some("jsonl") => Ok(Format::Jsonl),
        _ => {
            Err(TrainError::Usage(format!("--output {} ends neither in .npy nor in .jsonl", file.display())))
        }
    }
}

fn jsonl(texts: &[UnlabelledText], embeddings: &[Vec<f32>]) -> Result<String, TrainError> {
    let mut lines = String::new();
    for (text, embedding) in texts.iter().zip(embeddings) {
        let row = Row { text: &text.text, text_pair: text.pair.as_deref(), embedding };
        lines += &serde_json::to_string(&row).map_err(|error| TrainError::file("embeddings", error))?;
        lines.push('\n');
    }
    Ok(lines)
}

/// NumPy's file format, version 1.0: magic, length of the header, header, values.
///
/// The header ends at a multiple of 64 bytes, so that the values are aligned.
fn npy(embeddings: &[Vec<f32>], width: usize) -> Vec<u8> {
    const BEFORE_HEADER: usize = 10;
    let shape = format!("({}, {width})", embeddings.len());
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = (BEFORE_HEADER + header.len() + 1).next_multiple_of(64) - BEFORE_HEADER;
    header = format!("{header:<width$}\n", width = padded - 1);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(embeddings.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_written_as_numpy_reads_it() {
        let bytes = npy(&[vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]], 2);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let header = std::str::from_utf8(&bytes[10..128]).expect("text");
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
        assert!(header.ends_with('\n'));
        assert_eq!(bytes.len(), 128 + 6 * 4);
        assert_eq!(bytes[128..132], 1.0_f32.to_le_bytes());
    }

    #[test]
    fn a_vector_gets_length_1_and_zeros_stay() {
        let mut vector = [3.0, -4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut zeros = [0.0, 0.0];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0, 0.0]);
    }
}
