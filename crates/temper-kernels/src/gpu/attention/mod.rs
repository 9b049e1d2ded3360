//! Attention in bfloat16 on tensor cores, without scores in memory (FlashAttention-2, Dao 2023).
//!
//! A cube has a tile of the queries of one head and sequence and goes through the keys that they see, or the other way
//! round for the gradients of keys and values. Only tiles of scores exist, in registers; the backward pass computes
//! them again from the logarithm of each row's sum. Sequences are packed: nothing is computed for padding, and a tile
//! that nobody sees is left out. There are no atomic additions: gradients of queries and of keys are two kernels, each
//! of which adds up in order.

mod forward;
mod keys;
mod pattern;
mod queries;
mod scores;

use burn::tensor::DType;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{empty, unused};
use super::rectangle::Layout;
use super::softmax::Sight;
use super::tensor_cores::{CHUNK, LANES, ROWS, Tile, has_tensor_cores};

pub(crate) use forward::tiled_attention;
pub(crate) use keys::gradients_of_keys;
pub(crate) use queries::{TiledOutputs, gradient_of_queries};

/// Planes of a cube: each has 16 rows of the tile.
const PLANES: usize = 4;
/// Units of a cube.
const UNITS: usize = PLANES * LANES;
/// Queries of a tile; in the kernel of keys, keys.
const TILE: usize = PLANES * ROWS;
/// Widths of a head that these kernels serve: their chunks can be exchanged within a line.
const HEADS: [usize; 4] = [16, 32, 64, 128];

/// Whether these kernels compute attention with heads of that width on that device.
pub(crate) fn serves_head(client: &Client, head: usize) -> bool {
    HEADS.contains(&head) && has_tensor_cores(client)
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    causal: bool,
    has_window: bool,
    has_slopes: bool,
    drops: bool,
    /// Heads of the queries.
    heads: usize,
    /// Heads of the queries for each head of the keys.
    group: usize,
    /// Width of a head.
    head: usize,
    /// Rows of a tile that a cube goes through.
    passed: usize,
}

impl Form {
    fn chunks(self) -> usize {
        self.head / CHUNK
    }

    /// The tile that a cube has.
    fn own(self) -> Tile {
        Tile { lines: TILE, chunks: self.chunks() }
    }

    /// A tile that it goes through.
    fn passing(self) -> Tile {
        Tile { lines: self.passed, chunks: self.chunks() }
    }
}

/// Packed rows, and what is known of them: what all three kernels read.
pub(crate) struct TiledInputs {
    /// `[query rows, heads * head]`
    pub(crate) query: CubeTensor,
    /// `[key rows, heads / group * head]`
    pub(crate) key: CubeTensor,
    /// As key.
    pub(crate) value: CubeTensor,
    /// `[sequences + 1]`
    pub(crate) query_bounds: CubeTensor,
    /// `[sequences + 1]`
    pub(crate) key_bounds: CubeTensor,
    /// `[sequences]`
    pub(crate) offsets: CubeTensor,
    /// `[heads]`
    pub(crate) slopes: Option<CubeTensor>,
    pub(crate) sight: Sight,
    pub(crate) queries: Layout,
    pub(crate) keys: Layout,
}

impl TiledInputs {
    /// Rows as the kernels read them.
    pub(crate) fn prepared(rows: CubeTensor) -> CubeTensor {
        into_contiguous(cast(rows, DType::BF16))
    }

    fn form(&self, passed: usize) -> Form {
        let Sight { causal, window, dropout, .. } = self.sight;
        Form {
            causal,
            has_window: window.is_some(),
            has_slopes: self.slopes.is_some(),
            drops: dropout.is_some(),
            heads: self.queries.heads,
            group: self.keys.group,
            head: self.queries.head,
            passed,
        }
    }

    /// One number for each head and query: `[heads, query rows]`
    fn by_row(&self) -> CubeTensor {
        empty(&self.query, [self.queries.heads, self.queries.packed], DType::F32)
    }

    fn slopes(&self) -> CubeTensor {
        self.slopes.clone().unwrap_or_else(|| unused(&self.query, 1))
    }
}

/// A cube for each tile of the longest sequence, each head and each sequence.
fn cubes_of(layout: Layout, heads: usize) -> CubeCount {
    CubeCount::new_3d(layout.longest.div_ceil(TILE) as u32, heads as u32, layout.sequences as u32)
}
