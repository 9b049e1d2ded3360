//! How far training moved each part of a model.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use serde::Serialize;

use crate::FreezePlan;
use crate::figure::parts_of;

/// Elements of a parameter that are compared at most: 64 KiB a parameter, whatever the size of the model.
const SAMPLED: usize = 1 << 14;

/// Values of a model's parameters at one moment: all of a small one, 16,384 of a large one.
#[derive(Clone, Debug)]
pub struct ParameterSample(HashMap<ParamId, Vec<f32>>);

/// How far the parameters of one part of a model moved together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartMovement {
    /// The part, from the bottom of the model up: `embeddings`, `layer 3`, `decoder layer 3`, `head`.
    pub part: String,
    /// Its parameters, in elements.
    pub parameters: usize,
    /// Those of them that train at any time, those of adapters among them.
    pub trained: usize,
    /// The norm of the change divided by the norm before, over all its parameters; none where that was 0. Parameters
    /// of more than 16,384 elements count by as many of them.
    pub relative_change: Option<f64>,
}

impl ParameterSample {
    /// Copies values of a module's parameters.
    pub fn of<M: Module>(module: &M) -> Self {
        let mut sampler = Sampler(HashMap::new());
        module.visit(&mut sampler);
        Self(sampler.0)
    }

    /// Compares with the same parameters later, part by part. Parameters that only one of the two has, such as
    /// adapters that are merged by then, are passed over.
    pub fn movement(&self, after: &Self, plan: &FreezePlan) -> Vec<PartMovement> {
        parts_of(plan)
            .into_iter()
            .map(|(part, rows)| {
                let (mut change, mut norm) = (0.0, 0.0);
                for row in &rows {
                    let (Some(before), Some(after)) = (self.0.get(&row.id), after.0.get(&row.id)) else {
                        continue;
                    };
                    if before.len() != after.len() {
                        continue;
                    }
                    // Each element of a sample represents the same number of elements.
                    let weight = row.count as f64 / before.len().max(1) as f64;
                    change +=
                        weight * squares(before.iter().zip(after).map(|(before, after)| after - before));
                    norm += weight * squares(before.iter().copied());
                }
                PartMovement {
                    part,
                    parameters: rows.iter().map(|row| row.count).sum(),
                    trained: rows.iter().filter(|row| row.trains).map(|row| row.count).sum(),
                    relative_change: (norm > 0.0).then(|| (change / norm).sqrt()),
                }
            })
            .collect()
    }
}

fn squares(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum()
}

struct Sampler(HashMap<ParamId, Vec<f32>>);

impl ModuleVisitor for Sampler {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data().convert::<f32>();
        let values = data.as_slice::<f32>().unwrap_or_default();
        self.0.insert(param.id, places(values.len()).map(|place| values[place]).collect());
    }
}

/// The elements that are compared. Multiples of the golden ratio spread over any shape; equal steps would read the
/// same few columns of a matrix.
fn places(count: usize) -> impl Iterator<Item = usize> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let spread = move |number: usize| ((number as f64 * GOLDEN).fract() * count as f64) as usize;
    (0..count.min(SAMPLED)).map(move |number| if count <= SAMPLED { number } else { spread(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_all_of_a_small_parameter_and_spread_over_a_large_one() {
        assert!(places(100).eq(0..100));
        // A matrix of 4096 by 4096: every column group of 64 and every row group of 64 about equally often.
        let side = 4096;
        let (mut rows, mut columns) = (vec![0; 64], vec![0; 64]);
        for place in places(side * side) {
            rows[place / side / 64] += 1;
            columns[place % side / 64] += 1;
        }
        for count in rows.iter().chain(&columns) {
            assert!((128..=512).contains(count), "{rows:?} {columns:?}");
        }
    }
}
