//! Tensor cores as kernels use them: tiles in shared memory, fragments in registers, copies that run ahead.
//!
//! One instruction multiplies `[16, 16]` by `[16, 8]` in bfloat16 and adds in f32. Which unit of a plane holds which
//! elements is in the PTX ISA 9.0, "Matrix Fragments for mma.m16n8k16" and "ldmatrix".

use cubecl::cmma::{MatrixIdent, MmaDefinition};
use cubecl::ir::features::MmaConfig;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::barrier::copy_async_checked;
use cubecl::prelude::*;

/// Units of a plane: these kernels know no other number.
pub(super) const LANES: usize = 32;
/// Rows of a left fragment and of a sum.
pub(super) const ROWS: usize = 16;
/// Columns of a right fragment and of a sum.
pub(super) const COLUMNS: usize = 8;
/// Elements that one instruction multiplies and adds up.
pub(super) const INNER: usize = 16;
/// Elements of bfloat16 that one copy moves: 16 bytes.
pub(super) const CHUNK: usize = 8;

/// Whether a device has what these kernels use.
pub(crate) fn has_tensor_cores(client: &Client) -> bool {
    let bf16 = ElemType::Float(FloatKind::BF16);
    let config = MmaConfig {
        a_type: bf16,
        b_type: bf16,
        cd_type: ElemType::Float(FloatKind::F32),
        m: ROWS as u32,
        n: COLUMNS as u32,
        k: INNER as u32,
    };
    let (features, hardware) = (client.features(), &client.properties().hardware);
    features.matmul.mma.contains(&config)
        && features.matmul.ldmatrix.contains(&bf16)
        && features.copy_async
        && [hardware.plane_size_min, hardware.plane_size_max] == [LANES as u32; 2]
}

/// The part of a matrix that a stage holds: lines of chunks, which follow each other in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    pub(super) lines: usize,
    /// Chunks of a line.
    pub(super) chunks: usize,
}

impl Tile {
    /// Chunks of the whole tile.
    pub(super) const fn len(self) -> usize {
        self.lines * self.chunks
    }

    /// Lines that so many units copy at once, a chunk each.
    fn lines_of(self, units: usize) -> usize {
        let lines = units / self.chunks;
        assert!(units.is_multiple_of(self.chunks) && lines.is_multiple_of(8), "{self:?} by {units} units");
        assert!(self.lines.is_multiple_of(lines), "{self:?} by {units} units");
        lines
    }
}

/// The place of a chunk within a tile. Chunks are exchanged within a line, so that the eight lines of which
/// `ldmatrix` reads a chunk lie in different banks.
#[cube]
pub(super) fn place(line: u32, chunk: u32, #[comptime] tile: Tile) -> usize {
    let exchanged = if comptime!(tile.chunks >= 8) {
        chunk ^ (line & 7u32)
    } else if comptime!(tile.chunks == 4) {
        chunk ^ ((line >> 1u32) & 3u32)
    } else {
        chunk
    };
    (line * tile.chunks as u32 + exchanged) as usize
}

/// Where a tile begins in a matrix, and where the matrix, or the part that may be read, ends.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Window {
    pub(super) line: u32,
    pub(super) chunk: u32,
    pub(super) end_line: u32,
    pub(super) end_chunk: u32,
    /// Chunks from a line to the next.
    pub(super) pitch: u32,
}

