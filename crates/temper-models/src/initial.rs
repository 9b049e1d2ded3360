//! Fresh parameters, drawn on the host: the same on every machine and backend.

use burn::module::Module;
use burn::tensor::TensorData;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::parameters::hash_of;
use crate::weights::{Layout, Source, fill};
use crate::{FamilyFacts, HeadFacts, ModelError, Parameter, ParameterTable};

/// The path of a head's output map.
const OUTPUT: &str = "head.output.weight";

/// Fills every parameter of a model with new values.
///
/// # Errors
/// None of its own; [`fill`] has some.
pub(crate) fn draw<M: Module>(
    model: M,
    facts: &FamilyFacts,
    head: Option<&HeadFacts>,
    seed: u64,
) -> Result<M, ModelError> {
    let parameters = ParameterTable::of(&model).parameters;
    let source = |parameter: Parameter| {
        let path = parameter.path.clone();
        let read = Box::new(move || Ok(fresh(&parameter, facts, head, seed)));
        (path, Source { read, layout: Layout::Same })
    };
    let sources = parameters.into_iter().map(source);
    fill(model, sources.collect())
}

/// Values for a new parameter, as transformers draws them: weights from a normal distribution
/// with the configuration's `initializer_range` or what the family has for it ([`FamilyFacts::initial`]), biases
/// zero, gains of norms one.
///
/// The stream depends on the seed and the path alone, not on the order of parameters.
pub(crate) fn fresh(
    parameter: &Parameter,
    facts: &FamilyFacts,
    head: Option<&HeadFacts>,
    seed: u64,
) -> TensorData {
    let of_output = head.and_then(|head| head.deviation).filter(|_| parameter.path == OUTPUT);
    let own = facts.initial.iter().find(|(end, _)| parameter.path.ends_with(end));
    let deviation = of_output.or(own.map(|(_, deviation)| *deviation)).unwrap_or(facts.initializer_range);
    drawn(parameter, deviation, facts.cutoff.unwrap_or(f64::INFINITY), seed)
}

/// Values from a normal distribution without what is further than `cutoff` deviations from zero.
fn drawn(parameter: &Parameter, deviation: f64, cutoff: f64, seed: u64) -> TensorData {
    let count = parameter.count();
    let values = if deviation == 0.0 {
        vec![0.0; count]
    } else if parameter.path.ends_with("norm.weight") {
        vec![1.0; count]
    } else if parameter.shape.len() == 1 {
        vec![0.0; count]
    } else {
        let mut generator = ChaCha8Rng::seed_from_u64(seed ^ hash_of(&parameter.path));
        let mut near = || loop {
            let number = normal(&mut generator);
            // Below a tenth, hardly any number would be near enough.
            if number.abs() <= cutoff.max(0.1) {
                return number;
            }
        };
        (0..count).map(|_| (near() * deviation) as f32).collect()
    };
    TensorData::new(values, parameter.shape.clone())
}

/// A matrix of numbers that are uniform in `[-bound, bound)`; the stream depends on seed and path alone.
pub(crate) fn uniform_matrix(path: &str, shape: [usize; 2], bound: f64, seed: u64) -> TensorData {
    let mut generator = ChaCha8Rng::seed_from_u64(seed ^ hash_of(path));
    let [rows, columns] = shape;
    let number = |_| ((2.0 * uniform(&mut generator) - 1.0) * bound) as f32;
    TensorData::new((0..rows * columns).map(number).collect::<Vec<f32>>(), shape)
}

/// A standard normal number by Box and Muller's transform.
fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(generator)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(generator)).cos()
}

/// A number in `[0, 1)` from the upper 53 bits.
fn uniform(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use burn::module::ParamId;

    use super::*;

    fn parameter(path: &str, shape: &[usize]) -> Parameter {
        Parameter { path: path.into(), shape: shape.to_vec(), id: ParamId::from(1), trains: true }
    }

    #[test]
    fn weights_have_the_asked_deviation_and_biases_are_zero() {
        let weights = drawn(&parameter("head.output.weight", &[100, 100]), 0.02, f64::INFINITY, 42);
        let values: Vec<f32> = weights.iter::<f32>().collect();
        let mean = values.iter().sum::<f32>() / 1e4;
        let deviation = (values.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 1e4).sqrt();
        assert!(mean.abs() < 1e-3, "{mean}");
        assert!((deviation - 0.02).abs() < 1e-3, "{deviation}");
        let biases = drawn(&parameter("head.output.bias", &[3]), 0.02, f64::INFINITY, 42);
        assert_eq!(biases.iter::<f32>().collect::<Vec<_>>(), [0.0; 3]);
    }

    #[test]
    fn draws_depend_on_seed_and_path() {
        let draw = |path, seed| {
            drawn(&parameter(path, &[2, 2]), 1.0, f64::INFINITY, seed).iter::<f32>().collect::<Vec<_>>()
        };
        assert_eq!(draw("a", 1), draw("a", 1));
        assert_ne!(draw("a", 1), draw("a", 2));
        assert_ne!(draw("a", 1), draw("b", 1));
    }
}
