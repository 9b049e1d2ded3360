//! The learning rate of each step.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};

/// Linear warm-up from zero, then linear decay to zero.
///
/// Follows transformers 5.23, `get_linear_schedule_with_warmup`: the first optimiser step runs at
/// rate zero when there is a warm-up.
#[derive(Clone, Debug)]
pub struct LinearWarmup {
    peak: f64,
    warmup_steps: usize,
    total_steps: usize,
    next_step: usize,
}

impl LinearWarmup {
    /// A schedule over `total_steps` optimiser steps with the given highest rate.
    pub fn new(peak: f64, warmup_steps: usize, total_steps: usize) -> Self {
        Self { peak, warmup_steps, total_steps, next_step: 0 }
    }

    /// The same schedule, of which `steps` are done.
    pub fn after(mut self, steps: usize) -> Self {
        self.next_step = steps;
        self
    }

    /// The rate of a step, counted from zero.
    pub fn rate(&self, step: usize) -> f64 {
        let factor = if step < self.warmup_steps {
            step as f64 / self.warmup_steps as f64
        } else {
            let decay_steps = (self.total_steps - self.warmup_steps.min(self.total_steps)).max(1);
            self.total_steps.saturating_sub(step) as f64 / decay_steps as f64
        };
        self.peak * factor
    }
}

impl LrScheduler for LinearWarmup {
    fn step(&mut self) -> f64 {
        let rate = self.rate(self.next_step);
        self.next_step += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("next_step", self.next_step)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(step) = record.scalar("next_step") {
            self.next_step = step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_zero() {
        let mut schedule = LinearWarmup::new(1.0, 2, 6);
        let rates: Vec<f64> = (0..7).map(|_| schedule.step()).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn goes_on_from_a_record() {
        let mut first = LinearWarmup::new(1.0, 2, 6);
        first.step();
        first.step();
        let mut second = LinearWarmup::new(1.0, 2, 6);
        second.load_record(first.to_record());
        assert_eq!(second.step(), first.step());
        assert_eq!(LinearWarmup::new(1.0, 2, 6).after(3).step(), first.step());
    }

    #[test]
    fn a_warmup_as_long_as_the_run_does_not_divide_by_zero() {
        assert!((0..9).all(|step| LinearWarmup::new(1.0, 5, 5).rate(step).is_finite()));
    }
}
