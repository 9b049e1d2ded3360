//! How a product is divided among a GPU's multiprocessors.

use cubecl::prelude::Client;

use crate::gpu::tensor_cores::LANES;

/// The sizes that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// Rows and columns of a cube's tile.
    pub tile: [usize; 2],
    /// Planes that share its rows, and its columns.
    pub planes: [usize; 2],
    /// Inner elements of a stage.
    pub inner: usize,
    /// Stages that are filled ahead, and the one that is read.
    pub stages: usize,
}

/// What a product may be tiled by, and how fast it is when all multiprocessors are busy, compared with the first: 355, 322
/// and 279 TFLOP/s for 16384 x 768 x 3072 on an H200. Smaller tiles leave fewer multiprocessors idle.
const TILINGS: [(Tiling, f64); 3] = [
    (Tiling { tile: [128, 128], planes: [2, 2], inner: 64, stages: 3 }, 1.0),
    (Tiling { tile: [128, 64], planes: [2, 2], inner: 64, stages: 3 }, 0.91),
    (Tiling { tile: [64, 64], planes: [2, 2], inner: 64, stages: 3 }, 0.79),
];

impl Tiling {
    pub(super) const fn units(self) -> usize {
        self.planes[0] * self.planes[1] * LANES
    }
}

/// Parts of the inner dimension at most.
const MOST_PARTS: usize = 8;
/// Inner elements of a part at least.
const LEAST_PART: usize = 256;
/// Multiplications that a multiprocessor does in the time of adding one element of a part, and of one more launch:
/// estimates, from 3 TB/s of memory and 3 µs a launch.
const PER_ELEMENT: f64 = 1.5;
const PER_LAUNCH: f64 = 3.4e6;

/// The tiling for a product, and how many parts the inner dimension has: what takes a multiprocessor least time, all of
/// them being busy at once.
pub(super) fn plan(
    [rows, inner, columns]: [usize; 3],
    may_split: bool,
    multiprocessors: usize,
) -> (Tiling, usize) {
    let most = if may_split { (inner / LEAST_PART).clamp(1, MOST_PARTS) } else { 1 };
    let cost = |(tiling, speed): (Tiling, f64), parts: usize| {
        let tiles = rows.div_ceil(tiling.tile[0]) * columns.div_ceil(tiling.tile[1]);
        let each = tiling.tile[0] * tiling.tile[1] * inner.div_ceil(parts);
        let adding =
            if parts == 1 { 0.0 } else { ((parts + 1) * rows * columns) as f64 * PER_ELEMENT + PER_LAUNCH };
        ((tiles * parts).div_ceil(multiprocessors) * each) as f64 / speed + adding
    };
    let plans = TILINGS.into_iter().flat_map(|tiling| (1..=most).map(move |parts| (tiling, parts)));
    let best = plans.min_by(|&left, &right| cost(left.0, left.1).total_cmp(&cost(right.0, right.1)));
    best.map(|((tiling, _), parts)| (tiling, parts)).expect("there are tilings")
}

/// Multiprocessors of a GPU that does not say how many it has.
const MULTIPROCESSORS: u32 = 64;

pub(super) fn multiprocessors(client: &Client) -> usize {
    client.properties().hardware.num_streaming_multiprocessors.unwrap_or(MULTIPROCESSORS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of products that were timed on an H200 with 132 multiprocessors, the fastest are chosen.
    #[test]
    fn the_plan_is_what_was_fastest() {
        let tile = |sizes, may_split| {
            let (tiling, parts) = plan(sizes, may_split, 132);
            (tiling.tile, parts > 1)
        };
        assert_eq!(tile([16_384, 768, 3072], false), ([128, 128], false));
        assert_eq!(tile([4096, 768, 3072], false), ([128, 128], false));
        assert_eq!(tile([4096, 3072, 768], false), ([128, 64], false));
        assert_eq!(tile([4096, 768, 768], false), ([128, 64], false));
        assert!(tile([768, 4096, 768], true).1, "a gradient of weights has too few tiles for a GPU");
        assert_eq!(tile([32, 768, 768], false).0, [64, 64]);
    }
}
