//! `temper merge`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use temper_freeze::lora::{self, Adapted, PeftAdapter, load_peft};
use temper_hub::Resolved;
use temper_models::{AnyBackbone, Loaded, Model, ModelConfig};

use super::adapter_head::head_request;
use super::backend;
use crate::device::backend::Backend;
use crate::model::adapters::compare_merged;
use crate::model::files::{copy_settings, copy_tokenizer, has_tokenizer};
use crate::terminal::{print_line, say};
use crate::{LocalModel, SourceOptions, TrainError};

/// Add an adapter (PEFT's LoRA) to its model's weights, which gives a plain model without an adapter
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
    run(&args.model, &args.options, MergeDirection::Into)
}

/// Runs `temper unmerge`.
///
/// # Errors
/// As [`merge`]. That the adapter is the one that was merged cannot be seen; that its maps fit can.
pub fn unmerge(args: &UnmergeArgs) -> Result<(), TrainError> {
    run(&args.model, &args.options, MergeDirection::OutOf)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MergeDirection {
    Into,
    OutOf,
}

impl MergeDirection {
    /// Two models that should compute the same, and the one to write.
    fn models(self, adapted: Model) -> [Model; 3] {
        match self {
            Self::Into => {
                let merged = lora::merge(adapted.clone());
                [adapted, merged.clone(), merged]
            }
            Self::OutOf => {
                let unmerged = lora::unmerge(adapted.clone());
                let base = without_adapters(unmerged.clone());
                [without_adapters(adapted), unmerged, base]
            }
        }
    }
}

fn run(model: &str, options: &AdapterOptions, direction: MergeDirection) -> Result<(), TrainError> {
    if options.out.exists() {
        return Err(TrainError::Usage(format!(
            "{} exists already; name a new folder",
            options.out.display()
        )));
    }
    let adapter = PeftAdapter::open(&options.adapter)?;
    let local = LocalModel::find(&options.sources.hub(false), model)?;
    let device = backend(options.backend)?.device()?;
    let (adapted, config) = adapted(&local.dir, &options.adapter, &adapter, &device)?;
    let notices = [local.resolved.notice(), other_base(&adapter, &local)];
    let kept = (direction == MergeDirection::OutOf).then(|| not_taken_out(&adapted.replaced)).flatten();
    for notice in notices.into_iter().flatten().chain(kept) {
        say(&notice);
    }
    let [before, after, written] = direction.models(adapted.model);
    let difference = compare_merged(&before, &after, config.bounds())?;
    let tokenizer = if has_tokenizer(&options.adapter) { &options.adapter } else { &local.dir };
    temper_files::publish_new(&options.out, |dir| {
        written.save(&config, dir)?;
        copy_tokenizer(tokenizer, dir)?;
        copy_settings(&local.dir, dir)
    })?;
    print_line(&format!(
        "largest difference of the logits, relative to the largest logit: {difference:.1e}"
    ))?;
    for (name, value) in &adapted.fields {
        print_line(&format!("config.json, as the adapter asks for it: {name} = {value}"))?;
    }
    if has_tokenizer(tokenizer) {
        print_line(&format!("tokenizer: of {}", tokenizer.display()))?;
    }
    print_line(&format!("model: {}", options.out.display()))?;
    Ok(())
}

/// The base model under the adapter's head, with the adapter, and its configuration.
fn adapted(
    model: &Path,
    folder: &Path,
    adapter: &PeftAdapter,
    device: &Device,
) -> Result<(Adapted<AnyBackbone>, ModelConfig), TrainError> {
    let config = ModelConfig::read(model)?;
    let request = head_request(&config, folder, adapter)?;
    let config = padded_as(config, folder)?;
    let Loaded { model, config, new, .. } = Model::load_with(config, model, &request, device)?;
    let adapted = load_peft(model, &config, adapter)?;
    let random: Vec<&str> =
        new.iter().filter(|path| !adapted.replaced.contains(path)).map(String::as_str).collect();
    if !random.is_empty() {
        return Err(TrainError::Usage(format!(
            "neither the model nor the adapter in {} has {}; these would be random",
            folder.display(),
            random.join(", ")
        )));
    }
    let config = config.with_fields(&adapted.fields)?;
    Ok((adapted, config))
}

/// The configuration with the padding token that the adapter was trained with, where a config.json next to it says so:
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

/// What to say where the adapter names another base model than this.
fn other_base(adapter: &PeftAdapter, local: &LocalModel) -> Option<String> {
    let config = &adapter.config;
    let base = config.base_model.as_deref().filter(|base| !base.is_empty())?;
    let last = |name: &str| name.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    let Resolved { name, id, revision, .. } = &local.resolved;
    let is_same = [name, id].iter().any(|name| last(name) == last(base));
    let wanted = config.revision.as_deref().filter(|wanted| !["", "main"].contains(wanted));
    let is_other_revision = wanted.is_some_and(|wanted| revision.as_deref() != Some(wanted));
    if is_same && !is_other_revision {
        return None;
    }
    let of = wanted.map(|wanted| format!(", revision {wanted}")).unwrap_or_default();
    Some(format!(
        "notice: the adapter was trained on {base}{of}; whether {id} is the same model cannot be seen"
    ))
}

/// The notice about parameters that a merged model has only from the adapter.
fn not_taken_out(replaced: &[String]) -> Option<String> {
    (!replaced.is_empty()).then(|| {
        let mut paths: Vec<&str> = replaced.iter().map(String::as_str).collect();
        paths.sort_unstable();
        format!(
            "notice: the adapter stores {} whole; what the base had there is in neither of the two, so it stays",
            paths.join(", ")
        )
    })
}

fn without_adapters(mut model: Model) -> Model {
    model.each_linear_and_head(&mut |_, linear| linear.adapter = None);
    model
}
