//! Adapters on a model, into its weights, and out of them.

use temper_models::layers::LowRank;
use temper_models::{BackboneModule, Model};

use super::LoraSettings;
use super::targets::Targets;
use crate::FreezeError;

/// Puts an adapter on every linear map that the settings name; it adds nothing until it is trained.
///
/// Maps whose weight is among `new` get none: what is initialised randomly trains whole. The draw depends on
/// the seed and each map's path.
///
/// # Errors
/// [`FreezeError::Target`] for a target that no map has, with the names that there are;
/// [`FreezeError::TargetPattern`], [`FreezeError::NoTargets`].
pub fn attach<B: BackboneModule>(
    mut model: Model<B>,
    settings: &LoraSettings,
    new: &[String],
    seed: u64,
) -> Result<Model<B>, FreezeError> {
    let mut targets = Targets::new(&settings.target_modules)?;
    model.each_linear(&mut |path, linear| {
        if targets.pick(path) && !new.contains(&format!("{path}.weight")) {
            let device = linear.weight.lazy_device();
            linear.adapter = Some(LowRank::draw(path, linear.sizes(), settings.low_rank(), seed, &device));
        }
    });
    targets.check()?;
    Ok(model)
}

/// Adds every adapter to its weight, `W + s A B`, and takes the adapter off: the same model, plain.
#[must_use]
pub fn merge<B: BackboneModule>(mut model: Model<B>) -> Model<B> {
    model.each_linear_and_head(&mut |_, linear| {
        if let Some(adapter) = linear.adapter.take() {
            linear.add_to_weight(adapter.product());
        }
    });
    model
}

/// Takes every adapter out of its weight, `W - s A B`, and leaves it on: the reverse of [`merge`], for a
/// merged model that got its adapters back.
#[must_use]
pub fn unmerge<B: BackboneModule>(mut model: Model<B>) -> Model<B> {
    model.each_linear_and_head(&mut |_, linear| {
        if let Some(adapter) = &linear.adapter {
            let product = adapter.product();
            linear.add_to_weight(-product);
        }
    });
    model
}
