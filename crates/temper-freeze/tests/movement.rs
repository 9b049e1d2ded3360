//! How far parts of a model moved, of parameters that are moved by a known factor.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};
use temper_freeze::{FreezePlan, ParameterSample, Strategy};
use temper_models::{HeadRequest, Model};

/// Multiplies some parameters.
struct Scaled {
    ids: Vec<ParamId>,
    factor: f64,
}

impl ModuleMapper for Scaled {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.ids.contains(&param.id) {
            true => param.map(|tensor| tensor * self.factor),
            false => param,
        }
    }
}

#[test]
fn each_part_moved_by_what_its_parameters_moved() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
    let model = Model::load(&fixture, &HeadRequest::FromConfig, &Device::flex()).unwrap().model;
    let strategy: Strategy = "last:1".parse().unwrap();
    let plan = FreezePlan::new(&strategy, &model.parameters(), &[]).unwrap();
    let before = ParameterSample::of(&model);
    let layer = plan.ids(|row| row.path.starts_with("layers.1."));
    let head = plan.ids(|row| row.path.starts_with("head."));
    let moved =
        model.map(&mut Scaled { ids: layer, factor: 1.25 }).map(&mut Scaled { ids: head, factor: 0.0 });
    let movement = before.movement(&ParameterSample::of(&moved), &plan);

    let names: Vec<&str> = movement.iter().map(|part| part.part.as_str()).collect();
    assert_eq!((names[0], names[1], names[2]), ("embeddings", "layer 0", "layer 1"), "{names:?}");
    assert_eq!(names.last(), Some(&"head"));
    assert_eq!(movement.iter().map(|part| part.parameters).sum::<usize>(), plan.total());
    assert_eq!(movement.iter().map(|part| part.trained).sum::<usize>(), plan.trainable());
    for part in &movement {
        let right = match part.part.as_str() {
            "layer 1" => 0.25,
            "head" => 1.0,
            _ => 0.0,
        };
        let found = part.relative_change.unwrap();
        assert!((found - right).abs() < 1e-6, "{part:?}");
    }
}