/// Begins to copy a tile into a stage that starts at `start`; zeros for what is beyond the window's end.
#[cube]
pub(super) fn fill<T: Float, N: Size>(
    matrix: &Tensor<Vector<T, N>>,
    stage: &mut Shared<[Vector<T, N>]>,
    start: usize,
    window: &Window,
    #[comptime] tile: Tile,
    #[comptime] units: usize,
) {
    let chunks = comptime!(tile.chunks as u32);
    let lines = comptime!(tile.lines_of(units) as u32);
    let (line, chunk) = (UNIT_POS / chunks, UNIT_POS % chunks);
    let first = window.line + line;
    let is_in_line = window.chunk + chunk < window.end_chunk;
    let from = first * window.pitch + window.chunk + chunk;
    // A unit's chunks are exchanged alike: its lines are multiples of eight apart.
    let to = start + place(line, chunk, tile);
    #[unroll]
    for step in 0..comptime!(tile.len() / units) {
        let below = step as u32 * lines;
        let is_there = is_in_line && first + below < window.end_line;
        let len = select(is_there, 1u32, 0u32) as usize;
        let from = (from + below * window.pitch) as usize;
        let to = to + comptime!(step * units);
        copy_async_checked(&matrix[from..from + len], &mut stage[to..to + 1], comptime!(CHUNK as u32));
    }
}

/// Ends a group of copies that [`wait`] counts.
#[cube]
pub(super) fn commit() {
    gpu_asm!("cp.async.commit_group;");
}

/// Waits until at most so many of this unit's groups of copies are not done.
#[cube]
pub(super) fn wait(#[comptime] pending: usize) {
    gpu_asm!("cp.async.wait_group {pending};", pending = const pending);
}

/// Which of its four fragments of `[8, 8]` a unit names a line of, and the line.
#[cube]
fn named() -> (u32, u32) {
    (UNIT_POS_PLANE / 8, UNIT_POS_PLANE % 8)
}

/// Places of this unit's lines of fragments, for each sixteen columns of a tile from a chunk on. The second fragment is
/// below the first, or beside it.
#[cube]
pub(super) fn places(
    first_line: u32,
    first_chunk: u32,
    #[comptime] count: usize,
    #[comptime] tile: Tile,
    #[comptime] beside: bool,
) -> Sequence<u32> {
    let (fragment, line) = named();
    let (down, across) =
        if comptime!(beside) { (fragment / 2, fragment % 2) } else { (fragment % 2, fragment / 2) };
    let mut found = Sequence::<u32>::new();
    #[unroll]
    for block in 0..count {
        let chunk = first_chunk + comptime!((2 * block) as u32) + across;
        found.push(place(first_line + down * 8 + line, chunk, tile) as u32);
    }
    found
}

/// Four fragments, sixteen lines times `block` below a place.
#[cube]
pub(super) fn load<T: Float, N: Size, P: Size>(
    stage: &Shared<[Vector<T, N>]>,
    place: usize,
    #[comptime] block: usize,
    #[comptime] tile: Tile,
    #[comptime] transposed: bool,
) -> Array<Vector<T, P>> {
    let definition = MmaDefinition::<T, T, f32>::new(ROWS, COLUMNS, INNER);
    let place = place + comptime!(block * 16 * tile.chunks);
    definition.load_matrix::<_, P>(&stage[place..place + 1], MatrixIdent::A, 4usize, transposed)
}

/// `sum += left right`
#[cube]
pub(super) fn multiply<T: Float, P: Size>(
    left: &Array<Vector<T, P>>,
    right: &Array<Vector<T, P>>,
    sum: &mut Array<Vector<f32, P>>,
) {
    let definition = MmaDefinition::<T, T, f32>::new(ROWS, COLUMNS, INNER);
    definition.execute_inplace(left, right, sum);
}

/// One of the two right factors `[16, 8]` of four fragments.
#[cube]
pub(super) fn half<T: Float, P: Size>(
    both: &Array<Vector<T, P>>,
    #[comptime] number: usize,
) -> Array<Vector<T, P>> {
    let mut one = Array::<Vector<T, P>>::new(2usize);
    one[0] = both[comptime!(2 * number)];
    one[1] = both[comptime!(2 * number + 1)];
    one
}

/// A sum of zeros.
#[cube]
pub(super) fn zeros<P: Size>() -> Array<Vector<f32, P>> {
    let mut sum = Array::<Vector<f32, P>>::new(2usize);
    sum[0] = Vector::new(0.0);
    sum[1] = Vector::new(0.0);
    sum
}
