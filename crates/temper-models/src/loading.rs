//! Which stored tensor fills which parameter, and what is initialised randomly.

use std::collections::{BTreeSet, HashMap};

use burn::module::Module;

use crate::initial::fresh;
use crate::parameters::is_fixed;
use crate::weights::{Checkpoint, Layout, Place, Source, StoredParts, Target, fill, stored_shape};
use crate::{FamilyFacts, HeadFacts, HeadRequest, Misfits, ModelConfig, ModelError, Parameter, Parts};

/// Path of BERT's pooler, which a checkpoint may lack.
const POOLER: &str = "pooler.";
/// Paths of the map to the vocabulary, of which a tied model has none.
const OUTPUTS: [&str; 2] = ["head.output.weight", "head.tokens.output.weight"];

/// What wrappers of PyTorch put before every name.
const WRAPPERS: [(&str, &str); 3] = [
    ("module.", "torch.nn.DataParallel or DistributedDataParallel"),
    ("_orig_mod.", "torch.compile"),
    ("_forward_module.", "Lightning Fabric"),
];

/// The head that a model gets, and where its weights come from.
pub(crate) struct ResolvedHead {
    pub(crate) facts: Option<HeadFacts>,
    /// The parts of the backbone.
    pub(crate) parts: Parts,
    weights: HeadWeights,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HeadWeights {
    Stored,
    New {
        seed: u64,
    },
    /// What is stored; the rest is initialised randomly.
    StoredOrNew {
        seed: u64,
    },
}

impl ResolvedHead {
    pub(crate) fn of<B>(
        config: ModelConfig<B>,
        request: &HeadRequest,
    ) -> Result<(ModelConfig<B>, Self), ModelError> {
        let resolved = |config: ModelConfig<B>, facts: Option<HeadFacts>, weights| {
            if let Some(facts) = &facts
                && let Some(field) = facts.missing
            {
                let reason = format!("{field} is not a token id, and {} reads by it", facts.architecture);
                return Err(ModelError::Config { reason });
            }
            let parts = facts.as_ref().map_or_else(|| config.parts_without_head(), |facts| facts.parts);
            Ok((config, Self { facts, parts, weights }))
        };
        match request {
            HeadRequest::FromConfig => {
                let facts = config.head();
                resolved(config, facts, HeadWeights::Stored)
            }
            HeadRequest::None => resolved(config, None, HeadWeights::Stored),
            HeadRequest::New { task, labels, outputs, pooling, keep, seed } => {
                let is_kept = *keep && config.has_head(*task, labels, *outputs, *pooling);
                let config = config.with_head(*task, labels, *outputs, *pooling)?;
                let seed = *seed;
                let weights = match is_kept || task.is_language_model() {
                    true => HeadWeights::StoredOrNew { seed },
                    false => HeadWeights::New { seed },
                };
                let facts = config.head();
                resolved(config, facts, weights)
            }
        }
    }

    /// The same, with a map to the vocabulary of its own where the checkpoint has both this map and the
    /// token embedding and they differ: so does transformers 5, whatever the configuration says.
    pub(crate) fn untied(self, checkpoint: &Checkpoint, facts: &FamilyFacts) -> Result<Self, ModelError> {
        if !self.is_tied() {
            return Ok(self);
        }
        let stored = |paths: &[&str]| {
            let is_it = |name: &str| match target(name, facts, &self) {
                Some(Target::Parameters(place)) => paths.contains(&place.paths[0].as_str()),
                _ => false,
            };
            checkpoint.entries().into_iter().find(|entry| is_it(&entry.name))
        };
        let tied = stored(&OUTPUTS).zip(stored(&["token_embedding.weight"]));
        let Some((output, table)) = tied else { return Ok(self) };
        if checkpoint.values(&output.name)? == checkpoint.values(&table.name)? {
            return Ok(self);
        }
        let facts = self.facts.map(|facts| HeadFacts { kind: facts.kind.untied(), ..facts });
        Ok(Self { facts, ..self })
    }

    fn is_tied(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.kind.is_tied())
    }

    /// Seed of the random initialisation.
    pub(crate) fn seed(&self) -> u64 {
        match self.weights {
            HeadWeights::Stored => 0,
            HeadWeights::New { seed } | HeadWeights::StoredOrNew { seed } => seed,
        }
    }

    fn takes_stored(&self) -> bool {
        !matches!(self.weights, HeadWeights::New { .. })
    }
}

/// Which stored tensor fills which parameters.
pub(crate) struct Plan {
    filled: Vec<Place>,
    new: Vec<Parameter>,
    parameters: HashMap<String, Parameter>,
    pub(crate) dropped: Vec<String>,
}

