//! `temper embed`.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;
use temper_data::{
    EncodeSettings, EncodedSet, TextTokenizer, UnlabelledText, collate, encode_all, plan_evaluation,
};
use temper_models::{Backbone, HeadRequest, Model, TextPooling, TokenBatch, embed as pool};

use super::text_groups::{TextGroup, TextGroups};
use super::texts::PairChoice;
use super::{TextOptions, compute_on};
use crate::device::backend::Backend;
use crate::model::sentence::SentenceModel;
use crate::tasks::Inputs;
use crate::terminal::{print, say};
use crate::{CutOptions, LocalModel, PrecisionSetting, SourceOptions, TrainError};

/// Turn texts into vectors
#[derive(Clone, Debug, clap::Args)]
pub struct EmbedArgs {
    /// Name (minilm), Hub id (org/name), folder or run of a model
    pub model: String,
    /// Which texts
    #[command(flatten)]
    pub texts: TextOptions,
    /// How a text's hidden states are pooled into one vector: mean (over its tokens), cls (the first), last, max,
    /// mean-sqrt-len, weighted-mean; by default as the model's modules.json says, else mean
    #[arg(long)]
    pub pooling: Option<TextPooling>,
    /// Scale each vector to length 1 (true or false); by default as modules.json says
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub normalize: Option<bool>,
    /// A text to put before each text; by default the one that config_sentence_transformers.json names
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Name of such a text in config_sentence_transformers.json
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    pub prompt_name: Option<String>,
    /// A .npy (f32, one row for each text) or .jsonl file; without it, one JSON object for each text on stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How texts are cut
    #[command(flatten)]
    pub cut: CutOptions,
    /// Tokens in one forward pass
    #[arg(long, default_value_t = 4096)]
    pub max_tokens_per_batch: usize,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs), bf16 or int8 (CPUs); auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// How embeddings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EmbedFormat {
    Npy,
    Jsonl,
}

/// A line of a .jsonl file.
#[derive(Serialize)]
struct EmbedLine<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_pair: Option<&'a str>,
    embedding: &'a [f32],
}

/// How a vector is made of a text.
struct EmbedRecipe {
    poolings: Vec<TextPooling>,
    normalize: bool,
    prompt: String,
    /// Whether the tokens of the prompt are pooled, too.
    include_prompt: bool,
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
    let encoding = local.encoding()?;
    let sentence = sentence_model(args, &local)?;
    let recipe = recipe(args, sentence.as_ref())?;
    let columns = encoding.columns();
    if columns.is_some_and(|columns| columns.contains_key("text_pair")) {
        say("note: the model was trained on pairs of texts; the vectors are of what is given");
    }
    let texts = args.texts.open(columns, Inputs::TEXTS, PairChoice::Asked, &[])?;
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
    let bounds = loaded.config.bounds();
    let of_sentences = sentence.as_ref().and_then(|sentence| sentence.max_seq_length);
    let asked = CutOptions {
        max_seq_length: args
            .cut
            .max_seq_length
            .or(of_sentences.map(|length| length.min(bounds.max_positions))),
        ..args.cut
    };
    let (cut, notices) = encoding.cut(&asked, bounds.max_positions)?;
    notices.iter().for_each(|notice| say(&format!("note: {notice}")));
    let mut tokenizer = local.tokenizer(bounds.vocab_size)?;
    if sentence.is_some_and(|sentence| sentence.do_lower_case) {
        tokenizer = tokenizer.lowercasing()?;
    }
    let skipped = if recipe.include_prompt { 0 } else { prompt_tokens(&recipe.prompt, &tokenizer, &cut)? };
    let groups =
        TextGroups::new(texts, &tokenizer, cut, args.max_tokens_per_batch).with_prompt(&recipe.prompt);
    let model = loaded.model.with_precision(precision).packed();
    let embedder =
        Embedder { backbone: &model.backbone, recipe, skipped, tokens: args.max_tokens_per_batch, device };
    embedder.write_all(groups, args.output.as_deref().zip(format))
}

