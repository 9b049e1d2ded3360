use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use temper_kernels::sum_of_squares;

/// Euclidean norms of gradients, before clipping.
#[derive(Clone, Debug)]
pub struct GradientNorms {
    /// Norm of each parameter that has a gradient.
    pub each: Vec<(ParamId, f32)>,
    /// Norm over all of them.
    pub total: f32,
}

impl GradientNorms {
    /// What is left of gradients whose common norm may be `max_norm` at most: a factor of 1 or less.
    ///
    /// Follows PyTorch 2.15, `clip_grad_norm_`, down to its 1e-6: Burn clips tensor by tensor.
    pub fn clip_factor(&self, max_norm: f32) -> f32 {
        (max_norm / (self.total + 1e-6)).min(1.0)
    }
}

/// Norms of the gradients of a module, read from the device in one go.
pub fn gradient_norms<M: Module>(module: &M, gradients: &GradientsParams) -> GradientNorms {
    let mut squares = Squares { gradients, ids: Vec::new(), sums: Vec::new() };
    module.visit(&mut squares);
    if squares.sums.is_empty() {
        return GradientNorms { each: Vec::new(), total: 0.0 };
    }
    // [1] a parameter -> [parameters]
    let sums: Vec<f32> = Tensor::cat(squares.sums, 0).into_data().iter::<f32>().collect();
    let total = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt() as f32;
    GradientNorms { each: squares.ids.into_iter().zip(sums.into_iter().map(f32::sqrt)).collect(), total }
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    ids: Vec<ParamId>,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.ids.push(param.id);
            self.sums.push(sum_of_squares(gradient));
        }
    }
}
