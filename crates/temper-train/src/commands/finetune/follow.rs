//! What ranks other than the first do in a run: what rank 0 orders. They read the same files, compute their part of each
//! step and of each evaluation, and write nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::finish;
use super::job::Job;
use crate::device::allocator::release_freed_memory;
use crate::ranks::{Place, Ranks};
use crate::run::record::RunRequest;
use crate::training::{
    Checkpoints, Progress, TaskModel, compare_parameters, compare_values, decoded, encoded, evaluate,
};
use crate::{BURN_VERSION, RunFolder, Split, TrainError};

/// Where a run begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Beginning {
    /// At the first step.
    New,
    /// At the checkpoint after that step.
    Checkpoint(usize),
    /// After the last step: what remains is the test.
    Trained,
}

/// What rank 0 tells the others when it knows where the run begins.
#[derive(Serialize, Deserialize)]
struct Start {
    run: PathBuf,
    new_parameters: Vec<String>,
    beginning: Beginning,
}

/// Tells the other ranks that the run is finished.
pub(super) fn nothing_to_do(ranks: &Ranks) {
    ranks.meet();
    ranks.broadcast(encoded(&None::<RunRequest>));
}

/// Takes part in the run of rank 0.
///
/// # Errors
/// Those of a run.
pub(super) fn follow(ranks: &Ranks) -> Result<(), TrainError> {
    // Rank 0 may have much to download first.
    ranks.meet();
    let Some(request) = decoded(&ranks.broadcast(Vec::new())) else { return Ok(()) };
    let job = Job::prepare(request, Progress::none())?.shared_by(ranks)?;
    job.compare_ranks()?;
    let start: Start = decoded(&ranks.broadcast(Vec::new()));
    let run = RunFolder::existing(&start.run);
    let checkpoint = match start.beginning {
        Beginning::New => None,
        Beginning::Checkpoint(step) => Some(Checkpoints::new(run.checkpoints(), 1).at(step)?),
        Beginning::Trained => return job.help_finish(&run),
    };
    let loaded = job.loaded(checkpoint.as_ref())?;
    let plan = job.plan(&loaded, &start.new_parameters)?;
    job.train_to_the_end(&run, loaded, &plan, checkpoint)?;
    job.help_finish(&run)
}

impl Job {
    /// Tells the other ranks what the run is, when its files are there, and compares what they have.
    ///
    /// # Errors
    /// [`TrainError::RanksDiffer`].
    pub(super) fn gather_ranks(&self) -> Result<(), TrainError> {
        if self.ranks.is_alone() {
            return Ok(());
        }
        self.ranks.meet();
        self.ranks.broadcast(encoded(&Some(&self.request)));
        self.compare_ranks()
    }

    /// Compares what decides results on all ranks; rank 0 says where they compute.
    ///
    /// # Errors
    /// On rank 0 [`TrainError::RanksDiffer`].
    fn compare_ranks(&self) -> Result<(), TrainError> {
        // Some may take longer to read and to encode.
        self.ranks.meet();
        compare_values(&self.ranks, self.facts())?;
        let places = self.ranks.gather(encoded(self.ranks.place()));
        self.progress.line(&in_words(&places.iter().map(|place| decoded(place)).collect::<Vec<_>>()));
        Ok(())
    }

    /// Tells the other ranks where the run begins.
    pub(super) fn begin_together(&self, run: &RunFolder, new_parameters: &[String], beginning: Beginning) {
        if !self.ranks.is_alone() {
            let run = std::path::absolute(run.path()).unwrap_or_else(|_| run.path().into());
            let start = Start { run, new_parameters: new_parameters.to_vec(), beginning };
            self.ranks.broadcast(encoded(&start));
        }
    }

    /// What decides results, by name.
    fn facts(&self) -> Vec<(String, String)> {
        let arguments = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let own = [
            ("arguments", arguments),
            ("version of temper", env!("CARGO_PKG_VERSION").into()),
            ("version of Burn", BURN_VERSION.into()),
            ("vector instructions", temper_kernels::cpu::vector_instructions().into()),
        ];
        let resolved = std::iter::once(&self.local.resolved).chain(&self.splits.resolved);
        let files = resolved.flat_map(|resolved| &resolved.files);
        let hashes = files.map(|file| (file.name.clone(), file.sha256.clone()));
        let paths = self.dataset_files.iter().map(|file| (file.name.clone(), file.sha256.clone()));
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(hashes).chain(paths).collect()
    }

    /// The evaluations at the end of a run.
    fn help_finish(&self, run: &RunFolder) -> Result<(), TrainError> {
        release_freed_memory();
        let (best, _) = finish::load(&self.request, &self.splits, &self.checkpoints(run).best_dir())?;
        compare_parameters(&self.ranks, &best.model, "the best model")?;
        let used = TaskModel::new(best.model.packed(), self.splits.task.clone());
        let tunes = self.request.settings.tune_threshold.then_some(Split::Validation);
        for split in std::iter::once(Split::Test).chain(tunes) {
            let loader = finish::loader(&self.request, &self.splits, split).shared_by(&self.ranks);
            evaluate(&used, &loader, (&self.splits.examples, split), &self.progress, || None)?;
        }
        Ok(())
    }
}

/// The ranks and their threads, machine by machine.
fn in_words(places: &[Place]) -> String {
    let mut machines: Vec<(&str, Vec<&Place>)> = Vec::new();
    for place in places {
        match machines.iter_mut().find(|(host, _)| *host == place.host) {
            Some((_, of_machine)) => of_machine.push(place),
            None => machines.push((&place.host, vec![place])),
        }
    }
    let machine = |(host, places): &(&str, Vec<&Place>)| {
        let threads: Vec<String> = places.iter().map(|place| place.threads.to_string()).collect();
        format!("{host}: {} with {} threads", places.len(), threads.join(", "))
    };
    let machines: Vec<String> = machines.iter().map(machine).collect();
    format!("{} ranks share each step; {}", places.len(), machines.join("; "))
}
