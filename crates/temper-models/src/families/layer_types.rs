//! What a configuration says of each layer: whether its attention has a window, and how it is rotated.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::layers::RopeParameters;

/// What a layer's attention sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerType {
    /// Every token before.
    FullAttention,
    /// The last `sliding_window` tokens, its own among them.
    SlidingAttention,
}

/// Rotations by what a layer sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RopeByLayer {
    /// Of layers without a window.
    pub full_attention: Option<RopeParameters>,
    /// Of layers with one.
    pub sliding_attention: Option<RopeParameters>,
}

/// Checks that there is a type for each layer, where there are types.
pub(super) fn check_layer_types(types: Option<&[LayerType]>, layers: usize) -> Result<(), ModelError> {
    let known = types.map_or(layers, <[LayerType]>::len);
    if known == layers {
        return Ok(());
    }
    let reason = format!("layer_types describe {known} layers, num_hidden_layers = {layers}");
    Err(ModelError::Config { reason })
}
