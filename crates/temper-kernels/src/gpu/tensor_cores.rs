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

/// The same window from another line on.
#[cube]
pub(super) fn from_line(window: &Window, line: u32) -> Window {
    Window {
        line,
        chunk: window.chunk,
        end_line: window.end_line,
        end_chunk: window.end_chunk,
        pitch: window.pitch,
    }
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
    #[unroll]
    for step in 0..comptime!(tile.len().div_ceil(units)) {
        let number = UNIT_POS + (step * units) as u32;
        if comptime!(tile.len() % units != 0) {
            if number < tile.len() as u32 {
                fill_chunk::<T, N>(matrix, stage, start, window, number, tile);
            }
        } else {
            fill_chunk::<T, N>(matrix, stage, start, window, number, tile);
        }
    }
}

#[cube]
fn fill_chunk<T: Float, N: Size>(
    matrix: &Tensor<Vector<T, N>>,
    stage: &mut Shared<[Vector<T, N>]>,
    start: usize,
    window: &Window,
    number: u32,
    #[comptime] tile: Tile,
) {
    let (line, chunk) = (number / tile.chunks as u32, number % tile.chunks as u32);
    let (from_line, from_chunk) = (window.line + line, window.chunk + chunk);
    let is_there = from_line < window.end_line && from_chunk < window.end_chunk;
    let from = select(is_there, from_line * window.pitch + from_chunk, 0u32) as usize;
    let len = select(is_there, 1u32, 0u32) as usize;
    let to = start + place(line, chunk, tile);
    copy_async_checked(&matrix[from..from + len], &mut stage[to..to + 1], comptime!(CHUNK as u32));
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

/// Four fragments of `[8, 8]`, of which this unit's lane names a line: lanes 0 to 7 those of the first, and so on.
#[cube]
pub(super) fn load<T: Float, N: Size, P: Size>(
    stage: &Shared<[Vector<T, N>]>,
    place: usize,
    #[comptime] transposed: bool,
) -> Array<Vector<T, P>> {
    let definition = MmaDefinition::<T, T, f32>::new(ROWS, COLUMNS, INNER);
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

/// The left factor `[16, 16]` at a row and column of a tile whose lines are rows, or columns if it is transposed.
#[cube]
pub(super) fn load_left<T: Float, N: Size, P: Size>(
    stage: &Shared<[Vector<T, N>]>,
    start: usize,
    row: u32,
    column: u32,
    #[comptime] tile: Tile,
    #[comptime] transposed: bool,
) -> Array<Vector<T, P>> {
    let (fragment, line) = (UNIT_POS_PLANE / 8, UNIT_POS_PLANE % 8);
    // In the order of registers: rows 0 to 7, rows 8 to 15, and both for the next eight columns.
    let (row, column) = (row + fragment % 2 * 8, column + fragment / 2 * 8);
    let at = if comptime!(transposed) {
        place(column + line, row / CHUNK as u32, tile)
    } else {
        place(row + line, column / CHUNK as u32, tile)
    };
    load::<T, N, P>(stage, start + at, transposed)
}

/// Two right factors `[16, 8]`, for columns and the next eight, of a tile whose lines are columns, or rows if it is
/// transposed.
#[cube]
pub(super) fn load_right<T: Float, N: Size, P: Size>(
    stage: &Shared<[Vector<T, N>]>,
    start: usize,
    row: u32,
    column: u32,
    #[comptime] tile: Tile,
    #[comptime] transposed: bool,
) -> Array<Vector<T, P>> {
    let (fragment, line) = (UNIT_POS_PLANE / 8, UNIT_POS_PLANE % 8);
    let (row, column) = (row + fragment % 2 * 8, column + fragment / 2 * 8);
    let at = if comptime!(transposed) {
        place(row + line, column / CHUNK as u32, tile)
    } else {
        place(column + line, row / CHUNK as u32, tile)
    };
    load::<T, N, P>(stage, start + at, transposed)
}

/// One of the two right factors of [`load_right`].
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
