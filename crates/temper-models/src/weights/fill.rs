//! Putting values into a model's parameters by path.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};

use super::Layout;
use crate::ModelError;
use crate::parameters::{PathTracker, is_fixed, parameter_id};

/// What a parameter is filled from. Its values are read when it is its turn: no second copy of a model is ever held.
pub(crate) struct Source<'a> {
    pub(crate) read: Box<dyn FnOnce() -> Result<TensorData, ModelError> + 'a>,
    pub(crate) layout: Layout,
}

/// Replaces every parameter that has a source; each gets an id derived from its path, so that
/// optimiser states find their parameter again in another process.
///
/// # Errors
/// The first one of a source.
pub(crate) fn fill<M: Module>(module: M, sources: HashMap<String, Source<'_>>) -> Result<M, ModelError> {
    let mut filler = Filler { path: PathTracker::default(), sources, failed: None };
    let module = module.map(&mut filler);
    match filler.failed {
        Some(error) => Err(error),
        None => Ok(module),
    }
}

/// Replaces the parameters at these paths by values in their own layout and of their shape; other paths are left out.
pub fn with_parameters<M: Module>(module: M, values: HashMap<String, TensorData>) -> M {
    let source = |values| Source { read: Box::new(move || Ok(values)), layout: Layout::Same };
    let sources = values.into_iter().map(|(path, values)| (path, source(values))).collect();
    let mut filler = Filler { path: PathTracker::default(), sources, failed: None };
    module.map(&mut filler)
}

struct Filler<'a> {
    path: PathTracker,
    sources: HashMap<String, Source<'a>>,
    failed: Option<ModelError>,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.path();
        let Some(source) = self.sources.remove(&path) else { return param };
        if self.failed.is_some() {
            return param;
        }
        let data = match (source.read)() {
            Ok(data) => data,
            Err(error) => {
                self.failed = Some(error);
                return param;
            }
        };
        let device = param.lazy_device();
        let tensor = match source.layout {
            Layout::Same => Tensor::from_data(data, &device),
            Layout::Transposed => contiguous(Tensor::<D>::from_data(data, &device).swap_dims(0, 1)),
            // [1, width] -> [width]
            Layout::OneRow => Tensor::<2>::from_data(data, &device).reshape(param.lazy_shape()),
        };
        let trains = device.is_autodiff() && !is_fixed(&path);
        Param::initialized(parameter_id(&path), tensor.set_require_grad(trains))
    }
}

// A transposed view would be copied again by every matrix product.
fn contiguous<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let device = tensor.device();
    Tensor::from_data(tensor.into_data(), &device)
}
