//! Putting PEFT's adapters on their base model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use temper_models::layers::{LowRank, LowRankConfig};
use temper_models::{BackboneModule, Misfits, Model, ModelConfig, ModelError};

use super::PeftAdapter;
use super::factors::Factors;
use super::modules::{Module, modules};
use super::peft_config::TrainedBias;
use super::peft_load::MERGE_WITH_PEFT;
use super::peft_ties::{names, tied, vocabulary_fields};
use crate::FreezeError;

/// A model with an adapter that PEFT wrote.
#[derive(Clone, Debug)]
pub struct Adapted<B: BackboneModule> {
    /// The model.
    pub model: Model<B>,
    /// Paths of the parameters that the adapter stores whole, and that are now its.
    pub replaced: Vec<String>,
    /// Fields of config.json that are others under the adapter, for `ModelConfig::with_fields`: the size of the
    /// vocabulary, and whether the output is tied to the token embedding.
    pub fields: Vec<(&'static str, Value)>,
}

/// Puts PEFT's adapter on its base model, and replaces what the adapter stores whole.
///
/// An adapter of a fused map becomes one on each of our maps, with the same A and its rows of B.
///
/// # Errors
/// [`FreezeError::AdapterMisfit`] with all that is in the file and not in the model, that the configuration
/// names and the file lacks, of which the shape differs, or that is not a number; [`FreezeError::Model`].
pub fn load_peft<B: BackboneModule>(
    mut model: Model<B>,
    config: &ModelConfig<B>,
    adapter: &PeftAdapter,
) -> Result<Adapted<B>, FreezeError> {
    let mut problems = Vec::new();
    let mut whole = adapter.whole.clone();
    let unties = tied(&mut model, config, adapter, &mut whole, &mut problems)?;
    let modules = modules(&mut model, config)?;
    problems.extend(unmatched(adapter, &modules));
    problems.extend(embeddings(&model, config, adapter));
    problems.extend(unstored(&model, config, adapter, &modules, &whole));
    let factors = factors(adapter, &modules, &mut problems);
    for name in whole.values() {
        adapter.values(name, &mut problems);
    }
    let replaced = model.with_stored(config, &adapter.weights, &whole);
    if let Err(ModelError::Misfit { misfits, .. }) = &replaced {
        problems.extend(misfit_lines(misfits));
    }
    if !problems.is_empty() {
        return Err(adapter.misfit(problems));
    }
    let (mut model, replaced) = replaced?;
    put_on(&mut model, factors, adapter.config.lora_dropout);
    let fields = vocabulary_fields(&model, config, unties);
    Ok(Adapted { model, replaced, fields })
}

/// The adapters by the paths of our maps.
fn factors(
    adapter: &PeftAdapter,
    modules: &BTreeMap<String, Module>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Factors> {
    let mut by_path = BTreeMap::new();
    for name in adapter.factors.keys() {
        let Some(module) = modules.get(name) else { continue };
        let Some(factors) = adapter.factors(name, module.sizes, problems) else { continue };
        for (path, ranges) in module.paths.iter().zip(&module.ranges) {
            let is_fused = module.paths.len() > 1;
            by_path.insert(path.clone(), if is_fused { factors.part(ranges) } else { factors.clone() });
        }
    }
    by_path
}

fn put_on<B: BackboneModule>(model: &mut Model<B>, mut factors: BTreeMap<String, Factors>, dropout: f64) {
    model.each_linear_and_head(&mut |path, linear| {
        let Some(factors) = factors.remove(path) else { return };
        let config = LowRankConfig { rank: factors.rank, scale: factors.scale, dropout };
        let device = linear.weight.lazy_device();
        linear.adapter = Some(LowRank::new(path, factors.into_data(), config, &device));
    });
}

/// Modules that only the file or only the configuration has.
fn unmatched(adapter: &PeftAdapter, modules: &BTreeMap<String, Module>) -> Vec<String> {
    let unknown = adapter.factors.keys().filter(|name| !modules.contains_key(*name));
    let mut lines: Vec<String> = unknown
        .map(|name| format!("{name} has an adapter, but the model has no such linear module"))
        .collect();
    if let (false, Some(known)) = (lines.is_empty(), modules.keys().next()) {
        lines.push(format!("the model's are called such as {known}; name the base model of this adapter"));
    }
    match adapter.config.targets.of(modules) {
        Err(problem) => lines.push(problem),
        Ok(None) => {}
        Ok(Some(named)) => {
            let named: BTreeSet<&str> = named.into_iter().collect();
            let missing = named.iter().filter(|name| !adapter.factors.contains_key(**name));
            lines.extend(missing.map(|name| {
                format!("{name} is among target_modules, but the file has neither lora_A nor lora_B of it")
            }));
            let stray = adapter.factors.keys().filter(|name| modules.contains_key(*name));
            lines.extend(stray.filter(|name| !named.contains(name.as_str())).map(|name| {
                format!(
                    "{name} has an adapter, but adapter_config.json does not name it (target_modules, \
                         exclude_modules, modules_to_save, layers_to_transform): PEFT would pass it over"
                )
            }));
        }
    }
    lines
}

/// Embeddings that should have an adapter. The file has none that could be read.
fn embeddings<B: BackboneModule>(
    model: &Model<B>,
    config: &ModelConfig<B>,
    adapter: &PeftAdapter,
) -> Vec<String> {
    let tables =
        model.parameters().parameters.into_iter().filter(|row| row.path.ends_with("embedding.weight"));
    let named = tables
        .filter_map(|row| model.stored_place(config, &row.path))
        .filter(|place| place.name.strip_suffix(".weight").is_some_and(|module| names(adapter, module)));
    named
        .map(|place| {
            let name = place.name;
            format!(
                "{name} is among target_modules; adapters of embeddings are not supported; {MERGE_WITH_PEFT}"
            )
        })
        .collect()
}

/// What the configuration says is stored whole, and is not in the file.
fn unstored<B: BackboneModule>(
    model: &Model<B>,
    config: &ModelConfig<B>,
    adapter: &PeftAdapter,
    modules: &BTreeMap<String, Module>,
    whole: &BTreeMap<String, String>,
) -> Vec<String> {
    let parameters = model.parameters().parameters;
    let names: BTreeSet<String> =
        parameters.iter().filter_map(|row| Some(model.stored_place(config, &row.path)?.name)).collect();
    let mut lines = Vec::new();
    for name in names.iter().filter(|name| !whole.contains_key(*name)) {
        if let Some(module) = adapter.saves(name) {
            lines.push(format!("{name} is of {module:?} in modules_to_save, but the file does not have it"));
        } else if is_missing_bias(adapter, modules, name) {
            lines.push(format!(
                "{name} was trained (bias in adapter_config.json), but the file does not have it; \
                 \"bias\": \"none\" merges the adapter without"
            ));
        }
    }
    lines
}

fn is_missing_bias(adapter: &PeftAdapter, modules: &BTreeMap<String, Module>, name: &str) -> bool {
    let Some(module) = name.strip_suffix(".bias") else { return false };
    match adapter.config.bias {
        TrainedBias::None => false,
        TrainedBias::LoraOnly => modules.contains_key(module) && adapter.factors.contains_key(module),
        TrainedBias::All => true,
    }
}

impl PeftAdapter {
    /// The entry of `modules_to_save` by which PEFT stores a tensor whole: the end of the name of a module that
    /// it is in.
    pub(super) fn saves(&self, stored: &str) -> Option<&str> {
        let ends = stored.match_indices('.').map(|(at, _)| &stored[..at]);
        let saved = &self.config.modules_to_save;
        ends.into_iter()
            .find_map(|module| saved.iter().find(|saved| module.ends_with(saved.as_str())))
            .map(String::as_str)
    }
}

fn misfit_lines(misfits: &Misfits) -> Vec<String> {
    let unexpected = misfits
        .unexpected
        .iter()
        .map(|name| format!("{name} is stored whole, but the model has no such tensor"));
    let missing = misfits.missing.iter().map(|name| {
        format!(
            "{name} has a row for each token, but the adapter brings another number of tokens and not this"
        )
    });
    let misshapen = misfits
        .misshapen
        .iter()
        .map(|(name, found, wanted)| format!("{name} is {found:?}, the model needs {wanted:?}"));
    unexpected.chain(missing).chain(misshapen).collect()
}
