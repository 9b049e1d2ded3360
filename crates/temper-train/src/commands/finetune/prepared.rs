//! A run that is checked and read, before anything is written.

use super::job::Job;
use crate::run::record::RunRequest;
use crate::tasks::Splits;
use crate::training::Progress;
use crate::{TrainError, model::adapters};

/// A request whose model is found and whose data is read: what can be refused before any of
/// several runs starts is refused here.
pub(in crate::commands) struct Prepared {
    job: Job,
}

impl Prepared {
    /// Finds the model, reads and encodes the data.
    ///
    /// # Errors
    /// Those of a run before it trains.
    pub(in crate::commands) fn new(request: &RunRequest, progress: Progress) -> Result<Self, TrainError> {
        Ok(Self { job: Job::prepare(request.clone(), progress)? })
    }

    /// Refuses a strategy that a run would refuse for this model.
    ///
    /// # Errors
    /// [`TrainError::Freeze`] and [`TrainError::Usage`].
    pub(in crate::commands) fn check(&mut self, strategy: &str) -> Result<(), TrainError> {
        strategy.clone_into(&mut self.job.request.settings.strategy);
        adapters::check_steps(&self.job.request.settings, self.job.schedule.total_steps)?;
        let loaded = self.job.new_model()?;
        let plan = self.job.plan(&loaded, &loaded.new)?;
        self.job.trunk_decision(&loaded.model, &plan).map(drop)
    }

    /// Layers of the model, those of both stacks where it has two.
    ///
    /// # Errors
    /// [`TrainError::Model`].
    pub(in crate::commands) fn layers(&self) -> Result<usize, TrainError> {
        Ok(temper_freeze::layer_count(&self.job.new_model()?.model.parameters()))
    }

    /// The data.
    pub(in crate::commands) fn splits(&self) -> &Splits {
        &self.job.splits
    }
}
