//! `temper merge`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use temper_freeze::lora::{self, PeftAdapter, load_peft};
use temper_models::{HeadRequest, HeadTask, Loaded, Model, ModelConfig, Pooling};

use super::backend;
use crate::adapters::compare_merged;
use crate::backend::Backend;
use crate::terminal::{print_line, say};
use crate::{LocalModel, SourceOptions, TrainError};

/// Add an adapter (PEFT's LoRA) to its model's weights: a plain model, which needs no adapter any more
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArgs {
    /// The adapter's base model: name (bert), Hub id (org/name), folder or run
    pub model: String,
    #[command(flatten)]
    options: AdapterOptions,
}

/// Take an adapter (PEFT's LoRA) out of a merged model's weights: the reverse of merge
#[derive(Clone, Debug, clap::Args)]
pub struct UnmergeArgs {
    /// The merged model: folder or run
    pub model: String,
    #[command(flatten)]
    options: AdapterOptions,
}

#[derive(Clone, Debug, clap::Args)]
struct AdapterOptions {
    /// The adapter's folder, with adapter_config.json
    adapter: PathBuf,
    /// The folder to write; it must not exist
    out: PathBuf,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    backend: Option<Backend>,
    /// Where files may come from
    #[command(flatten)]
    sources: SourceOptions,
}

/// Runs `temper merge`.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::Verification`] where the merged model computes something else.
pub fn merge(args: &MergeArgs) -> Result<(), TrainError> {
    run(&args.model, &args.options, |adapted| {
        let merged = lora::merge(adapted.clone());
        [adapted, merged.clone(), merged]
    })
}

/// Runs `temper unmerge`.
///
/// # Errors
/// As [`merge`]. That the adapter is the one that was merged cannot be seen; that its maps fit can.
pub fn unmerge(args: &UnmergeArgs) -> Result<(), TrainError> {
    run(&args.model, &args.options, |adapted| {
        let unmerged = lora::unmerge(adapted.clone());
        let base = without_adapters(unmerged.clone());
        [without_adapters(adapted), unmerged, base]
    })
}

/// Loads model and adapter, makes of them two models that should compute the same and the one to write.
fn run(
    model: &str,
    options: &AdapterOptions,
    make: impl FnOnce(Model) -> [Model; 3],
) -> Result<(), TrainError> {
    if options.out.exists() {
        return Err(TrainError::Usage(format!(
            "{} exists already; name a new folder",
            options.out.display()
        )));
    }
    let adapter = PeftAdapter::open(&options.adapter)?;
    let local = LocalModel::find(&options.sources.hub(false), model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let device = backend(options.backend)?.device()?;
    let (adapted, config) = adapted(&local.dir, &options.adapter, &adapter, &device)?;
    let [before, after, written] = make(adapted);
    let difference = compare_merged(&before, &after, config.bounds())?;
    temper_files::publish_new(&options.out, |dir| {
        written.save(&config, dir)?;
        copy_tokenizer(&local.dir, dir)
    })?;
    print_line(&format!("largest difference of the logits, beside the largest logit: {difference:.1e}"))?;
    print_line(&format!("model: {}", options.out.display()))?;
    Ok(())
}

/// The base model under the adapter's head, with the adapter.
fn adapted(
    model: &Path,
    folder: &Path,
    adapter: &PeftAdapter,
    device: &Device,
) -> Result<(Model, ModelConfig), TrainError> {
    let config = ModelConfig::read(model)?;
    let request = head_request(&config, folder, adapter)?;
    let config = padded_as(config, folder)?;
    let Loaded { model, config, new, .. } = Model::load_with(config, model, &request, device)?;
    let (model, replaced) = load_peft(model, &config, adapter)?;
    let random: Vec<&str> = new.iter().filter(|path| !replaced.contains(path)).map(String::as_str).collect();
    if random.is_empty() {
        return Ok((model, config));
    }
    Err(TrainError::Usage(format!(
        "neither the model nor the adapter in {} has {}; these would be random",
        folder.display(),
        random.join(", ")
    )))
}

/// The configuration with the padding token that the adapter was trained with, where a config.json beside it says so:
/// a decoder's classifier reads by it.
fn padded_as(config: ModelConfig, folder: &Path) -> Result<ModelConfig, TrainError> {
    if !config.reads_by_padding() || !folder.join("config.json").is_file() {
        return Ok(config);
    }
    match ModelConfig::read(folder)?.padding() {
        Some(id) => Ok(config.with_padding(id)?),
        None => Ok(config),
    }
}

/// The head that the adapter was trained under: the one that a config.json beside it names, or one for its
/// task type, or the model's own.
fn head_request(
    config: &ModelConfig,
    folder: &Path,
    adapter: &PeftAdapter,
) -> Result<HeadRequest, TrainError> {
    let new = |task, labels, pooling| HeadRequest::New { task, labels, pooling, seed: 0 };
    if folder.join("config.json").is_file() {
        let beside = ModelConfig::read(folder)?;
        return Ok(match beside.head() {
            Some(head) => new(head.kind.task(), beside.labels()?, beside.pooling()),
            None => HeadRequest::None,
        });
    }
    let task = match adapter.config.task_type.as_deref() {
        Some("SEQ_CLS") => HeadTask::SequenceClassification,
        Some("TOKEN_CLS") => HeadTask::TokenClassification,
        Some("QUESTION_ANS") => HeadTask::QuestionAnswering,
        _ => return Ok(HeadRequest::FromConfig),
    };
    if config.head().is_some_and(|head| head.kind.task() == task) {
        return Ok(HeadRequest::FromConfig);
    }
    let head = config.facts().heads.iter().find(|head| head.kind.task() == task);
    let output = head.and_then(|head| head.rows.iter().find_map(|row| row.place_of("head.output.weight")));
    // [labels, hidden]
    let count = output.and_then(|place| adapter.shape_of(&place.name)).map_or(0, |shape| shape[0]);
    let named = config.labels()?;
    let labels = match named.len() == count {
        true => named,
        false => (0..count).map(|label| format!("LABEL_{label}")).collect(),
    };
    Ok(new(task, labels, Pooling::Pooler))
}

fn without_adapters(mut model: Model) -> Model {
    model.each_linear(&mut |_, linear| linear.adapter = None);
    model
}

/// The files beside the weights that a model is used with, as they are.
fn copy_tokenizer(from: &Path, to: &Path) -> Result<(), TrainError> {
    const FILES: [&str; 9] = [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "generation_config.json",
    ];
    for name in FILES.iter().filter(|name| from.join(name).is_file()) {
        std::fs::copy(from.join(name), to.join(name))
            .map_err(|error| TrainError::file(from.join(name), error))?;
    }
    Ok(())
}
