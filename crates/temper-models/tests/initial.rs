//! New models are drawn as transformers draws them: each tensor as large, over many seeds.

#[path = "common/zoo.rs"]
mod zoo;

use std::collections::BTreeMap;

use burn::tensor::Device;
use temper_models::Model;

/// As many as the fixture's.
const SEEDS: u64 = 40;
/// Standard errors of the difference of two root mean squares that are allowed.
const ERRORS: f64 = 6.0;

#[test]
fn new_weights_are_as_large_as_those_of_transformers() {
    let text = include_str!("fixtures/initial.json");
    let expected: BTreeMap<String, BTreeMap<String, f64>> = serde_json::from_str(text).expect("JSON");
    let mut wrong = Vec::new();
    for case in zoo::cases() {
        let mut squares: BTreeMap<String, (f64, usize)> = BTreeMap::new();
        for seed in 0..SEEDS {
            let model = Model::random(&case.config, seed, &Device::flex()).expect("a new model");
            for (name, tensor) in model.stored(&case.config, |_| true).expect("stored names") {
                let values = tensor.values();
                let mean =
                    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64;
                let sum = squares.entry(name).or_insert((0.0, values.len()));
                sum.0 += mean / SEEDS as f64;
            }
        }
        for (name, (square, count)) in squares {
            let expected = expected[&case.name][&name];
            let found = square.sqrt();
            // That of a root mean square of n normal numbers is 1 / sqrt(2 n) of it.
            let allowed = ERRORS * expected * (count as f64 * SEEDS as f64).powf(-0.5) + 1e-6;
            if (found - expected).abs() > allowed {
                wrong.push(format!("{} {name}: {found:.4}, not {expected:.4}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
