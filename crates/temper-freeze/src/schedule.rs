//! The learning rate of each step.

use std::f64::consts::PI;

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use serde::{Deserialize, Serialize};

/// How the learning rate continues after its warm-up; the names are transformers' (`lr_scheduler_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateShape {
    /// Linearly to zero.
    #[default]
    Linear,
    /// To zero as half a cosine does, or as several waves of it.
    Cosine,
    /// To zero as half a cosine does, several times.
    CosineWithRestarts,
    /// As a power of what is left of the run, to 1e-7.
    Polynomial,
    /// The same in every step, without a warm-up.
    Constant,
    /// The same in every step after the warm-up.
    ConstantWithWarmup,
    /// As the inverse of the root of the step; a run may be of any length.
    InverseSqrt,
}

/// A schedule of the learning rate: a linear warm-up from zero, then a shape.
///
/// Follows transformers 5.23, `optimization.py`: the first optimiser step runs at rate zero when there is a warm-up.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSchedule {
    shape: RateShape,
    peak: f64,
    warmup_steps: usize,
    total_steps: usize,
    cycles: Option<f64>,
    power: f64,
    next_step: usize,
}

/// The last rate of a polynomial, as in transformers.
const POLYNOMIAL_END: f64 = 1e-7;
/// Steps after which the rate of an inverse root without a warm-up begins to fall, as in transformers.
const TIMESCALE: usize = 10_000;

impl RateSchedule {
    /// A schedule over `total_steps` optimiser steps with the given highest rate.
    pub fn new(shape: RateShape, peak: f64, warmup_steps: usize, total_steps: usize) -> Self {
        Self { shape, peak, warmup_steps, total_steps, cycles: None, power: 1.0, next_step: 0 }
    }

    /// Linear warm-up, then linear decay to zero.
    pub fn linear(peak: f64, warmup_steps: usize, total_steps: usize) -> Self {
        Self::new(RateShape::Linear, peak, warmup_steps, total_steps)
    }

    /// Waves of a cosine (half a wave ends at zero), or how often it is started; transformers' default of the shape
    /// where there is none.
    #[must_use]
    pub fn with_cycles(self, cycles: Option<f64>) -> Self {
        Self { cycles, ..self }
    }

    /// The exponent of a polynomial, 1 by default.
    #[must_use]
    pub fn with_power(self, power: f64) -> Self {
        Self { power, ..self }
    }

    /// The same schedule, of which `steps` are done.
    #[must_use]
    pub fn after(mut self, steps: usize) -> Self {
        self.next_step = steps;
        self
    }

    /// The rate of a step, counted from zero.
    pub fn rate(&self, step: usize) -> f64 {
        if self.shape == RateShape::Constant {
            return self.peak;
        }
        if step < self.warmup_steps {
            return self.peak * (step as f64 / self.warmup_steps as f64);
        }
        let decay_steps = (self.total_steps - self.warmup_steps.min(self.total_steps)).max(1) as f64;
        let progress = (step - self.warmup_steps) as f64 / decay_steps;
        match self.shape {
            RateShape::Linear => self.peak * (self.total_steps.saturating_sub(step) as f64 / decay_steps),
            RateShape::Cosine => {
                let waves = self.cycles.unwrap_or(0.5);
                self.peak * (0.5 * (1.0 + (PI * waves * 2.0 * progress).cos())).max(0.0)
            }
            RateShape::CosineWithRestarts if progress >= 1.0 => 0.0,
            RateShape::CosineWithRestarts => {
                let cycles = self.cycles.unwrap_or(1.0);
                self.peak * (0.5 * (1.0 + (PI * (cycles * progress % 1.0)).cos())).max(0.0)
            }
            RateShape::Polynomial if step > self.total_steps => POLYNOMIAL_END,
            RateShape::Polynomial => {
                (self.peak - POLYNOMIAL_END) * (1.0 - progress).max(0.0).powf(self.power) + POLYNOMIAL_END
            }
            RateShape::Constant | RateShape::ConstantWithWarmup => self.peak,
            RateShape::InverseSqrt => {
                let timescale = if self.warmup_steps == 0 { TIMESCALE } else { self.warmup_steps };
                let shifted = (step + timescale - self.warmup_steps) as f64;
                self.peak / (shifted / timescale as f64).sqrt()
            }
        }
    }
}

impl LrScheduler for RateSchedule {
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

    /// Rates of every shape, written with transformers by xtask/reference/learning_rates_fixture.py.
    #[test]
    fn rates_are_those_of_transformers() {
        #[derive(Deserialize)]
        struct Case {
            shape: RateShape,
            warmup_steps: usize,
            total_steps: usize,
            cycles: Option<f64>,
            power: Option<f64>,
            rates: Vec<f64>,
        }
        let text = include_str!("../tests/fixtures/learning_rates.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 20);
        for Case { shape, warmup_steps, total_steps, cycles, power, rates } in cases {
            let power = power.unwrap_or(1.0);
            let schedule = RateSchedule::new(shape, 2e-5, warmup_steps, total_steps);
            let mut schedule = schedule.with_cycles(cycles).with_power(power);
            for (step, expected) in rates.into_iter().enumerate() {
                let rate = schedule.step();
                let what = format!("{shape:?} {warmup_steps} {total_steps} {cycles:?} {power}: step {step}");
                assert!((rate - expected).abs() <= 1e-12 * 2e-5, "{what}: {rate}, not {expected}");
            }
        }
    }

    #[test]
    fn rises_then_falls_to_zero() {
        let mut schedule = RateSchedule::linear(1.0, 2, 6);
        let rates: Vec<f64> = (0..7).map(|_| schedule.step()).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn goes_on_from_a_record() {
        let mut first = RateSchedule::linear(1.0, 2, 6);
        first.step();
        first.step();
        let mut second = RateSchedule::linear(1.0, 2, 6);
        second.load_record(first.to_record());
        assert_eq!(second.step(), first.step());
        assert_eq!(RateSchedule::linear(1.0, 2, 6).after(3).step(), first.step());
    }

    #[test]
    fn a_warmup_as_long_as_the_run_does_not_divide_by_zero() {
        for shape in [RateShape::Linear, RateShape::Cosine, RateShape::Polynomial, RateShape::InverseSqrt] {
            assert!((0..9).all(|step| RateSchedule::new(shape, 1.0, 5, 5).rate(step).is_finite()));
        }
    }
}
