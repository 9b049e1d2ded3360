//! Operands brought into the order in which tiles read them.

use rayon::prelude::*;

use super::super::{buffer, vectorized};
use super::{Block, Matrix, TILE_COLUMNS, block_len};

/// Block after block, at least one, panels of 16 columns, each `[depth, 16]`; the last panel of a block
/// is filled up with zeros.
///
/// All blocks share their columns; all but the last have the same depth. One pass for all of them: the
/// threads meet once.
pub fn pack_right(blocks: &[Block<'_>], right: Matrix<'_>) -> Vec<f32> {
    let len = blocks.iter().map(block_len).sum();
    buffer(len, |packed| {
        let parts = packed.chunks_mut(block_len(&blocks[0])).zip(blocks);
        let panels: Vec<(&Block<'_>, usize, &mut [f32])> = parts
            .flat_map(|(part, block)| {
                let panels = part.chunks_mut(block.depth * TILE_COLUMNS).enumerate();
                panels.map(move |(panel, packed)| (block, panel, packed))
            })
            .collect();
        panels.into_par_iter().for_each(|(block, panel, packed)| {
            let offset = panel * TILE_COLUMNS;
            let width = TILE_COLUMNS.min(block.width - offset);
            let first =
                (block.first_column + offset) * right.column_stride + block.first_depth * right.row_stride;
            vectorized(
                #[inline(always)]
                || pack_panel(&right.values[first..], right, width, packed),
            );
        });
    })
}

#[inline(always)]
fn pack_panel(values: &[f32], strides: Matrix<'_>, width: usize, packed: &mut [f32]) {
    let (packed, _) = packed.as_chunks_mut::<TILE_COLUMNS>();
    if width == TILE_COLUMNS && strides.column_stride == 1 {
        for (depth, packed) in packed.iter_mut().enumerate() {
            packed.copy_from_slice(&values[depth * strides.row_stride..][..TILE_COLUMNS]);
        }
        return;
    }
    if width == TILE_COLUMNS && strides.row_stride == 1 {
        let depth = packed.len();
        let columns: [&[f32]; TILE_COLUMNS] =
            std::array::from_fn(|column| &values[column * strides.column_stride..][..depth]);
        return transpose(columns, packed);
    }
    for (depth, packed) in packed.iter_mut().enumerate() {
        for (column, packed) in packed.iter_mut().enumerate() {
            *packed = match column < width {
                true => values[depth * strides.row_stride + column * strides.column_stride],
                false => 0.0,
            };
        }
    }
}

/// # Shapes
/// - columns: 16 of `depth` values; packed: `[depth, 16]`
#[inline(always)]
fn transpose(columns: [&[f32]; TILE_COLUMNS], packed: &mut [[f32; TILE_COLUMNS]]) {
    let depth = packed.len();
    let columns = columns.map(|column| &column[..depth]);
    for first in (0..depth).step_by(8) {
        let last = (first + 8).min(depth);
        for (column, values) in columns.iter().enumerate() {
            for depth in first..last {
                packed[depth][column] = values[depth];
            }
        }
    }
}

/// A tile of `rows` rows, `[depth, rows]`, whose values at a depth are side by side.
#[inline(always)]
pub fn pack_left(values: &[f32], column_stride: usize, rows: usize, tile: &mut [f32]) {
    for (depth, packed) in tile.chunks_exact_mut(rows).enumerate() {
        let values = &values[depth * column_stride..][..rows];
        packed.iter_mut().zip(values).for_each(|(packed, value)| *packed = *value);
    }
}
