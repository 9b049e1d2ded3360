//! Norms of gradients, and clipping by the global norm.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, Transaction};
use temper_kernels::{Elements, sums_of_squares};

/// Euclidean norms of gradients, before clipping.
#[derive(Clone, Debug)]
pub struct GradientNorms {
    /// Norm of each parameter that has a gradient.
    pub each: Vec<(ParamId, f32)>,
    /// Norm over all of them.
    pub total: f32,
}

/// The squared norms of gradients, on their device. Nothing waits for them until they are read.
#[derive(Clone, Debug)]
pub struct GradientSquares {
    ids: Vec<ParamId>,
    /// A number a parameter that has a gradient, in one tensor or several.
    sums: Vec<Tensor<1>>,
}

impl GradientSquares {
    /// Of the gradients of a module.
    pub fn of<M: Module>(module: &M, gradients: &GradientsParams) -> Self {
        let mut found = Found { gradients, ids: Vec::new(), elements: Vec::new() };
        module.visit(&mut found);
        Self { ids: found.ids, sums: sums_of_squares(found.elements) }
    }

    /// What is left of gradients whose common norm may be `max_norm` at most: a factor of 1 or less, `[1]`.
    /// It is 0 where a gradient is not finite: see [`temper_kernels::adamw_step`]. `None` without gradients.
    ///
    /// Follows PyTorch 2.15, `clip_grad_norm_`, down to its 1e-6: Burn clips tensor by tensor.
    pub fn clip_factor(&self, max_norm: f32) -> Option<Tensor<1>> {
        // Joined into one tensor they would cost a kernel each; sums of those of one length are fused.
        let mut by_length: BTreeMap<usize, Tensor<1>> = BTreeMap::new();
        for sums in &self.sums {
            let [length] = sums.dims();
            let sum = by_length.remove(&length).map_or_else(|| sums.clone(), |before| before + sums.clone());
            by_length.insert(length, sum);
        }
        let totals = by_length.into_iter().map(|(length, sums)| if length == 1 { sums } else { sums.sum() });
        let total = totals.reduce(|sum, next| sum + next)?.sqrt();
        // A norm that a clamp sees first could come out of it as a number.
        let spoilt = total.clone().is_finite().bool_not();
        let factor = (total + 1e-6).recip() * max_norm;
        Some(factor.clamp_max(1.0).mask_fill(spoilt, 0.0))
    }

    /// The norms, on the host: waits for the device.
    pub fn read(self) -> GradientNorms {
        let reading = self.sums.into_iter().fold(Transaction::default(), Transaction::register);
        let sums: Vec<f32> = reading.execute().iter().flat_map(|sum| sum.iter::<f32>()).collect();
        let total = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt() as f32;
        GradientNorms { each: self.ids.into_iter().zip(sums.into_iter().map(f32::sqrt)).collect(), total }
    }
}

struct Found<'a> {
    gradients: &'a GradientsParams,
    ids: Vec<ParamId>,
    elements: Vec<Elements>,
}

impl ModuleVisitor for Found<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.ids.push(param.id);
            self.elements.push(Elements::of(gradient));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn factor(sums: &[f32], max_norm: f32) -> f32 {
        let sums = sums.iter().map(|&sum| Tensor::from_floats([sum], &Device::flex())).collect();
        GradientSquares { ids: Vec::new(), sums }.clip_factor(max_norm).unwrap().into_scalar()
    }

    #[test]
    fn a_common_norm_above_the_largest_is_scaled_down_to_it() {
        assert!((factor(&[9.0, 16.0], 1.0) - 0.2).abs() < 1e-6);
        assert_eq!(factor(&[0.09, 0.16], 1.0), 1.0);
        assert_eq!(factor(&[9.0, 16.0], f32::INFINITY), 1.0);
    }

    #[test]
    fn gradients_that_are_no_numbers_leave_a_factor_of_zero() {
        for spoilt in [f32::NAN, f32::INFINITY] {
            assert_eq!(factor(&[1.0, spoilt], 1.0), 0.0);
            assert_eq!(factor(&[spoilt, 1.0], f32::INFINITY), 0.0);
        }
    }
}
