//! Entities in tagged sequences: tag schemes, and scores as seqeval 1.2.2 gives them.

mod check;
mod convert;
mod lenient;
mod scheme;
mod scores;
mod strict;

use serde::Serialize;

pub use check::{InvalidTag, check_tags, detect_schemes};
pub use convert::{convert, write_tags};
pub use lenient::lenient_entities;
pub use scheme::TagScheme;
pub use scores::{EntityReport, EntityScores};
pub use strict::strict_entities;

/// What tags without a kind, such as a bare "B", are a tag of; as in seqeval.
pub const NO_KIND: &str = "_";

/// A run of tokens that is one entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Entity {
    /// What it is, such as "PER".
    pub kind: String,
    /// The first token.
    pub start: usize,
    /// The token after the last one.
    pub end: usize,
}