/// What the folder says of sentences, unless the flags leave nothing of it to be asked.
fn sentence_model(args: &EmbedArgs, local: &LocalModel) -> Result<Option<SentenceModel>, TrainError> {
    match (SentenceModel::read(&local.dir), args.pooling) {
        (Err(error @ TrainError::File { .. }), Some(pooling)) => {
            say(&format!("note: {error}; --pooling {pooling} is used without it"));
            Ok(None)
        }
        (read, _) => read,
    }
}

/// The flags, else what the folder says, else a mean.
fn recipe(args: &EmbedArgs, sentence: Option<&SentenceModel>) -> Result<EmbedRecipe, TrainError> {
    let named = args.prompt_name.as_deref();
    let prompt = match (&args.prompt, sentence, named) {
        (Some(prompt), ..) => prompt.clone(),
        (None, Some(sentence), _) => sentence.prompt(named)?,
        (None, None, Some(name)) => {
            return Err(TrainError::Usage(format!(
                "the model has no config_sentence_transformers.json with a prompt named {name}; --prompt gives one of your own"
            )));
        }
        (None, None, None) => String::new(),
    };
    let own = || sentence.map_or_else(|| vec![TextPooling::default()], |sentence| sentence.poolings.clone());
    Ok(EmbedRecipe {
        poolings: args.pooling.map_or_else(own, |pooling| vec![pooling]),
        normalize: args.normalize.unwrap_or_else(|| sentence.is_some_and(|sentence| sentence.normalize)),
        prompt,
        include_prompt: sentence.is_none_or(|sentence| sentence.include_prompt),
    })
}

/// Tokens of a prompt before a text: those of the prompt, without a special token after it.
fn prompt_tokens(prompt: &str, tokenizer: &TextTokenizer, cut: &EncodeSettings) -> Result<usize, TrainError> {
    if prompt.is_empty() {
        return Ok(0);
    }
    let encoded = encode_all(tokenizer, &[(prompt, None)], cut, None)?;
    let ids = encoded.items.first().map_or(&[][..], |item| &item.ids);
    let is_special = |id: &u32| tokenizer.special().named().iter().any(|(_, special)| *special == Some(*id));
    Ok(ids.len() - usize::from(ids.last().is_some_and(is_special)))
}

/// What makes vectors of texts.
struct Embedder<'a, B> {
    backbone: &'a B,
    recipe: EmbedRecipe,
    /// Tokens at the beginning of each text that are not pooled.
    skipped: usize,
    /// Tokens computed at once.
    tokens: usize,
    device: Device,
}

impl<B: Backbone> Embedder<'_, B> {
    fn write_all(
        &self,
        mut groups: TextGroups<'_>,
        output: Option<(&Path, EmbedFormat)>,
    ) -> Result<(), TrainError> {
        let result = match output {
            None => groups.by_ref().try_for_each(|group| {
                let (texts, embeddings, end) = self.vectors(group?);
                print(&jsonl(&texts, &embeddings)?)?;
                end
            }),
            Some((path, EmbedFormat::Jsonl)) => temper_files::fill(path, |file| {
                groups.by_ref().try_for_each(|group| {
                    let (texts, embeddings, end) = self.vectors(group?);
                    let lines = jsonl(&texts, &embeddings)?;
                    file.write_all(lines.as_bytes()).map_err(|error| TrainError::file(path, error))?;
                    end
                })
            }),
            Some((path, EmbedFormat::Npy)) => {
                temper_files::fill(path, |file| self.write_npy(&mut groups, file.as_file_mut(), path))
            }
        };
        if let Some(notice) = groups.notice() {
            say(&notice);
        }
        result
    }

    /// The number of rows is in the header: it is written again at the end.
    fn write_npy(&self, groups: &mut TextGroups<'_>, file: &mut File, path: &Path) -> Result<(), TrainError> {
        let failed = |error: std::io::Error| TrainError::file(path, error);
        let width = self.recipe.poolings.len() * self.backbone.hidden_size();
        file.write_all(&npy_header(0, width)).map_err(failed)?;
        let mut rows = 0;
        for group in groups {
            let (_, embeddings, end) = self.vectors(group?);
            let values = embeddings.iter().flatten().flat_map(|value| value.to_le_bytes());
            file.write_all(&values.collect::<Vec<u8>>()).map_err(failed)?;
            rows += embeddings.len();
            end?;
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(&npy_header(rows, width)).map_err(failed)
    }

    /// The vectors of a group's texts, up to one that is not finite.
    fn vectors(&self, group: TextGroup) -> (Vec<UnlabelledText>, Vec<Vec<f32>>, Result<(), TrainError>) {
        let TextGroup { mut texts, encoded, .. } = group;
        let EmbedRecipe { poolings, normalize, .. } = &self.recipe;
        let pooling = Pooled { poolings, skipped: self.skipped };
        let mut embeddings = embeddings(self.backbone, &encoded, &pooling, self.tokens, &self.device);
        let bad = embeddings.iter().position(|embedding| embedding.iter().any(|value| !value.is_finite()));
        let end = match bad {
            Some(row) => {
                let place = format!("row {}", texts[row].row);
                let error = TrainError::not_finite("the model's vectors", &place, &texts[row].text);
                texts.truncate(row);
                embeddings.truncate(row);
                Err(error)
            }
            None => Ok(()),
        };
        if *normalize {
            embeddings.iter_mut().for_each(|embedding| self::normalize(embedding));
        }
        (texts, embeddings, end)
    }
}

