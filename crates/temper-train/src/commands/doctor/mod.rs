//! `temper doctor`.

mod dataset;
mod machine;

pub use dataset::DatasetOptions;

use self::machine::examine_machine;
use crate::TrainError;
use crate::device::backend::Backend;

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

/// Runs the command.
///
/// # Errors
/// [`TrainError::File`] where stdout cannot be written; for `--backend`, what a run on it would end with; of a dataset
/// [`TrainError::Unsound`] where training would refuse it.
pub fn doctor(args: &DoctorArgs) -> Result<(), TrainError> {
    match args.dataset.name()? {
        Some(name) => args.dataset.examine(name, args.json),
        None => examine_machine(args.backend, args.json),
    }
}
