//! AdamW in one launch for each parameter.

use burn::backend::TensorMetadata;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{each_vector, empty, exclusive, vector_size};
use crate::cpu::AdamW;

/// What does not depend on the element.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Factors {
    decay: f32,
    first_kept: f32,
    first_new: f32,
    second_kept: f32,
    second_new: f32,
    correction: f32,
    rate: f32,
    epsilon: f32,
}

#[cube(launch)]
fn adamw_kernel<N: Size>(
    parameter: &Tensor<Vector<f32, N>>,
    updated: &mut Tensor<Vector<f32, N>>,
    first_moment: &mut Tensor<Vector<f32, N>>,
    second_moment: &mut Tensor<Vector<f32, N>>,
    gradient: &Tensor<Vector<f32, N>>,
    gradient_factor: &Tensor<f32>,
    factors: &Factors,
) {
    let place = ABSOLUTE_POS;
    let factor = gradient_factor[0];
    if place < parameter.len() && factor == 0.0 {
        // Gradients are NaN or infinite: everything stays unchanged.
        updated[place] = parameter[place];
    } else if place < parameter.len() {
        let gradient = gradient[place] * Vector::new(factor);
        let first =
            first_moment[place] * Vector::new(factors.first_kept) + gradient * Vector::new(factors.first_new);
        let second = second_moment[place] * Vector::new(factors.second_kept)
            + gradient * gradient * Vector::new(factors.second_new);
        let spread = (second / Vector::new(factors.correction)).sqrt() + Vector::new(factors.epsilon);
        updated[place] =
            parameter[place] * Vector::new(factors.decay) - first / spread * Vector::new(factors.rate);
        first_moment[place] = first;
        second_moment[place] = second;
    }
}

/// A parameter and its moments after a step, in place where nobody else holds them.
///
/// # Shapes
/// - tensors and gradient: the same; gradient_factor: `[1]`
pub(crate) fn adamw(
    [parameter, first_moment, second_moment]: [CubeTensor; 3],
    gradient: CubeTensor,
    gradient_factor: CubeTensor,
    adamw: AdamW,
    step: u32,
) -> [CubeTensor; 3] {
    let parameter = into_contiguous(parameter);
    let [first_moment, second_moment] = [first_moment, second_moment].map(exclusive);
    let len = parameter.meta.num_elements();
    if len == 0 {
        return [parameter, first_moment, second_moment];
    }
    let vector_size = vector_size(&parameter, len);
    // A model that somebody else holds, too, keeps its parameter.
    let (updated, argument) = if parameter.can_mut() {
        (parameter.clone(), parameter.as_tensor_alias(0))
    } else {
        let updated = empty(&parameter, parameter.shape(), parameter.dtype);
        (updated.clone(), updated.into_tensor_arg())
    };
    let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = adamw;
    let step = f64::from(step);
    let factors = FactorsLaunch::new(
        (1.0 - learning_rate * weight_decay) as f32,
        beta1 as f32,
        (1.0 - beta1) as f32,
        beta2 as f32,
        (1.0 - beta2) as f32,
        (1.0 - beta2.powf(step)) as f32,
        (learning_rate / (1.0 - beta1.powf(step))) as f32,
        epsilon as f32,
    );
    let (count, dim) = each_vector(len / vector_size);
    adamw_kernel::launch(
        &updated.client,
        count,
        dim,
        vector_size,
        parameter.into_tensor_arg(),
        argument,
        first_moment.clone().into_tensor_arg(),
        second_moment.clone().into_tensor_arg(),
        into_contiguous(gradient).into_tensor_arg(),
        gradient_factor.into_tensor_arg(),
        factors,
    );
    [updated, first_moment, second_moment]
}
