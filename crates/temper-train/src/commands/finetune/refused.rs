//! The error of a run whose backend fails during it.

use std::path::PathBuf;

use super::need::fits;
use crate::device::backend::Backend;
use crate::device::panics::Refusal;
use crate::device::{OutOfMemory, advice, memory};
use crate::run::record::RunRequest;
use crate::training::Checkpoints;
use crate::{RunFolder, TrainError, device::allocator};

/// What has to be known of a run for that.
pub(super) struct Refused {
    backend: Backend,
    fits: Vec<String>,
    checkpoints: Checkpoints,
    run: PathBuf,
}

impl Refused {
    /// Prepares the words, and leaves them with the allocator, too, which cannot make any when memory is gone.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a backend that does not exist.
    pub(super) fn new(
        request: &RunRequest,
        checkpoints: Checkpoints,
        run: &RunFolder,
    ) -> Result<Self, TrainError> {
        let fits = fits(&request.settings, None);
        let kept = format!("checkpoints that were saved are kept in {}", run.checkpoints().display());
        allocator::advise(format!("{}\n{kept}", advice(&fits)));
        let backend = request.backend.parse().map_err(TrainError::Usage)?;
        Ok(Self { backend, fits, checkpoints, run: run.path().into() })
    }

    /// The error for a panic of the backend's. A checkpoint is complete or absent: the newest is kept.
    pub(super) fn error(self, refusal: Refusal) -> TrainError {
        let kept = self.checkpoints.latest(|_| {}).ok().flatten();
        let kept = kept.map(|checkpoint| (checkpoint.dir, self.run));
        match refusal {
            Refusal::NoMemory(needed_bytes) => OutOfMemory {
                needed_bytes,
                available_bytes: memory::available(self.backend, 0),
                fits: self.fits,
                kept,
                ..OutOfMemory::of("the device refused memory in training")
            }
            .into(),
            Refusal::Other(reason) => TrainError::Backend {
                reason: match kept {
                    Some((checkpoint, _)) => format!("{reason}; {} is kept", checkpoint.display()),
                    None => reason,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_checkpoint_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("checkpoints");
        let refused = || Refused {
            backend: Backend::Flex,
            fits: vec!["--strategy lora".into()],
            checkpoints: Checkpoints::new(place.clone(), 1),
            run: dir.path().into(),
        };
        let without = refused().error(Refusal::NoMemory(Some(1 << 30))).to_string();
        assert!(without.contains("1.0 GiB are needed") && !without.contains("is kept"), "{without}");
        std::fs::create_dir_all(place.join("step-12")).unwrap();
        let state = serde_json::to_string(&crate::training::CheckpointState::default()).unwrap();
        std::fs::write(place.join("step-12/state.json"), state).unwrap();
        temper_files::Checksums::write(&place.join("step-12")).unwrap();
        let with = refused().error(Refusal::NoMemory(None));
        assert_eq!(with.exit_code(), 5);
        assert!(with.to_string().contains("step-12 is kept: temper finetune --resume"), "{with}");
        let other = refused().error(Refusal::Other("a kernel is wrong".into()));
        assert_eq!(other.exit_code(), 1);
        assert!(
            other.to_string().contains("a kernel is wrong") && other.to_string().contains("step-12"),
            "{other}"
        );
    }
}
