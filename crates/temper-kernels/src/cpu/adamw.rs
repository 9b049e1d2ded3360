//! AdamW in one pass over parameter, gradient and moments.

use super::{TASK_ELEMENTS, lane_sum, run_tasks, vectorized};

/// Settings of one AdamW step (Loshchilov and Hutter 2019), as PyTorch 2 computes it
/// (`_single_tensor_adam` in `torch/optim/adam.py` with `decoupled_weight_decay`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Part of the parameter that goes in a step, times the learning rate.
    pub weight_decay: f64,
}

impl AdamW {
    /// Updates one parameter and its moments in place.
    ///
    /// `step` counts from 1 and corrects the moments' start at zero. Every gradient is multiplied by
    /// `gradient_factor` first: 1, or what clips the norm of all gradients.
    ///
    /// # Shapes
    /// - all four slices: equally long
    ///
    /// # Panics
    /// On a step of zero or slices of different lengths.
    pub fn step(
        &self,
        step: u32,
        gradient_factor: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
    ) {
        assert!(step > 0, "AdamW: steps count from 1");
        let len = parameter.len();
        assert!(
            gradient.len() == len && first_moment.len() == len && second_moment.len() == len,
            "AdamW: lengths differ"
        );
        let factors = self.factors(step, gradient_factor);
        let moments = first_moment.chunks_mut(TASK_ELEMENTS).zip(second_moment.chunks_mut(TASK_ELEMENTS));
        let values = parameter.chunks_mut(TASK_ELEMENTS).zip(gradient.chunks(TASK_ELEMENTS));
        run_tasks(values.zip(moments).collect(), |((parameter, gradient), (first, second))| {
            vectorized(
                #[inline(always)]
                || factors.update(parameter, gradient, first, second),
            )
        });
    }

    /// Everything that does not depend on the element, computed in f64 as PyTorch does.
    fn factors(&self, step: u32, gradient_factor: f32) -> Factors {
        let step = f64::from(step);
        let (correction1, correction2) = (1.0 - self.beta1.powf(step), 1.0 - self.beta2.powf(step));
        Factors {
            gradient: gradient_factor,
            decay: (1.0 - self.learning_rate * self.weight_decay) as f32,
            first: (1.0 - self.beta1) as f32,
            second_kept: self.beta2 as f32,
            second: (1.0 - self.beta2) as f32,
            root: (1.0 / correction2.sqrt()) as f32,
            epsilon: self.epsilon as f32,
            step_size: (self.learning_rate / correction1) as f32,
        }
    }
}

#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    decay: f32,
    first: f32,
    second_kept: f32,
    second: f32,
    root: f32,
    epsilon: f32,
    step_size: f32,
}

impl Factors {
    #[inline(always)]
    fn update(&self, parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let moments = first.iter_mut().zip(second);
        for ((p, &g), (m, v)) in parameter.iter_mut().zip(gradient).zip(moments) {
            let g = g * self.gradient;
            *m = (g - *m).mul_add(self.first, *m);
            *v = (g * g).mul_add(self.second, *v * self.second_kept);
            let denominator = v.sqrt().mul_add(self.root, self.epsilon);
            *p = *p * self.decay - self.step_size * *m / denominator;
        }
    }
}

/// The sum of the squares of all elements, the same for any number of threads.
pub fn sum_of_squares(gradient: &[f32]) -> f64 {
    /// Elements whose squares are added in f32.
    const SHORT: usize = 4096;
    let mut partial = vec![0.0_f64; gradient.len().div_ceil(TASK_ELEMENTS)];
    let tasks = partial.iter_mut().zip(gradient.chunks(TASK_ELEMENTS)).collect();
    run_tasks(tasks, |(sum, values)| {
        let short = values.chunks(SHORT).map(|values| {
            vectorized(
                #[inline(always)]
                || lane_sum(values, |value| value * value),
            )
        });
        *sum = short.map(f64::from).sum();
    });
    partial.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAMW: AdamW =
        AdamW { learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.5 };

    fn noise(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 5000.0 - 1.0).collect()
    }

    /// The lines of PyTorch's `_single_tensor_adam`, in f64, for one element.
    fn step_f64(step: i32, gradient: f64, [p, m, v]: [f64; 3]) -> [f64; 3] {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = ADAMW;
        let p = p * (1.0 - learning_rate * weight_decay);
        let m = beta1 * m + (1.0 - beta1) * gradient;
        let v = beta2 * v + (1.0 - beta2) * gradient * gradient;
        let denominator = v.sqrt() / (1.0 - beta2.powi(step)).sqrt() + epsilon;
        [p - learning_rate / (1.0 - beta1.powi(step)) * m / denominator, m, v]
    }

    #[test]
    fn steps_agree_with_pytorchs_formulas() {
        for len in [0, 1, 9, 1000, TASK_ELEMENTS + 3] {
            let mut parameter = noise(len, 1);
            let (mut first, mut second) = (vec![0.0; len], vec![0.0; len]);
            let mut expected: Vec<[f64; 3]> = parameter.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
            for step in 1..=20_u32 {
                let gradient = noise(len, 10 + step as usize);
                ADAMW.step(step, 0.25, &mut parameter, &gradient, &mut first, &mut second);
                for (values, &gradient) in expected.iter_mut().zip(&gradient) {
                    *values = step_f64(step as i32, 0.25 * f64::from(gradient), *values);
                }
            }
            for (i, expected) in expected.iter().enumerate() {
                for (result, expected) in [parameter[i], first[i], second[i]].into_iter().zip(expected) {
                    assert!((f64::from(result) - expected).abs() < 1e-6, "{i}: {result}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn the_first_step_is_the_learning_rate_against_the_sign_of_the_gradient() {
        let mut parameter = [1.0, -1.0];
        let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
        ADAMW.step(1, 1.0, &mut parameter, &[0.5, -3.0], &mut first, &mut second);
        let expected = 1.0 - ADAMW.learning_rate * ADAMW.weight_decay - ADAMW.learning_rate;
        for (parameter, sign) in parameter.into_iter().zip([1.0, -1.0]) {
            assert!((f64::from(parameter) - sign * expected).abs() < 1e-7, "{parameter}");
        }
    }

    #[test]
    #[should_panic(expected = "steps count from 1")]
    fn refuses_a_step_of_zero() {
        ADAMW.step(0, 1.0, &mut [], &[], &mut [], &mut []);
    }

    #[test]
    fn the_sum_of_squares_counts_every_element_on_any_number_of_threads() {
        for len in [0, 1, 4097, 5 * TASK_ELEMENTS + 77] {
            let values = noise(len, 3);
            let expected: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| sum_of_squares(&values))
            };
            assert!((run(1) - expected).abs() <= 1e-6 * expected, "{len}");
            assert_eq!(run(1).to_bits(), run(3).to_bits());
        }
    }
}
