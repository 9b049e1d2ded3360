//! The place of a parameter in a model, derived from its path.

use temper_models::ParameterTable;

/// Embeddings of tokens, positions and segments, and T5's tables of relative positions.
pub(crate) fn is_embedding(path: &str) -> bool {
    let part = path.strip_prefix("encoder.").or(path.strip_prefix("decoder.")).unwrap_or(path);
    let first = part.split('.').next().unwrap_or_default();
    first.contains("embedding") || first.starts_with("relative")
}

/// The number after `layers.`, at the beginning of a path.
fn layer_of(path: &str) -> Option<usize> {
    path.strip_prefix("layers.")?.split('.').next()?.parse().ok()
}

/// Number of layers of a model, those of both stacks where it has two: what `last:K` counts.
pub fn layer_count(table: &ParameterTable) -> usize {
    Stacks::of(table).layers()
}

/// Layers of a model, bottom to top: an encoder's first, then a decoder's or those of the only stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stacks {
    encoder: usize,
    upper: usize,
}

impl Stacks {
    pub(crate) fn of(table: &ParameterTable) -> Self {
        Self::of_paths(table.parameters.iter().map(|parameter| parameter.path.as_str()))
    }

    pub(crate) fn of_paths<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Self {
        let count = |prefix: &str| {
            let layers = paths.clone().filter_map(|path| layer_of(path.strip_prefix(prefix)?));
            layers.max().map_or(0, |last| last + 1)
        };
        Self { encoder: count("encoder."), upper: count("decoder.").max(count("")) }
    }

    /// Layers of the encoder of an encoder-decoder model, or of a model that has only an encoder under that name.
    pub(crate) fn encoder_layers(self) -> usize {
        self.encoder
    }

    pub(crate) fn layers(self) -> usize {
        self.encoder + self.upper
    }

    /// The place of a parameter on the way up: 0 for embeddings, then the layers from 1, above them what
    /// is after the last one.
    pub(crate) fn floor(self, path: &str) -> usize {
        if is_embedding(path) { 0 } else { self.level(path) + 1 }
    }

    /// The highest [`Self::floor`].
    pub(crate) fn top(self) -> usize {
        self.layers() + 1
    }

    /// The layer that a parameter is in, or directly after.
    pub(crate) fn level(self, path: &str) -> usize {
        match path.strip_prefix("encoder.") {
            Some(path) => layer_of(path).unwrap_or(self.encoder.saturating_sub(1)),
            None => {
                let layer = layer_of(path.strip_prefix("decoder.").unwrap_or(path));
                layer.map_or(self.layers(), |layer| self.encoder + layer)
            }
        }
    }
}

/// Norms, by the name of their module.
pub(crate) fn is_norm(path: &str) -> bool {
    path.rsplit('.').nth(1).is_some_and(|module| module.ends_with("norm"))
}

/// Biases of maps and norms.
pub(crate) fn is_bias(path: &str) -> bool {
    path.ends_with(".bias")
}

/// The task's part.
pub(crate) fn is_head(path: &str) -> bool {
    path.starts_with("head.")
}
