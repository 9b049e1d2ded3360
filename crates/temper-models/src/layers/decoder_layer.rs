//! A decoder's layer, whose sub-layers follow each other or work side by side.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{
    Block, BlockConfig, Encoded, HasLinears, Layer, LayerCache, LayerRows, LinearWalk, ParallelBlock,
    ParallelBlockConfig,
};
use crate::Mode;

/// What [`DecoderLayer`] is made from.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // A few dozen a model: nothing to save.
pub enum DecoderLayerConfig {
    /// One sub-layer after the other.
    Sequential(BlockConfig),
    /// Side by side.
    Parallel(ParallelBlockConfig),
}

impl From<BlockConfig> for DecoderLayerConfig {
    fn from(block: BlockConfig) -> Self {
        Self::Sequential(block)
    }
}

/// A layer of a decoder.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // A few dozen a model: nothing to save.
pub enum DecoderLayer {
    /// One sub-layer after the other.
    Sequential(Block),
    /// Side by side.
    Parallel(ParallelBlock),
}

impl DecoderLayer {
    /// A layer with zero weights, to be loaded.
    pub fn new(config: &DecoderLayerConfig, device: &Device) -> Self {
        match config {
            DecoderLayerConfig::Sequential(config) => Self::Sequential(Block::new(config, device)),
            DecoderLayerConfig::Parallel(config) => Self::Parallel(ParallelBlock::new(config, device)),
        }
    }
}

impl Layer for DecoderLayer {
    fn forward(
        &self,
        x: Tensor<2>,
        rows: &LayerRows,
        encoded: Option<&Encoded>,
        cache: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2> {
        match self {
            Self::Sequential(block) => block.forward(x, rows, encoded, cache, mode),
            Self::Parallel(block) => block.forward(x, rows, encoded, cache, mode),
        }
    }

    fn depends_on_position(&self) -> bool {
        match self {
            Self::Sequential(block) => block.depends_on_position(),
            Self::Parallel(block) => block.depends_on_position(),
        }
    }

    fn drops_out(&self) -> bool {
        match self {
            Self::Sequential(block) => block.drops_out(),
            Self::Parallel(block) => block.drops_out(),
        }
    }
}

impl HasLinears for DecoderLayer {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        match self {
            Self::Sequential(block) => block.walk_linears(walk),
            Self::Parallel(block) => block.walk_linears(walk),
        }
    }
}
