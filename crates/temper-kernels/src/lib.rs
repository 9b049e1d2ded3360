//! Fused operations for training transformers on Burn.
//!
//! On the CPU backends (Flex, NdArray) an operation is one function over slices with a hand-written backward pass,
//! in [`cpu`]; on GPUs most have kernels, in the module `gpu` (feature `gpu`). Everywhere else, and for other types, it
//! is composed from Burn's operations, in [`composed`]; the results agree. What products compute in is a [`Precision`].
//!
//! A batch is *packed*: the tokens of all sequences follow each other in the rows of one matrix and
//! there is no padding. [`Sequences`] says where each sequence begins and ends.

mod activation;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // Burn 0.22 calls its ndarray backend deprecated.
mod attention;
mod attention_call;
mod autodiff;
mod backend;
pub mod composed;
pub mod cpu;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod cross_entropy;
mod dropout;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod embedding;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod factor;
mod gate;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
mod gpu_attention;
#[cfg(feature = "gpu")]
mod gpu_vocabulary;
mod linear;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod lookup;
mod norm;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // Burn 0.22 calls its ndarray backend deprecated.
mod optimizer;
mod optimizer_groups;
mod optional;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod packed_linear;
mod precision;
mod relative_terms;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod rotation;
mod row_index;
mod sequences;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // Burn 0.22 calls its ndarray backend deprecated.
mod split;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // As above.
mod vocabulary_loss;

pub use activation::Activation;
pub use attention::attention;
pub use attention_call::{Attention, AttentionLayout};
/// Burn, whose types are part of the interface: a program that takes it from here has the right version.
pub use burn;
pub use composed::widen;
pub use cpu::{
    AdamW, AttentionHeads, AttentionPattern, Dropout, PackedWeight, RelativeBuckets, WeightFormat,
    multiplies_bfloat16_fast, on_pool, side_by_side,
};
pub use cross_entropy::cross_entropy;
pub use dropout::dropout;
pub use embedding::embedding;
pub use factor::as_factor;
pub use gate::gate;
pub use linear::{linear, linear_transposed};
pub use lookup::look_up;
pub use norm::{Norm, Residual, norm};
pub use optimizer::{AdamWTensors, adamw_step, sum_of_squares};
pub use optimizer_groups::{AdamWTask, Elements, adamw_steps, steps_in_groups, sums_of_squares};
pub use packed_linear::{is_cpu, pack_weight, packed_linear};
pub use precision::Precision;
pub use relative_terms::{RelativeTerms, products_by_head};
pub use rotation::rotate;
pub use row_index::RowIndex;
pub use sequences::Sequences;
pub use vocabulary_loss::{
    VocabularyTargets, VocabularyWeights, composed_loss, composed_scores, vocabulary_loss, vocabulary_scores,
};
