//! L-BFGS (Liu and Nocedal 1989; Nocedal and Wright 2006, algorithms 7.4 and 3.1) for smooth convex
//! functions.

use std::collections::VecDeque;

/// Pairs of steps and changes of the gradient that shape the next step.
const MEMORY: usize = 10;
const ITERATIONS: usize = 2_000;
/// The largest component of the gradient that counts as none.
const TOLERANCE: f64 = 1e-8;
/// The share of the promised descent that a step must bring (Armijo).
const SUFFICIENT: f64 = 1e-4;
/// Maximum number of halvings of a step. A loss that is still not lower differs only by rounding.
const HALVINGS: usize = 40;

/// A step, the change of the gradient along it, and one over their product.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// Walks from `point` to where the gradient vanishes; `value` gives a function's value and fills
/// in its gradient.
pub fn minimise(mut point: Vec<f64>, value: impl Fn(&[f64], &mut [f64]) -> f64) -> Vec<f64> {
    let mut gradient = vec![0.0; point.len()];
    let mut height = value(&point, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    for _ in 0..ITERATIONS {
        if gradient.iter().all(|slope| slope.abs() <= TOLERANCE) {
            break;
        }
        let direction = descent(&gradient, &pairs);
        let promised = dot(&direction, &gradient);
        // Without a memory the length of a step is a guess.
        let mut length =
            if pairs.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let mut next = point.clone();
        let mut next_gradient = vec![0.0; point.len()];
        let mut found = None;
        for _ in 0..HALVINGS {
            for ((next, start), along) in next.iter_mut().zip(&point).zip(&direction) {
                *next = start + length * along;
            }
            let reached = value(&next, &mut next_gradient);
            if reached <= height + SUFFICIENT * length * promised {
                found = Some(reached);
                break;
            }
            length /= 2.0;
        }
        let Some(reached) = found else { break };
        remember(&mut pairs, minus(&next, &point), minus(&next_gradient, &gradient));
        (point, gradient, height) = (next, next_gradient, reached);
    }
    point
}

/// Minus the gradient times the approximate inverse Hessian, by the two loops.
fn descent(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &direction);
        add(&mut direction, -share, &pair.change);
        shares.push(share);
    }
    if let Some(last) = pairs.back() {
        let scale = 1.0 / (last.inverse * dot(&last.change, &last.change));
        direction.iter_mut().for_each(|along| *along *= scale);
    }
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let back = pair.inverse * dot(&pair.change, &direction);
        add(&mut direction, share - back, &pair.step);
    }
    direction
}

fn remember(pairs: &mut VecDeque<Pair>, step: Vec<f64>, change: Vec<f64>) {
    let product = dot(&step, &change);
    // A convex function's is above zero, rounding apart.
    if product <= f64::EPSILON * dot(&change, &change) {
        return;
    }
    if pairs.len() == MEMORY {
        pairs.pop_front();
    }
    pairs.push_back(Pair { step, change, inverse: 1.0 / product });
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn minus(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left - right).collect()
}

fn add(sum: &mut [f64], factor: f64, other: &[f64]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += factor * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steep_and_narrow_valley() {
        // The minimum of sum_i (10^i (x_i - i)^2 + (x_i - i)^4) is at x_i = i.
        let found = minimise(vec![5.0; 6], |point, gradient| {
            let mut height = 0.0;
            for (index, (&at, slope)) in point.iter().zip(gradient).enumerate() {
                let (far, weight) = (at - index as f64, 10.0_f64.powi(index as i32));
                height += weight * far.powi(2) + far.powi(4);
                *slope = 2.0 * weight * far + 4.0 * far.powi(3);
            }
            height
        });
        for (index, at) in found.iter().enumerate() {
            assert!((at - index as f64).abs() < 1e-6, "{found:?}");
        }
    }
}
