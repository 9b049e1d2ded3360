//! The check that parameters are finite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use temper_models::{Model, PathTracker};

/// The path of the first parameter that trains and holds NaN or an infinite value.
pub(super) fn first_not_finite(model: &Model) -> Option<String> {
    let mut search = FiniteCheck { path: PathTracker::default(), found: None };
    model.visit(&mut search);
    search.found
}

struct FiniteCheck {
    path: PathTracker,
    found: Option<String>,
}

impl ModuleVisitor for FiniteCheck {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // What does not train is what was loaded.
        if self.found.is_some() || !param.is_require_grad() {
            return;
        }
        let all_finite = param.val().is_finite().all().into_scalar::<bool>();
        if !all_finite {
            self.found = Some(self.path.path());
        }
    }
}
