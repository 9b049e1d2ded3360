//! What adapters need of a model: its linear maps, and single parameters under their stored names.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::layers::{Linear, LinearWalk};
use crate::parameters::is_adapter;
use crate::weights::{
    Checkpoint, Place, Row, StoredParts, StoredTensors, Target, fill, stored_shape, stored_tensors,
};
use crate::{BackboneModule, Misfits, Model, ModelConfig, ModelError, Parameter};

/// The parameter that is looked up by token.
const TOKEN_EMBEDDING: &str = "token_embedding.weight";
/// Of a head that gives logits of the vocabulary: what has a number, or a column, a token.
const VOCABULARY: [&str; 4] =
    ["head.output.weight", "head.bias", "head.tokens.output.weight", "head.tokens.bias"];

impl<B: BackboneModule> Model<B> {
    /// Shows every linear map of the backbone with its path, such as `layers.0.attention.query`.
    ///
    /// The head's are not among them: a head is new for its task and trains whole.
    pub fn each_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        self.backbone.walk_linears(&mut LinearWalk::new(visit));
    }

    /// As [`Self::each_linear`], and the head's, such as `head.output`.
    pub fn each_linear_and_head(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        self.each_linear(visit);
        if let Some(head) = &mut self.head {
            LinearWalk::new(visit).part("head", head);
        }
    }

    /// Whether any linear map has an adapter.
    pub fn has_adapters(&self) -> bool {
        self.parameters().parameters.iter().any(|parameter| is_adapter(&parameter.path))
    }

    /// Whether the head's map to the vocabulary is the token embedding.
    pub fn is_tied(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.is_tied())
    }

    /// Gives a tied head a map of its own with the values of the token embedding; false where the logits would
    /// be others then. The configuration has to say so, too: `tie_word_embeddings` is false.
    pub fn untie(&mut self) -> bool {
        let table = self.backbone.token_table();
        self.head.as_mut().is_some_and(|head| head.untie(table))
    }

    /// Rows of the token embedding.
    pub fn vocabulary(&self) -> usize {
        self.backbone.token_table().dims()[0]
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
    /// `names` leads from the name in a checkpoint of this model to the name in the file. A token embedding may
    /// have another number of rows, if all that depends on the vocabulary is replaced with it.
    ///
    /// # Errors
    /// [`ModelError::Misfit`] with every name that no parameter needs and every shape that differs;
    /// [`ModelError::BrokenFile`].
    pub fn with_stored(
        self,
        config: &ModelConfig<B>,
        file: &Checkpoint,
        names: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<String>), ModelError> {
        let shapes: HashMap<String, Vec<usize>> =
            file.entries().into_iter().map(|entry| (entry.name, entry.shape)).collect();
        let places = self.places(config, |name| shapes.get(names.get(name)?).cloned());
        let own = self.parameters().parameters.into_iter();
        let own: HashMap<String, Vec<usize>> =
            own.map(|parameter| (parameter.path, parameter.shape)).collect();
        let mut unused: BTreeMap<&String, &String> = names.iter().collect();
        let (mut sources, mut misfits) = (HashMap::new(), Misfits::default());
        for (place, parameters) in places {
            let Some(name) = unused.remove(&place.name) else {
                if own.get(&place.paths[0]) != Some(&parameters[0].shape) {
                    misfits.missing.push(place.name);
                }
                continue;
            };
            let (shape, wanted) = (shapes.get(name), stored_shape(parameters.iter(), place.layout));
            if shape != Some(&wanted) {
                misfits.misshapen.push((name.clone(), shape.cloned().unwrap_or_default(), wanted));
                continue;
            }
            let groups = config.facts().weights.groups;
            sources.extend(StoredParts::new(file, name.clone(), place, parameters, groups).sources());
        }
        unused.retain(|name, _| !config.is_copy(name));
        misfits.unexpected.extend(unused.into_values().cloned());
        if !misfits.is_empty() {
            return Err(ModelError::Misfit { path: file.path.clone(), misfits });
        }
        let paths = sources.keys().cloned().collect();
        Ok((fill(self, sources)?, paths))
    }

    /// Every stored tensor of the model and its parameters; of as many tokens as the embedding has in the
    /// file, of which `shape` gives shapes by their names in a checkpoint.
    fn places(
        &self,
        config: &ModelConfig<B>,
        shape: impl Fn(&str) -> Option<Vec<usize>>,
    ) -> Vec<(Place, Vec<Parameter>)> {
        let table = self.stored_place(config, TOKEN_EMBEDDING);
        let tokens = table.and_then(|table| shape(&table.name)?.first().copied());
        let is_head = self.head.as_ref().is_some_and(|head| head.language_model().is_some());
        let parameters = self.parameters().parameters.into_iter().map(|parameter| {
            let path = parameter.path.as_str();
            let is_vocabulary = path == TOKEN_EMBEDDING || (is_head && VOCABULARY.contains(&path));
            (parameter.path.clone(), with_tokens(parameter, tokens.filter(|_| is_vocabulary)))
        });
        let parameters: BTreeMap<String, Parameter> = parameters.collect();
        let places = parameters.keys().filter_map(|path| {
            let place = self.stored_place(config, path)?;
            let parts: Option<Vec<Parameter>> =
                place.paths.iter().map(|path| parameters.get(path).cloned()).collect();
            Some((place.name.clone(), (place, parts?)))
        });
        places.collect::<BTreeMap<_, _>>().into_values().collect()
    }
}

/// A parameter with another number of tokens: of the embedding `[tokens, hidden]`, of the head's `[.., tokens]`.
fn with_tokens(mut parameter: Parameter, tokens: Option<usize>) -> Parameter {
    let axis = if parameter.path == TOKEN_EMBEDDING { 0 } else { parameter.shape.len().saturating_sub(1) };
    if let (Some(tokens), Some(size)) = (tokens, parameter.shape.get_mut(axis)) {
        *size = tokens;
    }
    parameter
}

impl<B> ModelConfig<B> {
    /// Whether a stored tensor is a buffer, or the bias of a tied map under its second name.
    fn is_copy(&self, name: &str) -> bool {
        let head = self.head();
        let own: &[Row] = head.as_ref().map_or(&[], |head| head.rows);
        let prefixes = head.iter().filter_map(|head| head.prefix).chain([self.facts().weights.prefix, ""]);
        let mut bare = prefixes.filter_map(|prefix| name.strip_prefix(prefix));
        let ignores =
            |rows: &[Row], name: &str| rows.iter().any(|row| row.target(name) == Some(Target::Ignored));
        // A copy of a matrix may differ from it.
        !name.ends_with(".weight")
            && (ignores(own, name) || bare.any(|bare| ignores(self.facts().weights.rows, bare)))
    }
}

impl ModelConfig {
    /// The same configuration with some fields of config.json changed.
    ///
    /// # Errors
    /// As [`ModelConfig::read`], for what the family does not honour.
    pub fn with_fields(&self, fields: &[(&str, Value)]) -> Result<Self, ModelError> {
        let mut raw = self.raw().clone();
        raw.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        crate::registry::parse(raw)
    }
}
