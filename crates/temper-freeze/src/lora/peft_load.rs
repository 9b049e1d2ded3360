//! Reading adapters that PEFT wrote.

use std::collections::BTreeMap;
use std::path::Path;

use temper_models::layers::{LowRank, LowRankConfig};
use temper_models::weights::Checkpoint;
use temper_models::{BackboneModule, Model, ModelConfig};

use super::factors::Factors;
use super::modules::modules;
use super::peft_save::PREFIX;
use super::{ADAPTER_WEIGHTS, PeftConfig};
use crate::FreezeError;

/// An adapter in PEFT's layout, before it is put on a model.
pub struct PeftAdapter {
    /// What to compute.
    pub config: PeftConfig,
    weights: Checkpoint,
    /// `lora_A` and `lora_B` in the file, by transformers' module.
    factors: BTreeMap<String, [Option<String>; 2]>,
    /// Tensors that are stored whole: name in a checkpoint of the model, name in the file.
    whole: BTreeMap<String, String>,
}

impl PeftAdapter {
    /// Opens an adapter's folder.
    ///
    /// # Errors
    /// As [`PeftConfig::read`]; [`FreezeError::Adapter`] for tensors of another kind of adapter,
    /// [`FreezeError::Model`] for a file that cannot be read.
    pub fn open(dir: &Path) -> Result<Self, FreezeError> {
        let config = PeftConfig::read(dir)?;
        let safe = dir.join(ADAPTER_WEIGHTS);
        let file = if safe.is_file() { safe } else { dir.join("adapter_model.bin") };
        let weights = Checkpoint::open_file(&file)?;
        let mut adapter = Self { config, weights, factors: BTreeMap::new(), whole: BTreeMap::new() };
        for entry in adapter.weights.entries() {
            adapter.add(&entry.name).map_err(|reason| FreezeError::Adapter { path: file.clone(), reason })?;
        }
        Ok(adapter)
    }

    fn add(&mut self, name: &str) -> Result<(), String> {
        let bare = name.strip_prefix(PREFIX).ok_or(format!("{name} does not begin with {PREFIX}"))?;
        let factor = [".lora_A.weight", ".lora_B.weight"].iter().position(|suffix| bare.ends_with(suffix));
        match factor {
            Some(factor) => {
                let module = &bare[..bare.len() - ".lora_A.weight".len()];
                self.factors.entry(module.to_owned()).or_default()[factor] = Some(name.into());
            }
            None if bare.contains(".lora_") => {
                return Err(format!("{name} is of a kind of adapter that is not supported"));
            }
            None => {
                self.whole.insert(bare.into(), name.into());
            }
        }
        Ok(())
    }

    /// Shape of the tensor that the adapter stores whole under this name of a checkpoint, such as
    /// `classifier.weight`.
    pub fn shape_of(&self, stored: &str) -> Option<Vec<usize>> {
        let name = self.whole.get(stored)?;
        self.weights.entries().into_iter().find(|entry| entry.name == *name).map(|entry| entry.shape)
    }

    fn factors(&self, module: &str, sizes: [usize; 2]) -> Result<Factors, FreezeError> {
        let refuse = |reason: String| FreezeError::Adapter { path: self.weights.path.clone(), reason };
        let [Some(a), Some(b)] = &self.factors[module] else {
            return Err(refuse(format!("{module} has only one of lora_A and lora_B")));
        };
        let (rank, [inputs, outputs]) = (self.config.rank(module), sizes);
        let read = |name: &str, wanted: [usize; 2]| {
            let data = self.weights.values(name)?;
            if data.shape().as_slice() != wanted {
                let shape = data.shape();
                let reason = format!("{name} is {shape:?}, the model and rank {rank} want {wanted:?}");
                return Err(refuse(reason));
            }
            Ok(data.iter::<f32>().collect::<Vec<f32>>())
        };
        let scale = self.config.alpha(module) / rank as f64;
        Ok(Factors { a: read(a, [rank, inputs])?, b: read(b, [outputs, rank])?, rank, scale })
    }
}

/// Puts PEFT's adapter on its base model, and replaces what the adapter stores whole; gives the paths of
/// the parameters that were replaced.
///
/// An adapter of a fused map becomes one on each of our maps, with the same A and its rows of B.
///
/// # Errors
/// [`FreezeError::Adapter`] for modules that the model does not have and for shapes that differ,
/// [`FreezeError::Model`].
pub fn load_peft<B: BackboneModule>(
    mut model: Model<B>,
    config: &ModelConfig<B>,
    adapter: &PeftAdapter,
) -> Result<(Model<B>, Vec<String>), FreezeError> {
    let modules = modules(&mut model, config)?;
    let unknown: Vec<&str> =
        adapter.factors.keys().filter(|name| !modules.contains_key(*name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let reason = format!("the model has no linear modules {}", unknown.join(", "));
        return Err(FreezeError::Adapter { path: adapter.weights.path.clone(), reason });
    }
    let mut by_path = BTreeMap::new();
    for name in adapter.factors.keys() {
        let module = &modules[name];
        let factors = adapter.factors(name, module.sizes)?;
        for (path, ranges) in module.paths.iter().zip(&module.ranges) {
            let is_fused = module.paths.len() > 1;
            by_path.insert(path.clone(), if is_fused { factors.part(ranges) } else { factors.clone() });
        }
    }
    let dropout = adapter.config.lora_dropout;
    model.each_linear(&mut |path, linear| {
        let Some(factors) = by_path.remove(path) else { return };
        let config = LowRankConfig { rank: factors.rank, scale: factors.scale, dropout };
        let device = linear.weight.lazy_device();
        linear.adapter = Some(LowRank::new(path, factors.into_data(), config, &device));
    });
    Ok(model.with_stored(config, &adapter.weights, &adapter.whole)?)
}
