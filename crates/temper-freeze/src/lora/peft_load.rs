//! Reading adapters that PEFT wrote.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use temper_models::weights::{Checkpoint, TensorEntry};

use super::factors::Factors;
use super::peft_save::PREFIX;
use super::{ADAPTER_WEIGHTS, PeftConfig};
use crate::FreezeError;

/// The name under which PEFT looks for pickled weights.
const PICKLED_WEIGHTS: &str = "adapter_model.bin";
/// Types that adapters are trained in.
const FLOATS: [&str; 4] = ["F32", "F16", "BF16", "F64"];
/// The tensor by which VeLoRA's backward pass compresses what it keeps; nothing else reads it.
const VELORA: &str = ".lora_velora_embed";

/// An adapter in PEFT's layout, before it is put on a model.
pub struct PeftAdapter {
    /// What to compute.
    pub config: PeftConfig,
    pub(super) weights: Checkpoint,
    entries: HashMap<String, TensorEntry>,
    /// `lora_A` and `lora_B` in the file, by transformers' module.
    pub(super) factors: BTreeMap<String, [Option<String>; 2]>,
    /// Tensors that are stored whole: name in a checkpoint of the model, name in the file.
    pub(super) whole: BTreeMap<String, String>,
}

impl PeftAdapter {
    /// Opens an adapter's folder.
    ///
    /// # Errors
    /// As [`PeftConfig::read`]; [`FreezeError::AdapterMisfit`] with every tensor of another kind of adapter, or
    /// where there is none; [`FreezeError::Adapter`] for a folder without weights, [`FreezeError::Model`] for a
    /// file that cannot be read.
    pub fn open(dir: &Path) -> Result<Self, FreezeError> {
        let config = PeftConfig::read(dir)?;
        let weights = Checkpoint::open_file(&weights_file(dir)?)?;
        let entries = weights.entries().into_iter().map(|entry| (entry.name.clone(), entry));
        let mut adapter = Self {
            config,
            entries: entries.collect(),
            weights,
            factors: BTreeMap::new(),
            whole: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        for entry in adapter.weights.entries() {
            problems.extend(adapter.add(&entry.name).err());
        }
        if adapter.entries.is_empty() {
            problems
                .push("holds no tensors: the adapter was saved without its weights; save it again".into());
        }
        adapter.checked(problems)
    }

    /// The adapter, or every problem of its file.
    pub(super) fn checked(self, problems: Vec<String>) -> Result<Self, FreezeError> {
        if problems.is_empty() { Ok(self) } else { Err(self.misfit(problems)) }
    }

    pub(super) fn misfit(&self, problems: Vec<String>) -> FreezeError {
        FreezeError::AdapterMisfit { path: self.weights.path.clone(), problems }
    }

    fn add(&mut self, name: &str) -> Result<(), String> {
        // Files that were not written by `save_pretrained` keep the adapter's name.
        let short = name.replacen(".default.weight", ".weight", 1);
        let bare = short.strip_prefix(PREFIX).ok_or(format!(
            "{name} does not begin with {PREFIX}: another program wrote it, PEFT would pass it over"
        ))?;
        let factor = [".lora_A.weight", ".lora_B.weight"].iter().position(|suffix| bare.ends_with(suffix));
        match factor {
            Some(factor) => {
                let module = &bare[..bare.len() - ".lora_A.weight".len()];
                self.factors.entry(module.to_owned()).or_default()[factor] = Some(name.into());
            }
            None if bare.ends_with(VELORA) || bare.contains(".original_module.") => {}
            None if bare.contains(".lora_embedding_") => {
                return Err(format!("{name}: adapters of embeddings are not supported; {MERGE_WITH_PEFT}"));
            }
            None if bare.contains(".lora_") || bare.contains(".token_adapter.") => {
                return Err(format!(
                    "{name} is of a kind of adapter that is not supported; {MERGE_WITH_PEFT}"
                ));
            }
            None => self.add_whole(bare, name),
        }
        Ok(())
    }

    /// PEFT stores the biases that are trained, and embeddings that were resized, under the wrappers' names.
    fn add_whole(&mut self, bare: &str, name: &str) {
        let stored = bare.replacen(".base_layer.", ".", 1).replacen(".modules_to_save.", ".", 1);
        if stored == bare {
            self.whole.insert(stored, name.into());
        } else {
            self.whole.entry(stored).or_insert_with(|| name.into());
        }
    }

    /// Shape of the tensor that the adapter stores whole under this name of a checkpoint, such as
    /// `classifier.weight`.
    pub fn shape_of(&self, stored: &str) -> Option<Vec<usize>> {
        Some(self.entries.get(self.whole.get(stored)?)?.shape.clone())
    }

    /// The values of a tensor of the file, if its type and its numbers are such as training gives.
    pub(super) fn values(&self, name: &str, problems: &mut Vec<String>) -> Option<Vec<f32>> {
        let dtype = self.entries.get(name).map(|entry| entry.dtype.clone())?;
        if !FLOATS.contains(&dtype.as_str()) {
            problems.push(format!("{name} is stored as {dtype}, not as one of {}", FLOATS.join(", ")));
            return None;
        }
        let read = self.weights.values(name).map_err(|error| problems.push(format!("{name}: {error}")));
        let values: Vec<f32> = read.ok()?.iter::<f32>().collect();
        if values.iter().any(|value| !value.is_finite()) {
            problems.push(format!("{name} holds NaN or infinite values: its training diverged"));
            return None;
        }
        Some(values)
    }

    /// The adapter of a module of these sizes.
    pub(super) fn factors(
        &self,
        module: &str,
        [inputs, outputs]: [usize; 2],
        problems: &mut Vec<String>,
    ) -> Option<Factors> {
        let rank = self.config.rank(module).map_err(|problem| problems.push(problem)).ok()?;
        let scale = self.config.scale(module).map_err(|problem| problems.push(problem)).ok()?;
        let mut read = |matrix: usize, wanted: [usize; 2]| {
            let Some(name) = &self.factors[module][matrix] else {
                problems.push(format!("{module} has no lora_{}", ["A", "B"][matrix]));
                return None;
            };
            let shape = &self.entries.get(name)?.shape;
            if shape.as_slice() != wanted {
                problems.push(misshapen(name, shape, wanted, rank));
                return None;
            }
            self.values(name, problems)
        };
        let [a, b] = [read(0, [rank, inputs]), read(1, [outputs, rank])];
        Some(Factors { a: a?, b: b?, rank, scale })
    }
}

/// What to do about adapters that only PEFT computes.
pub(super) const MERGE_WITH_PEFT: &str = "merge it with PEFT (`merge_and_unload`)";

fn misshapen(name: &str, shape: &[usize], wanted: [usize; 2], rank: usize) -> String {
    let text = format!("{name} is {shape:?}, the model and rank {rank} need {wanted:?}");
    if shape.contains(&0) {
        return text + "; a sharded run (ZeRO-3, FSDP) saved it without gathering its parts";
    }
    text
}

fn weights_file(dir: &Path) -> Result<PathBuf, FreezeError> {
    let names = [ADAPTER_WEIGHTS, PICKLED_WEIGHTS];
    let file = names.iter().map(|name| dir.join(name)).find(|file| file.is_file());
    file.ok_or_else(|| FreezeError::Adapter {
        path: dir.into(),
        reason: format!(
            "has no {}; copy the adapter's weights there, next to adapter_config.json",
            names.join(" or ")
        ),
    })
}
