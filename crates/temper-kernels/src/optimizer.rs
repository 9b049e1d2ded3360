//! The update of AdamW, and the norm that its gradients are clipped by.

#[cfg(feature = "gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
#[cfg(feature = "gpu")]
use burn::tensor::Shape;
use burn::tensor::Tensor;

use crate::backend::{CpuBackend, has_kernels};
use crate::cpu::{self, AdamW};
#[cfg(feature = "gpu")]
use crate::gpu;

/// A parameter with its moments.
#[derive(Clone, Debug)]
pub struct AdamWTensors<const D: usize> {
    /// The parameter.
    pub parameter: Tensor<D>,
    /// Mean of the gradients.
    pub first_moment: Tensor<D>,
    /// Mean of the squared gradients.
    pub second_moment: Tensor<D>,
}

#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub(crate) trait OptimizerOps: Backend {
    #[fusion(meta = |parameter, first, second, _, _, _, _| {
        (parameter.clone(), first.clone(), second.clone())
    })]
    fn fused_adamw(
        parameter: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        gradient_factor: FloatTensor<Self>,
        adamw: AdamW,
        step: u32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(meta = |x| TensorSpec::new(Shape::new([1]), x.dtype))]
    fn fused_sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> OptimizerOps for B {
    fn fused_adamw(
        parameter: FloatTensor<B>,
        first_moment: FloatTensor<B>,
        second_moment: FloatTensor<B>,
        gradient: FloatTensor<B>,
        gradient_factor: FloatTensor<B>,
        adamw: AdamW,
        step: u32,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let gradient_factor = B::values(&gradient_factor)[0];
        if gradient_factor == 0.0 {
            return (parameter, first_moment, second_moment);
        }
        let (shape, device) = (parameter.shape(), parameter.device());
        // In place where nobody else holds the tensors.
        let [mut parameter, mut first, mut second] =
            [parameter, first_moment, second_moment].map(B::into_values);
        adamw.step(step, gradient_factor, &mut parameter, &B::values(&gradient), &mut first, &mut second);
        let [parameter, first, second] =
            [parameter, first, second].map(|values| B::tensor(values, shape.clone(), &device));
        (parameter, first, second)
    }

    fn fused_sum_of_squares(x: FloatTensor<B>) -> FloatTensor<B> {
        let sum = cpu::sum_of_squares(&B::values(&x));
        B::tensor(vec![sum as f32], [1], &x.device())
    }
}

#[cfg(feature = "gpu")]
impl OptimizerOps for burn_cubecl::CubeBackend {
    fn fused_adamw(
        parameter: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        gradient_factor: FloatTensor<Self>,
        adamw: AdamW,
        step: u32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let tensors = [parameter, first_moment, second_moment];
        let [parameter, first, second] = gpu::adamw(tensors, gradient, gradient_factor, adamw, step);
        (parameter, first, second)
    }

    fn fused_sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::sum_of_squares(x)
    }
}

/// One step of AdamW (Loshchilov and Hutter 2017) on one parameter, as PyTorch 2.15 computes it.
///
/// `step` counts from 1; `gradient_factor` is what clipping leaves of the gradient. A factor of 0 says that
/// gradients are not finite numbers: everything is left as it was, bit for bit, without notice to the host.
///
/// # Shapes
/// - all tensors: the same; gradient_factor: `[1]`
pub fn adamw_step<const D: usize>(
    tensors: AdamWTensors<D>,
    gradient: Tensor<D>,
    adamw: &AdamW,
    step: u32,
    gradient_factor: Option<Tensor<1>>,
) -> AdamWTensors<D> {
    if !has_kernels(&tensors.parameter) {
        return composed_step(tensors, gradient, adamw, step, gradient_factor);
    }
    let gradient_factor = gradient_factor.unwrap_or_else(|| Tensor::ones([1], &gradient.device()));
    let AdamWTensors { parameter, first_moment, second_moment } = tensors;
    let (parameter, first_moment, second_moment) = Dispatch::fused_adamw(
        parameter.into_dispatch(),
        first_moment.into_dispatch(),
        second_moment.into_dispatch(),
        gradient.into_dispatch(),
        gradient_factor.into_dispatch(),
        *adamw,
        step,
    );
    AdamWTensors {
        parameter: Tensor::from_dispatch(parameter),
        first_moment: Tensor::from_dispatch(first_moment),
        second_moment: Tensor::from_dispatch(second_moment),
    }
}

fn composed_step<const D: usize>(
    before: AdamWTensors<D>,
    gradient: Tensor<D>,
    adamw: &AdamW,
    step: u32,
    gradient_factor: Option<Tensor<1>>,
) -> AdamWTensors<D> {
    let Some(factor) = gradient_factor else { return composed_update(before, gradient, adamw, step) };
    // [1] -> [1, 1, ...]
    let factor = factor.cast(gradient.dtype()).reshape([1; D]);
    let after = composed_update(before.clone(), gradient * factor.clone(), adamw, step);
    let spoilt = factor.equal_elem(0.0).expand(after.parameter.shape());
    let kept = |before: Tensor<D>, after: Tensor<D>| after.mask_where(spoilt.clone(), before);
    AdamWTensors {
        parameter: kept(before.parameter, after.parameter),
        first_moment: kept(before.first_moment, after.first_moment),
        second_moment: kept(before.second_moment, after.second_moment),
    }
}

fn composed_update<const D: usize>(
    tensors: AdamWTensors<D>,
    gradient: Tensor<D>,
    adamw: &AdamW,
    step: u32,
) -> AdamWTensors<D> {
    let AdamWTensors { parameter, first_moment, second_moment } = tensors;
    let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = *adamw;
    let first_moment = first_moment * beta1 + gradient.clone() * (1.0 - beta1);
    let second_moment = second_moment * beta2 + gradient.square() * (1.0 - beta2);
    let step = f64::from(step);
    let corrected = second_moment.clone() / (1.0 - beta2.powf(step));
    let rate = learning_rate / (1.0 - beta1.powf(step));
    let decayed = parameter * (1.0 - learning_rate * weight_decay);
    let parameter = decayed - first_moment.clone() / (corrected.sqrt() + epsilon) * rate;
    AdamWTensors { parameter, first_moment, second_moment }
}

/// The sum of the squares of all elements, `[1]`.
pub fn sum_of_squares<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    if !has_kernels(&x) {
        return x.square().sum();
    }
    Tensor::from_dispatch(Dispatch::fused_sum_of_squares(x.into_dispatch()))
}
