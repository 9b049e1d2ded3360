//! A run: its request, its folder, its estimated cost and its results.

mod estimate;
pub(crate) mod folder;
pub(crate) mod model_card;
pub(crate) mod record;
pub(crate) mod report;
mod results;

pub use estimate::{Estimate, Network};
pub use folder::{RunFolder, RunName};
pub use record::{ResumedRecord, RunRecord, RunRequest};
pub use results::{ProofReport, Results};