/// What is pooled.
#[derive(Clone, Copy, Debug)]
pub struct Pooled<'a> {
    /// How; the vectors of several follow each other.
    pub poolings: &'a [TextPooling],
    /// Tokens at the beginning of each text that do not count.
    pub skipped: usize,
}

/// One vector an encoded text, in their order.
pub fn embeddings(
    backbone: &impl Backbone,
    encoded: &EncodedSet,
    pooled: &Pooled<'_>,
    tokens_per_batch: usize,
    device: &Device,
) -> Vec<Vec<f32>> {
    let mut embeddings = vec![Vec::new(); encoded.items.len()];
    for indices in plan_evaluation(&encoded.lengths(), tokens_per_batch) {
        let batch = collate(encoded, &indices);
        let tokens = TokenBatch::new(&batch.ids, &batch.type_ids, &batch.lengths, device);
        let vectors = pool(backbone, &tokens, pooled.poolings, pooled.skipped);
        let [_, width] = vectors.dims();
        let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
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

fn format_of(file: &Path) -> Result<EmbedFormat, TrainError> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(EmbedFormat::Npy),
        Some("jsonl") => Ok(EmbedFormat::Jsonl),
        _ => {
            Err(TrainError::Usage(format!("--output {} ends neither in .npy nor in .jsonl", file.display())))
        }
    }
}

fn jsonl(texts: &[UnlabelledText], embeddings: &[Vec<f32>]) -> Result<String, TrainError> {
    let mut lines = String::new();
    for (text, embedding) in texts.iter().zip(embeddings) {
        let row = EmbedLine { text: &text.text, text_pair: text.pair.as_deref(), embedding };
        lines += &serde_json::to_string(&row).map_err(|error| TrainError::file("embeddings", error))?;
        lines.push('\n');
    }
    Ok(lines)
}

/// The beginning of a file in NumPy's format, version 1.0: magic, length of the header, header.
///
/// It is padded to 128 bytes, whatever the number of rows, so that it can be written before this is known.
fn npy_header(rows: usize, width: usize) -> Vec<u8> {
    const BEFORE_HEADER: usize = 10;
    const LENGTH: usize = 128 - BEFORE_HEADER;
    let shape = format!("({rows}, {width})");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((LENGTH as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = LENGTH - 1).as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_written_as_numpy_reads_it() {
        let bytes = npy_header(3, 2);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let header = std::str::from_utf8(&bytes[10..128]).expect("text");
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
        assert!(header.ends_with('\n'));
        assert_eq!(bytes.len(), 128);
        assert_eq!(npy_header(usize::MAX, usize::MAX).len(), 128);
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
