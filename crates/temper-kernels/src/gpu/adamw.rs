//! AdamW in one launch for a parameter, or for a group of them.

use burn::backend::TensorMetadata;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{UNITS, each_vector, empty, exclusive, vector_size};
use super::reduce::GROUP;
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

/// A parameter and its moments after a step.
#[cube]
fn step<N: Size>(
    parameter: Vector<f32, N>,
    first: Vector<f32, N>,
    second: Vector<f32, N>,
    gradient: Vector<f32, N>,
    factors: &Factors,
) -> (Vector<f32, N>, Vector<f32, N>, Vector<f32, N>) {
    let first = first * Vector::new(factors.first_kept) + gradient * Vector::new(factors.first_new);
    let second =
        second * Vector::new(factors.second_kept) + gradient * gradient * Vector::new(factors.second_new);
    let spread = (second / Vector::new(factors.correction)).sqrt() + Vector::new(factors.epsilon);
    let parameter = parameter * Vector::new(factors.decay) - first / spread * Vector::new(factors.rate);
    (parameter, first, second)
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
        let (parameter, first, second) = step::<N>(
            parameter[place],
            first_moment[place],
            second_moment[place],
            gradient[place] * Vector::new(factor),
            factors,
        );
        updated[place] = parameter;
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
        factors_of(adamw, step),
    );
    [updated, first_moment, second_moment]
}

fn factors_of(adamw: AdamW, step: u32) -> FactorsLaunch {
    let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = adamw;
    let step = f64::from(step);
    FactorsLaunch::new(
        (1.0 - learning_rate * weight_decay) as f32,
        beta1 as f32,
        (1.0 - beta1) as f32,
        beta2 as f32,
        (1.0 - beta2) as f32,
        (1.0 - beta2.powf(step)) as f32,
        (learning_rate / (1.0 - beta1.powf(step))) as f32,
        epsilon as f32,
    )
}

/// Cubes for each parameter of a group at most: their units go through it in turns.
const MOST_CUBES: usize = 1024;

#[cube(launch)]
fn group_kernel<N: Size>(
    parameters: &mut Sequence<Box<[Vector<f32, N>]>>,
    first_moments: &mut Sequence<Box<[Vector<f32, N>]>>,
    second_moments: &mut Sequence<Box<[Vector<f32, N>]>>,
    gradients: &Sequence<Box<[Vector<f32, N>]>>,
    lens: &Sequence<u32>,
    gradient_factor: &Tensor<f32>,
    factors: &Factors,
    #[comptime] units: usize,
) {
    let factor = gradient_factor[0];
    #[unroll]
    for index in 0..gradients.len() {
        // Gradients that are NaN or infinite leave everything unchanged.
        if CUBE_POS_Y as usize == index && factor != 0.0 {
            let gradient = gradients.index(index);
            let parameter = parameters.index_mut(index);
            let first_moment = first_moments.index_mut(index);
            let second_moment = second_moments.index_mut(index);
            let start = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            // Not `gradient.len()`: a buffer may be longer than its tensor.
            let len = *lens.index(index) as usize;
            for place in range_stepped(start, len, CUBE_COUNT_X as usize * units) {
                let (updated, first, second) = step::<N>(
                    parameter[place],
                    first_moment[place],
                    second_moment[place],
                    gradient[place] * Vector::new(factor),
                    factors,
                );
                parameter[place] = updated;
                first_moment[place] = first;
                second_moment[place] = second;
            }
        }
    }
}

/// Parameters and their moments after a step, in place where nobody else holds them.
///
/// # Shapes
/// - each parameter, its moments and its gradient: the same; gradient_factor: `[1]`
pub(crate) fn adamw_group(
    tensors: [[CubeTensor; GROUP]; 3],
    gradients: [CubeTensor; GROUP],
    gradient_factor: CubeTensor,
    adamw: AdamW,
    step: u32,
) -> [[CubeTensor; GROUP]; 3] {
    let tensors = tensors.map(|tensors| tensors.map(exclusive));
    let gradients = gradients.map(into_contiguous);
    let lens = gradients.each_ref().map(|gradient| gradient.meta.num_elements());
    let sizes = gradients.iter().zip(lens).map(|(gradient, len)| vector_size(gradient, len));
    let size = sizes.min().unwrap_or(1);
    let most = lens.into_iter().max().unwrap_or(0) / size;
    let count = most.div_ceil(UNITS as usize).clamp(1, MOST_CUBES);
    let client = gradients[0].client.clone();
    let [parameters, first, second] =
        tensors.each_ref().map(|tensors| tensors.iter().cloned().map(CubeTensor::into_buffer_arg).collect());
    group_kernel::launch(
        &client,
        CubeCount::new_2d(count as u32, GROUP as u32),
        CubeDim::new_1d(UNITS),
        size,
        parameters,
        first,
        second,
        gradients.into_iter().map(CubeTensor::into_buffer_arg).collect(),
        lens.into_iter().map(|len| (len / size) as u32).collect(),
        gradient_factor.into_tensor_arg(),
        factors_of(adamw, step),
        UNITS as usize,
    );
    tensors
}
