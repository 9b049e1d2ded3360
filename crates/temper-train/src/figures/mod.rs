//! Figures of models and runs, in English and Traditional Chinese: what `temper figure` draws.
//!
//! Each file draws one figure from values that were computed; `flow` and `heads` compute those of a model.

pub(crate) mod architecture;
pub(crate) mod attention;
pub(crate) mod curves;
pub(crate) mod families;
pub(crate) mod flow;
pub(crate) mod heads;
mod language;
pub(crate) mod movement;
pub(crate) mod strategies;
pub(crate) mod transfer;

pub use language::Language;
pub(crate) use language::Word;
