//! A run: what it was asked to do, its folder, what it is estimated to cost, and what came of it.

mod estimate;
pub(crate) mod folder;
pub(crate) mod model_card;
pub(crate) mod record;
pub(crate) mod report;
mod results;

pub use estimate::Estimate;
pub use folder::{RunFolder, RunName};
pub use record::{ResumedRecord, RunRecord, RunRequest};
pub use results::{ProofReport, Results};
