//! The results of the runs of a grid.

use serde::Deserialize;
use serde_json::Value;

use crate::commands::finetune::measure::duration;
use crate::run::record::ResumedRecord;
use crate::{RunFolder, TrainError};

/// The results of the runs of a grid.
#[derive(Default)]
pub(in crate::commands) struct GridResults {
    /// The runs that finished.
    pub(in crate::commands) done: Vec<FinishedRun>,
    /// The runs that failed.
    pub(in crate::commands) failures: Vec<FailedRun>,
}

/// A run that failed.
#[derive(Clone)]
pub(in crate::commands) struct FailedRun {
    /// The name of its folder.
    pub(in crate::commands) name: String,
    code: u8,
}

impl FailedRun {
    /// A failure that concerns only this run: out of memory (5) or diverged (6).
    ///
    /// # Errors
    /// [`TrainError::GridRunFailed`] for every other one: the next run would fail in the same way.
    pub(super) fn of(name: &str, code: u8) -> Result<Self, TrainError> {
        let failure = Self { name: name.into(), code };
        if matches!(code, 5 | 6) { Ok(failure) } else { Err(failure.error()) }
    }

    /// The error that the whole command ends with.
    pub(in crate::commands) fn error(&self) -> TrainError {
        TrainError::GridRunFailed { run: self.name.clone(), code: self.code }
    }
}

/// A run that finished.
pub(in crate::commands) struct FinishedRun {
    pub(in crate::commands) strategy: String,
    pub(in crate::commands) seed: u64,
    /// The name of its folder.
    pub(in crate::commands) name: String,
    pub(in crate::commands) results: CellResults,
    /// The score of each test example, in the split's order; unknown for runs without predictions.jsonl.
    pub(in crate::commands) scores: Option<Vec<f64>>,
    record: ResumedRecord,
}

/// The part of results.json that is compared.
#[derive(Deserialize)]
pub(in crate::commands) struct CellResults {
    pub(in crate::commands) model: String,
    pub(in crate::commands) model_stand_in_for: Option<String>,
    pub(in crate::commands) trainable_parameters: usize,
    pub(in crate::commands) total_parameters: usize,
    test: TestScores,
    /// Score and step.
    pub(in crate::commands) best_validation: Option<(f64, usize)>,
    pub(in crate::commands) training_seconds: f64,
    pub(in crate::commands) tokens_per_second: f64,
    pub(in crate::commands) peak_memory_bytes: Option<u64>,
    pub(in crate::commands) data: Value,
    /// Of runs with a trunk cache.
    trunk_cache: Option<Value>,
}

#[derive(Deserialize)]
struct TestScores {
    #[serde(with = "crate::tasks::metrics_by_name")]
    metrics: Vec<(String, f64)>,
    #[serde(default)]
    lower_is_better: bool,
}

#[derive(Deserialize)]
struct ExampleScore {
    score: f64,
}

impl CellResults {
    /// The value of the compared metric on the test split.
    pub(in crate::commands) fn score(&self) -> f64 {
        self.test.metrics.first().map_or(0.0, |&(_, value)| value)
    }

    /// True if a lower value of this metric is better.
    pub(in crate::commands) fn lower_is_better(&self) -> bool {
        self.test.lower_is_better
    }

    /// Its name.
    pub(in crate::commands) fn metric(&self) -> &str {
        self.test.metrics.first().map_or("", |(name, _)| name)
    }

    /// The share of examples whose lower layers came from the trunk cache.
    pub(in crate::commands) fn hit_rate(&self) -> Option<f64> {
        self.trunk_cache.as_ref()?.pointer("/training/hit_rate")?.as_f64()
    }
}

impl FinishedRun {
    /// Its result, in one line.
    pub(super) fn in_words(&self) -> String {
        let results = &self.results;
        let seconds = duration(results.training_seconds);
        format!("test {} {:.4}, trained in {seconds}", results.metric(), results.score())
    }

    /// Reads a run that finished.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub(super) fn read(strategy: &str, seed: u64, name: &str, run: &RunFolder) -> Result<Self, TrainError> {
        let path = run.results();
        let text = std::fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
        let results = serde_json::from_str(&text).map_err(|error| TrainError::content(&path, error))?;
        let record = ResumedRecord::read(&run.record())?;
        Ok(Self { strategy: strategy.into(), seed, name: name.into(), results, scores: scores(run)?, record })
    }
}

fn scores(run: &RunFolder) -> Result<Option<Vec<f64>>, TrainError> {
    let path = run.predictions();
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let rows = text.lines().map(|line| serde_json::from_str(line).map(|row: ExampleScore| row.score));
    rows.collect::<Result<_, _>>().map(Some).map_err(|error| TrainError::content(&path, error))
}

impl GridResults {
    /// Adds a run.
    ///
    /// # Errors
    /// [`TrainError::Usage`] if it had another model or other data than the first run: what a name refers to may have
    /// changed between them.
    pub(super) fn push(&mut self, outcome: FinishedRun) -> Result<(), TrainError> {
        if let Some(first) = self.done.first() {
            let same = first.record.has_files_of(&outcome.record)
                && first.results.model == outcome.results.model
                && first.results.data == outcome.results.data;
            if !same {
                return Err(TrainError::Usage(format!(
                    "{} and {} did not have the same model and data: the files changed between them; give another \
                     --run-name, or --overwrite-output-dir to start again",
                    first.name, outcome.name
                )));
            }
        }
        self.done.push(outcome);
        Ok(())
    }
}
