//! `--budget`: the deepest strategy that fits a time.

use std::time::Duration;

use temper_models::{Backbone, Model};

use super::job::Job;
use super::measure::duration;
use crate::TrainError;
use crate::run::Estimate;

impl Job {
    /// Sets the strategy to the deepest of `all`, `last:K` and `head` whose training and evaluation fit the
    /// time, and says why.
    ///
    /// # Errors
    /// [`TrainError::Usage`] if not even training only the head fits.
    pub(super) fn choose_within(&mut self, budget: Duration) -> Result<(), TrainError> {
        let loaded = self.new_model()?;
        let candidates = candidates(&loaded.model);
        let mut measured = Vec::new();
        // The deeper, the slower: halving finds the border.
        let (mut fits, mut too_slow) = (None, 0);
        let mut end = candidates.len();
        while too_slow < end {
            let middle = (too_slow + end) / 2;
            let prediction = self.predict(&loaded, &candidates[middle])?;
            let is_within = prediction.total_seconds() <= budget.as_secs_f64();
            measured.push((prediction.total_seconds(), candidates[middle].clone()));
            if is_within {
                (fits, end) = (Some(prediction), middle);
            } else {
                too_slow = middle + 1;
            }
        }
        let reasons = reasons(measured);
        let Some(chosen) = fits else {
            return Err(TrainError::Usage(format!(
                "no strategy fits {}: {reasons}; give more time, or fewer examples with --max-train-samples N",
                humantime::format_duration(budget)
            )));
        };
        self.progress.line(&format!(
            "budget {}: {reasons}; {} is the deepest that fits",
            humantime::format_duration(budget),
            chosen.strategy
        ));
        self.request.settings.strategy = chosen.strategy;
        Ok(())
    }

    fn predict(&mut self, loaded: &temper_models::Loaded, strategy: &str) -> Result<Estimate, TrainError> {
        self.request.settings.strategy = strategy.into();
        let plan = self.plan(loaded, &loaded.new)?;
        let (clip, _) = self.optimizer(&plan);
        let model = self.task_model(loaded.model.clone(), &plan, 0, &clip);
        self.measure(&model, &plan)
    }
}

/// Deepest first.
fn candidates(model: &Model) -> Vec<String> {
    let layers = model.backbone.layer_count();
    let upper = (1..layers).rev().map(|count| format!("last:{count}"));
    std::iter::once("all".to_owned()).chain(upper).chain(["head".to_owned()]).collect()
}

fn reasons(mut measured: Vec<(f64, String)>) -> String {
    measured.sort_by(|left, right| right.0.total_cmp(&left.0));
    let told: Vec<String> = measured
        .iter()
        .map(|(seconds, strategy)| format!("{strategy} takes {}", duration(*seconds)))
        .collect();
    told.join(", ")
}
