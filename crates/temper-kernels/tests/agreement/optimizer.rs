//! AdamW and the sum of squares. Their composed form is what tensors of f64 get.

use burn::tensor::{DType, Device, Tensor};
use temper_kernels::{AdamW, AdamWTensors, adamw_step, sum_of_squares};

use super::common::{Layout, Operand, assert_close, assert_close_by_size, numbers};
use super::{ROWS, WIDTHS};

const ADAMW: AdamW =
    AdamW { learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.5 };

fn tensor(rows: usize, width: usize, layout: Layout, seed: usize) -> Tensor<2> {
    Operand { shape: [rows, width], layout, tracked: false }.tensor(seed, &Device::flex())
}

/// Parameter and moments after three steps.
fn three_steps(parameter: Tensor<2>, gradients: &[Tensor<2>; 3]) -> [Vec<f64>; 3] {
    let moments = [parameter.zeros_like(), parameter.zeros_like()];
    let [first_moment, second_moment] = moments;
    let mut tensors = AdamWTensors { parameter, first_moment, second_moment };
    for (gradient, step) in gradients.iter().zip(1..) {
        let factor = Tensor::from_floats([0.25], &Device::flex());
        tensors = adamw_step(tensors, gradient.clone(), &ADAMW, step, Some(factor));
    }
    let AdamWTensors { parameter, first_moment, second_moment } = tensors;
    [parameter, first_moment, second_moment].map(numbers)
}

#[test]
fn adamw_agrees() {
    for layout in [Layout::Contiguous, Layout::Transposed, Layout::Sliced] {
        for rows in ROWS {
            for width in WIDTHS {
                let parameter = tensor(rows, width, layout, 1);
                let gradients = [2, 3, 4].map(|seed| tensor(rows, width, layout, seed));
                let ours = three_steps(parameter.clone(), &gradients);
                let expected = three_steps(
                    parameter.cast(DType::F64),
                    &gradients.map(|gradient| gradient.cast(DType::F64)),
                );
                for (name, (ours, expected)) in
                    ["parameter", "first", "second"].iter().zip(ours.iter().zip(&expected))
                {
                    assert_close_by_size(&format!("{name} {rows} {width} {layout:?}"), ours, expected);
                }
            }
        }
    }
}

/// Gradients that are NaN or infinite have a factor of zero: no bit moves in either form.
#[test]
fn a_factor_of_zero_leaves_everything_as_it_was() {
    for dtype in [DType::F32, DType::F64] {
        let parameter = tensor(3, 5, Layout::Contiguous, 1).cast(dtype);
        let gradient = parameter.full_like(f32::NAN);
        let moment = tensor(3, 5, Layout::Contiguous, 2).cast(dtype);
        let before = AdamWTensors {
            parameter: parameter.clone(),
            first_moment: moment.clone(),
            second_moment: moment.clone(),
        };
        let factor = Tensor::<1>::zeros([1], &Device::flex()).cast(dtype);
        let after = adamw_step(before, gradient, &ADAMW, 4, Some(factor));
        assert_eq!(numbers(after.parameter), numbers(parameter));
        for after in [after.first_moment, after.second_moment] {
            assert_eq!(numbers(after), numbers(moment.clone()));
        }
    }
}

/// It works in place, but not on what somebody else still holds.
#[test]
fn adamw_leaves_the_tensors_of_others_alone() {
    let parameter = tensor(130, 384, Layout::Contiguous, 1);
    let gradient = tensor(130, 384, Layout::Contiguous, 2);
    let before = [numbers(parameter.clone()), numbers(gradient.clone())];
    let after = three_steps(parameter.clone(), &[gradient.clone(), gradient.clone(), gradient.clone()]);
    assert_ne!(after[0], before[0]);
    assert_eq!([numbers(parameter), numbers(gradient)], before);
}

#[test]
fn sum_of_squares_agrees() {
    for rows in [0, 1, 7, 130] {
        for width in WIDTHS {
            for layout in [Layout::Contiguous, Layout::Transposed] {
                let x = tensor(rows, width, layout, 1);
                let expected = numbers(x.clone()).iter().map(|value| value * value).sum();
                assert_close(&format!("{rows} {width}"), &numbers(sum_of_squares(x)), &[expected]);
            }
        }
    }
}
