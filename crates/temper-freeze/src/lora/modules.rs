//! The linear maps of a model as transformers' modules: names, and which of ours each holds.

use std::collections::BTreeMap;
use std::ops::Range;

use temper_models::weights::Layout;
use temper_models::{BackboneModule, Model, ModelConfig};

use crate::FreezeError;

/// Path of the map that gives the logits.
pub(super) const OUTPUT_MAP: &str = "head.output";

/// A linear module of transformers.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// Paths of our maps in it; more than one where they are fused.
    pub(super) paths: Vec<String>,
    /// For each of them the outputs of the module that are its.
    pub(super) ranges: Vec<Vec<Range<usize>>>,
    /// Inputs and outputs of the module.
    pub(super) sizes: [usize; 2],
    /// Whether it is GPT's `Conv1D`, which stores `[in, out]`.
    pub(super) is_conv1d: bool,
}

impl Module {
    /// Whether it gives the logits, of labels or of the vocabulary.
    pub(super) fn is_output(&self) -> bool {
        self.paths.iter().any(|path| path == OUTPUT_MAP || path == "head.tokens.output")
    }
}

/// Every linear module by its name, such as `bert.encoder.layer.0.attention.self.query`, the head's included.
pub(super) fn modules<B: BackboneModule>(
    model: &mut Model<B>,
    config: &ModelConfig<B>,
) -> Result<BTreeMap<String, Module>, FreezeError> {
    let mut sizes = BTreeMap::new();
    model.each_linear_and_head(&mut |path, linear| {
        sizes.insert(path.to_owned(), linear.sizes());
    });
    let groups = config.facts().weights.groups;
    let mut modules = BTreeMap::new();
    for path in sizes.keys() {
        let weight = format!("{path}.weight");
        let place = model.stored_place(config, &weight);
        let named = place.as_ref().and_then(|place| Some((place.name.strip_suffix(".weight")?, place)));
        let Some((name, place)) = named else {
            return Err(temper_models::ModelError::Unmapped { path: weight }.into());
        };
        let paths: Vec<String> =
            place.paths.iter().map(|path| path.trim_end_matches(".weight").to_owned()).collect();
        let parts: Vec<[usize; 2]> = paths.iter().filter_map(|path| sizes.get(path).copied()).collect();
        let outputs: Vec<usize> = parts.iter().map(|part| part[1]).collect();
        let module = Module {
            ranges: place.fusion.ranges(&outputs, groups),
            sizes: [parts[0][0], outputs.iter().sum()],
            is_conv1d: place.layout == Layout::Same,
            paths,
        };
        modules.insert(name.to_owned(), module);
    }
    Ok(modules)
}
