//! `temper doctor`.

mod dataset;
mod machine;
mod ranks;

pub use dataset::DatasetOptions;

use self::machine::examine_machine;
use crate::TrainError;
use crate::device::backend::Backend;
use crate::ranks::Ranks;

/// Check a dataset for problems, or show what this machine has and lacks
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// A dataset, and what to look at in it
    #[command(flatten)]
    pub dataset: DatasetOptions,
    /// Look at this machine: processor, memory, GPUs, driver, libraries, backends
    #[arg(long, required_unless_present_any = ["dataset", "train_file"], conflicts_with_all = ["dataset", "train_file"])]
    pub machine: bool,
    /// Compute something on this backend, and fail as a run on it would: flex, ndarray, cuda, cuda:N or wgpu
    #[arg(long, requires = "machine")]
    pub backend: Option<Backend>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command, on each of the ranks that an MPI launcher started.
///
/// # Errors
/// [`TrainError::File`] where stdout cannot be written; for `--backend`, what a run on it would end with; of a dataset
/// [`TrainError::Unsound`] where training would refuse it.
pub fn doctor(args: &DoctorArgs, ranks: &Ranks) -> Result<(), TrainError> {
    match args.dataset.name()? {
        // One of them reads it.
        Some(_) if !ranks.is_first() => Ok(()),
        Some(name) => args.dataset.examine(name, args.json),
        None => examine_machine(args.backend, args.json, ranks),
    }
}