pub(crate) fn plan(
    parameters: Vec<Parameter>,
    checkpoint: &Checkpoint,
    facts: &FamilyFacts,
    head: &ResolvedHead,
) -> Result<Plan, ModelError> {
    let wanted: HashMap<String, Parameter> =
        parameters.iter().map(|parameter| (parameter.path.clone(), parameter.clone())).collect();
    let (mut filled, mut new, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    let mut misfits = Misfits::default();
    let mut found = BTreeSet::new();
    for entry in checkpoint.entries() {
        match target(&entry.name, facts, head) {
            None => misfits.unexpected.push(entry.name),
            Some(Target::Ignored) => {}
            Some(Target::Foreign) => dropped.push(entry.name),
            Some(Target::Parameters(place)) => {
                let fills: Option<Vec<&Parameter>> =
                    place.paths.iter().map(|path| wanted.get(path)).collect();
                match fills {
                    None if is_left_out(&place.paths[0], head) => dropped.push(entry.name),
                    None if OUTPUTS.contains(&place.paths[0].as_str()) && head.is_tied() => {} // The token embedding.
                    None => misfits.unexpected.push(entry.name),
                    Some(_) if !entry.is_float => {
                        let (tensor, dtype) = (entry.name, entry.dtype);
                        let method = String::new();
                        return Err(ModelError::Quantized {
                            path: checkpoint.path.clone(),
                            tensor,
                            dtype,
                            method,
                        });
                    }
                    Some(parameters) => {
                        let shape = stored_shape(parameters.iter().copied(), place.layout);
                        if shape != entry.shape {
                            misfits.misshapen.push((entry.name, entry.shape, shape));
                        }
                        found.extend(place.paths.iter().cloned());
                        filled.push(place);
                    }
                }
            }
        }
    }
    for parameter in parameters.into_iter().filter(|parameter| !found.contains(&parameter.path)) {
        let is_head = parameter.path.starts_with("head.");
        let is_drawn = parameter.path.starts_with(POOLER) || (is_head && head.weights != HeadWeights::Stored);
        // A buffer that a checkpoint lacks is zero, as in transformers.
        if is_drawn || parameter.is_fixed() {
            new.push(parameter);
        } else {
            misfits.missing.push(parameter.path);
        }
    }
    if misfits.is_empty() {
        return Ok(Plan { filled, new, parameters: wanted, dropped });
    }
    let path = checkpoint.path.clone();
    match wrapper(&misfits) {
        Some((prefix, wrapper)) => Err(ModelError::Wrapped { path, prefix, wrapper }),
        None => Err(ModelError::Misfit { path, misfits }),
    }
}

/// The wrapper that every name comes from, if no tensor was of use.
fn wrapper(misfits: &Misfits) -> Option<(&'static str, &'static str)> {
    let names = &misfits.unexpected;
    let known = WRAPPERS.iter().find(|(prefix, _)| names.iter().all(|name| name.starts_with(prefix)));
    known.copied().filter(|_| !names.is_empty() && !misfits.missing.is_empty())
}

/// True for a part of the backbone that the head does not use.
fn is_left_out(path: &str, head: &ResolvedHead) -> bool {
    path.starts_with(POOLER) || (path.starts_with("decoder.") && !head.parts.decoder)
}

fn target(name: &str, facts: &FamilyFacts, head: &ResolvedHead) -> Option<Target> {
    let own: &[_] = match &head.facts {
        Some(head_facts) if head.takes_stored() => head_facts.rows,
        _ => &[],
    };
    let prefixes = facts.heads.iter().filter_map(|head| head.prefix).chain([facts.weights.prefix, ""]);
    let backbone = || {
        let mut bare = prefixes.filter_map(|prefix| name.strip_prefix(prefix));
        bare.find_map(|bare| facts.weights.rows.iter().find_map(|row| row.target(bare)))
    };
    let others = || {
        let rows = facts.heads.iter().flat_map(|head| head.rows).chain(facts.foreign);
        rows.into_iter().find_map(|row| row.target(name)).map(|target| match target {
            Target::Parameters(_) => Target::Foreign,
            other => other,
        })
    };
    let found = own.iter().find_map(|row| row.target(name)).or_else(backbone).or_else(others)?;
    Some(match found {
        // The file's name, not the one without its prefix.
        Target::Parameters(place) => Target::Parameters(Place { name: name.into(), ..place }),
        other => other,
    })
}

/// Fills a model as planned; returns the paths of what was initialised randomly.
pub(crate) fn fill_from<M: Module>(
    model: M,
    plan: Plan,
    checkpoint: &Checkpoint,
    facts: &FamilyFacts,
    head: &ResolvedHead,
) -> Result<(M, Vec<String>), ModelError> {
    let mut sources = HashMap::new();
    for place in plan.filled {
        let parameters = place.paths.iter().map(|path| plan.parameters[path].clone()).collect();
        let name = place.name.clone();
        sources.extend(StoredParts::new(checkpoint, name, place, parameters, facts.weights.groups).sources());
    }
    for parameter in &plan.new {
        let read = Box::new(move || Ok(fresh(parameter, facts, head.facts.as_ref(), head.seed())));
        sources.insert(parameter.path.clone(), Source { read, layout: Layout::Same });
    }
    let model = fill(model, sources)?;
    let new = plan.new.into_iter().map(|parameter| parameter.path).filter(|path| !is_fixed(path)).collect();
    Ok((model, new))
}
