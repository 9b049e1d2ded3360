//! The frozen lower part of a model, which runs without autodiff: no graph is kept for it, and
//! Burn's fused kernels serve it.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// True when no parameter of the module asks for a gradient.
pub fn is_frozen<M: Module>(module: &M) -> bool {
    struct AnyTrains(bool);
    impl ModuleVisitor for AnyTrains {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }
    let mut any = AnyTrains(false);
    module.visit(&mut any);
    !any.0
}

/// Runs one layer: without autodiff as long as nothing below it and nothing in it trains.
///
/// The input carries the decision upwards: a tensor without autodiff means that everything below
/// is frozen. In the first layer that trains, its parameters lift the result back.
///
/// # Shapes
/// - input: `[tokens, hidden]`; output: `[rows, hidden]`
pub fn run_frozen_without_autodiff<M: Module>(
    layer: &M,
    input: Tensor<2>,
    forward: impl FnOnce(&M, Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    if !input.is_autodiff() && is_frozen(layer) {
        return forward(&layer.valid(), input);
    }
    forward(layer, input)
}
