//! What adapters need of a model: its linear maps, and single parameters under their stored names.

use std::collections::{BTreeMap, HashMap};

use crate::layers::{Linear, LinearWalk};
use crate::loading::stored_shape;
use crate::parameters::is_adapter;
use crate::weights::{Checkpoint, Place, Source, StoredTensors, fill, stored_tensors};
use crate::{BackboneModule, Misfits, Model, ModelConfig, ModelError};

impl<B: BackboneModule> Model<B> {
    /// Shows every linear map of the backbone with its path, such as `layers.0.attention.query`.
    ///
    /// The head's are not among them: a head is new for its task and trains whole.
    pub fn each_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        self.backbone.walk_linears(&mut LinearWalk::new(visit));
    }

    /// Whether any linear map has an adapter.
    pub fn has_adapters(&self) -> bool {
        self.parameters().parameters.iter().any(|parameter| is_adapter(&parameter.path))
    }

    /// Where a parameter is stored in a checkpoint of this model; adapters are in none.
    pub fn stored_place(&self, config: &ModelConfig<B>, path: &str) -> Option<Place> {
        match self.head {
            Some(_) => config.stored_place(path),
            None => config.stored_place_without_head(path),
        }
    }

    /// The parameters that `wanted` picks by their path, as a checkpoint has them.
    ///
    /// # Errors
    /// [`ModelError::Unmapped`] for a parameter that no checkpoint has.
    pub fn stored(
        &self,
        config: &ModelConfig<B>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<StoredTensors, ModelError> {
        let groups = config.facts().weights.groups;
        stored_tensors(self, wanted, |path| self.stored_place(config, path), groups)
    }

    /// The model with some parameters replaced by tensors of a file, and the paths of these parameters.
    ///
    /// `names` leads from the name in a checkpoint of this model to the name in the file.
    ///
    /// # Errors
    /// [`ModelError::Misfit`] with every name that no parameter wants, or that is fused of several, and
    /// every shape that differs; [`ModelError::BrokenFile`].
    pub fn with_stored(
        self,
        config: &ModelConfig<B>,
        file: &Checkpoint,
        names: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<String>), ModelError> {
        let shapes: HashMap<String, Vec<usize>> =
            file.entries().into_iter().map(|entry| (entry.name, entry.shape)).collect();
        let mut unused: BTreeMap<&String, &String> = names.iter().collect();
        let (mut sources, mut misfits) = (HashMap::new(), Misfits::default());
        for parameter in self.parameters().parameters {
            let Some(place) = self.stored_place(config, &parameter.path) else { continue };
            if place.paths.len() > 1 {
                continue;
            }
            let Some(name) = unused.remove(&place.name) else { continue };
            let wanted = stored_shape(&[&parameter], place.layout);
            match shapes.get(name) {
                Some(shape) if *shape == wanted => {
                    let source = Source { data: file.values(name)?, layout: place.layout };
                    sources.insert(parameter.path, source);
                }
                shape => {
                    misfits.misshapen.push((name.clone(), shape.cloned().unwrap_or_default(), wanted));
                }
            }
        }
        misfits.unexpected.extend(unused.into_values().cloned());
        if !misfits.is_empty() {
            return Err(ModelError::Misfit { path: file.path.clone(), misfits });
        }
        let paths = sources.keys().cloned().collect();
        Ok((fill(self, sources), paths))
    }
}
