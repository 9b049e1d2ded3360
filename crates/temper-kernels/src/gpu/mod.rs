//! Fused operations for GPUs, as CubeCL kernels: one source for CUDA, Vulkan, Metal and the rest.
//!
//! CubeCL's words are used: a unit is CUDA's thread, a plane its warp, a cube its block.
//!
//! Each computes what its composed form does, in one launch or two. Sums are added up in an order that depends
//! on sizes alone, so that the same inputs give the same bits.

mod activate;
mod adamw;
mod attention;
mod dropout;
mod launch;
mod losses;
mod norm;
mod picked;
mod product;
mod random;
mod rectangle;
mod reduce;
mod rotate;
mod softmax;
mod split;
mod tensor_cores;
mod tiled_product;

pub(crate) use activate::{gate, gate_backward, gradient_before};
pub(crate) use adamw::{adamw, adamw_group};
pub(crate) use attention::{
    TiledInputs, TiledOutputs, gradient_of_queries, gradients_of_keys, serves_head, tiled_attention,
};
pub(crate) use dropout::dropout;
pub(crate) use launch::{UNITS, empty, zeros};
pub(crate) use losses::Losses;
pub(crate) use norm::{NormBackward, NormForward, norm_backward, norm_forward};
pub(crate) use picked::sum_picked;
pub(crate) use product::{as_bfloat16, product, product_and_finish, transposed};
pub use product::{product_strategies, product_with};
pub(crate) use rectangle::{Layout, gather, spread};
pub(crate) use reduce::{GROUP, sum_of_squares, sum_rows, sums_of_squares};
pub(crate) use rotate::rotate;
pub(crate) use softmax::{Sight, softmax, softmax_backward};
pub(crate) use tiled_product::{Finish, product_and_column_sums};
pub use tiled_product::{Tiling, tiled_product_with};
