//! Adapters under their own paths: exact, whatever is fused where.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use temper_models::layers::{LowRank, LowRankConfig};
use temper_models::weights::{Checkpoint, StoredTensor, write_tensors};
use temper_models::{BackboneModule, Misfits, Model, ModelError};

use super::LoraSettings;
use crate::FreezeError;

/// Writes every adapter of a model under its parameters' paths.
///
/// # Errors
/// [`ModelError::Write`]; the file is complete or absent.
pub fn save_own<B: BackboneModule>(model: &Model<B>, file: &Path) -> Result<(), FreezeError> {
    let mut tensors = BTreeMap::new();
    model.clone().each_linear(&mut |path, linear| {
        let Some(adapter) = &linear.adapter else { return };
        for (field, factor) in [("a", &adapter.a), ("b", &adapter.b)] {
            let values: Vec<f32> = factor.val().into_data().iter::<f32>().collect();
            let stored = StoredTensor::new(factor.lazy_shape().as_slice().to_vec(), values);
            tensors.insert(format!("{path}.adapter.{field}"), stored);
        }
    });
    Ok(write_tensors(&tensors, file)?)
}

/// Puts the adapters of a file that [`save_own`] wrote on a model; scale and dropout are the settings'.
///
/// # Errors
/// [`ModelError::Misfit`] when the file is of another model or of another rank,
/// [`ModelError::BrokenFile`].
pub fn load_own<B: BackboneModule>(
    mut model: Model<B>,
    settings: &LoraSettings,
    file: &Path,
) -> Result<Model<B>, FreezeError> {
    let checkpoint = Checkpoint::open_file(file)?;
    let entries = checkpoint.entries();
    let mut unused: BTreeMap<String, Vec<usize>> =
        entries.into_iter().map(|entry| (entry.name, entry.shape)).collect();
    let (mut misfits, mut failed) = (Misfits::default(), None);
    let config = settings.low_rank();
    model.each_linear(&mut |path, linear| {
        let name = |field: &str| format!("{path}.adapter.{field}");
        let shapes = ["a", "b"].map(|field| unused.remove(&name(field)));
        if shapes == [None, None] {
            return;
        }
        let [inputs, outputs] = linear.sizes();
        let wanted = [vec![inputs, config.rank], vec![config.rank, outputs]];
        for (field, (found, wanted)) in ["a", "b"].into_iter().zip(shapes.iter().zip(&wanted)) {
            if found.as_ref() != Some(wanted) {
                misfits.misshapen.push((name(field), found.clone().unwrap_or_default(), wanted.clone()));
            }
        }
        if !misfits.is_empty() {
            return;
        }
        let read = [checkpoint.values(&name("a")), checkpoint.values(&name("b"))];
        match read {
            [Ok(a), Ok(b)] => linear.adapter = Some(adapter(path, [a, b], config, linear)),
            [Err(error), _] | [_, Err(error)] => failed = Some(error),
        }
    });
    misfits.unexpected.extend(unused.into_keys());
    match failed {
        Some(error) => Err(error.into()),
        None if misfits.is_empty() => Ok(model),
        None => Err(ModelError::Misfit { path: file.into(), misfits }.into()),
    }
}

fn adapter(
    path: &str,
    factors: [TensorData; 2],
    config: LowRankConfig,
    linear: &temper_models::layers::Linear,
) -> LowRank {
    LowRank::new(path, factors, config, &linear.weight.lazy_device())
}
