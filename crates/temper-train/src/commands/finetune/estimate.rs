use std::time::Instant;

use burn::train::TrainStep;

use super::job::Job;
use crate::settings::{Preset, Settings};
use crate::tasks::Task;
use crate::training::TaskModel;

impl<T: Task> Job<T> {
    /// Measures the first step ahead of the run and says what to expect.
    pub(super) fn estimate(&self, model: &TaskModel<T>) {
        let plan = self.steps.plan(0);
        let Some(first) = plan.first() else { return };
        let step = self.steps.step(first, 0);
        let tokens: usize = step.batches.iter().map(|batch| batch.tokens.tokens()).sum();
        // The first one pages memory in; the fastest is what the run will settle at.
        let seconds = (0..3)
            .map(|_| {
                let started = Instant::now();
                let _ = TrainStep::step(model, step.clone());
                started.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        let pace = seconds / tokens as f64;
        let used = self.splits.train.examples.encoded.tokens_total;
        let epochs = self.schedule.total_steps as f64 / self.schedule.steps_per_epoch as f64;
        let this_run = pace * used as f64 * epochs;
        let full_epochs = Settings::default().num_train_epochs;
        let full = pace * self.splits.full_train_tokens as f64 * full_epochs as f64;
        let full = if self.request.preset == Preset::Cpu {
            format!(
                "; the full job ({} examples, {full_epochs} epochs) about {}",
                self.splits.report.full_train_rows,
                minutes(full)
            )
        } else {
            String::new()
        };
        self.progress.line(&format!(
            "{} optimiser steps; training will take about {}{full}",
            self.schedule.total_steps,
            minutes(this_run)
        ));
    }
}

/// A duration for people.
fn minutes(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}
