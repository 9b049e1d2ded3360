//! The operations on plain slices of `f32`, for backends whose tensors are in host memory.
//!
//! Nothing here knows Burn. Every function runs on the current rayon pool and divides its work by
//! sizes alone, so that results do not depend on the number of threads.

mod activate;
mod adamw;
mod attention;
mod buffer;
mod columns;
mod cross_entropy;
mod dropout;
mod embedding;
mod exp;
mod gate;
mod lane_sum;
mod matrix;
mod norm;
mod norm_row;
mod normal;
mod packed;
mod random;
mod rotate;
mod tanh;
mod tasks;
mod vectorized;
mod vocabulary;

pub use activate::activate_backward_in_place;
pub use adamw::{AdamW, sum_of_squares};
pub use attention::{
    AttentionGradients, AttentionHeads, AttentionInputs, AttentionOutput, AttentionPattern, AttentionResult,
    RelativeBuckets, RelativeGradients, RelativeScores, attention_backward, attention_forward,
};
pub use columns::sum_rows;
pub use cross_entropy::{CrossEntropy, cross_entropy, cross_entropy_backward};
pub use dropout::{dropout, residual_dropout};
pub use embedding::{Lookup, embed, embed_backward};
pub use gate::{gate, gate_backward};
pub use matrix::{Finish, Matrix, Start, multiply};
pub use norm::{NormGradients, NormOutput};
pub use norm_row::{Norm, NormKind, RowStatistics};
pub use packed::{
    Factor, FactorProduct, PackedWeight, Rounding, WeightFormat, in_bfloat16, multiplies_bfloat16_fast,
    out_of_bfloat16,
};
pub use random::{Dropout, DropoutRow};
pub use rotate::{Turn, rotate};
pub use tasks::{on_pool, side_by_side};
pub use vectorized::vector_instructions;
pub use vocabulary::{VocabularyLoss, VocabularyMap, WantedGradients, vocabulary_loss};

pub(crate) use buffer::{buffer, zeros};
use exp::exp;
use lane_sum::{lane_sum, lane_sum_pairs};
use normal::normal;
use tanh::tanh;
use tasks::{TASK_ELEMENTS, rows_per_task, run_tasks};
use vectorized::vectorized;
pub(crate) use vocabulary::scale;
