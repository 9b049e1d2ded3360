//! Linear maps, gates, norms, embeddings and cross-entropy.

use burn::tensor::{Int, Tensor, TensorData};
use temper_kernels::{
    Activation, Norm, Precision, Residual, RowIndex, composed, cross_entropy, embedding, gate, linear,
    linear_transposed, norm,
};

use super::common::{Layout, Operand};
use super::{ACTIVATIONS, Pair, ROWS, WIDTHS, vector};

type Operation = Box<dyn Fn(&[Tensor<2>]) -> Tensor<2>>;

/// Operands: x, weight, and the bias where there is one.
fn linear_pair(activation: Option<Activation>) -> Pair<Operation, Operation> {
    let bias = |tensors: &[Tensor<2>]| tensors.get(2).map(vector);
    Pair {
        name: format!("linear {activation:?}"),
        fused: Box::new(move |tensors| {
            linear(tensors[0].clone(), tensors[1].clone(), bias(tensors), activation, Precision::F32)
        }),
        composed: Box::new(move |tensors| {
            composed::linear(
                tensors[0].clone(),
                tensors[1].clone(),
                bias(tensors),
                activation,
                Precision::F32,
            )
        }),
    }
}

fn activations() -> impl Iterator<Item = Option<Activation>> {
    ACTIVATIONS.into_iter().map(Some).chain([None])
}

fn linear_operands(rows: usize, inputs: usize, outputs: usize) -> [Operand; 3] {
    [Operand::new(rows, inputs), Operand::new(inputs, outputs), Operand::new(1, outputs)]
}

#[test]
fn linear_agrees_at_every_size() {
    for rows in ROWS {
        for inputs in WIDTHS {
            for outputs in WIDTHS {
                for activation in activations() {
                    let operands = linear_operands(rows, inputs, outputs);
                    linear_pair(activation).agree(&operands);
                    linear_pair(activation).agree(&operands[..2]);
                }
            }
        }
    }
}

#[test]
fn linear_agrees_for_every_choice_of_gradients() {
    for activation in activations() {
        let operands = linear_operands(7, 33, 20);
        linear_pair(activation).agree_for_every_choice(&operands);
        linear_pair(activation).agree_for_every_choice(&operands[..2]);
    }
}

#[test]
fn linear_agrees_on_views() {
    for x in [Layout::Transposed, Layout::Sliced] {
        for weight in [Layout::Contiguous, Layout::Transposed, Layout::Sliced] {
            let mut operands = linear_operands(31, 33, 40);
            operands[0].layout = x;
            operands[1].layout = weight;
            linear_pair(Some(Activation::Gelu)).agree(&operands);
            linear_pair(None).agree(&operands);
        }
    }
}

/// Operands: x, weight `[out, in]`, and the bias where there is one.
#[test]
fn a_transposed_weight_gives_the_same() {
    let bias = |tensors: &[Tensor<2>]| tensors.get(2).map(vector);
    let pair = Pair {
        name: "linear transposed".into(),
        fused: |tensors: &[Tensor<2>]| {
            linear_transposed(tensors[0].clone(), tensors[1].clone(), bias(tensors), Precision::F32)
        },
        composed: |tensors: &[Tensor<2>]| {
            composed::linear(
                tensors[0].clone(),
                tensors[1].clone().transpose(),
                bias(tensors),
                None,
                Precision::F32,
            )
        },
    };
    for (rows, inputs, outputs) in [(0, 3, 2), (1, 1, 1), (7, 33, 20), (50, 16, 49)] {
        let operands = [Operand::new(rows, inputs), Operand::new(outputs, inputs), Operand::new(1, outputs)];
        pair.agree(&operands);
        pair.agree(&operands[..2]);
        pair.agree_for_every_choice(&operands);
    }
}

/// Both uses get the same incoming gradient; neither may write over it.
#[test]
fn linear_agrees_when_tensors_are_used_twice() {
    type Linear = fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>, Option<Activation>, Precision) -> Tensor<2>;
    let twice = |linear: Linear| {
        move |tensors: &[Tensor<2>]| {
            let [x, weight] = [tensors[0].clone(), tensors[1].clone()];
            let gelu = linear(x.clone(), weight.clone(), None, Some(Activation::Gelu), Precision::F32);
            let silu = linear(x, weight.clone(), None, Some(Activation::Silu), Precision::F32);
            // The weight is the other operand, too.
            linear(weight.clone(), weight, None, None, Precision::F32) + gelu + silu
        }
    };
    let pair = Pair { name: "twice".into(), fused: twice(linear), composed: twice(composed::linear) };
    pair.agree_for_every_choice(&[Operand::new(33, 33), Operand::new(33, 33)]);
}

/// Operands: gate and up.
fn gate_pair(activation: Activation) -> Pair<Operation, Operation> {
    Pair {
        name: format!("gate {activation:?}"),
        fused: Box::new(move |tensors| gate(tensors[0].clone(), tensors[1].clone(), activation)),
        composed: Box::new(move |tensors| composed::gate(tensors[0].clone(), tensors[1].clone(), activation)),
    }
}

#[test]
fn gate_agrees() {
    for activation in ACTIVATIONS {
        for rows in ROWS {
            for width in WIDTHS {
                gate_pair(activation).agree(&[Operand::new(rows, width); 2]);
            }
        }
        let mut operands = [Operand::new(7, 33); 2];
        gate_pair(activation).agree_for_every_choice(&operands);
        operands[0].layout = Layout::Transposed;
        operands[1].layout = Layout::Sliced;
        gate_pair(activation).agree(&operands);
    }
}

#[test]
fn gate_agrees_on_one_tensor_in_both_places() {
    let pair = Pair {
        name: "gate of itself".into(),
        fused: |tensors: &[Tensor<2>]| gate(tensors[0].clone(), tensors[0].clone(), Activation::Silu),
        composed: |tensors: &[Tensor<2>]| {
            composed::gate(tensors[0].clone(), tensors[0].clone(), Activation::Silu)
        },
    };
    pair.agree(&[Operand::new(7, 33)]);
}

const NORMS: [Norm; 2] = [Norm::Layer { epsilon: 1e-5 }, Norm::Rms { epsilon: 1e-5 }];

/// Operands: x, gain, then the residual and the bias where there are any.
fn norm_pair(kind: Norm, has_residual: bool) -> Pair<Operation, Operation> {
    let residual = move |tensors: &[Tensor<2>]| {
        has_residual.then(|| Residual { tensor: tensors[2].clone(), dropout: None })
    };
    let bias = move |tensors: &[Tensor<2>]| tensors.get(2 + usize::from(has_residual)).map(vector);
    Pair {
        name: format!("{kind:?} with residual: {has_residual}"),
        fused: Box::new(move |tensors| {
            norm(tensors[0].clone(), residual(tensors), vector(&tensors[1]), bias(tensors), kind)
        }),
        composed: Box::new(move |tensors| {
            composed::norm(tensors[0].clone(), residual(tensors), vector(&tensors[1]), bias(tensors), kind)
        }),
    }
}

#[test]
fn norm_agrees() {
    for kind in NORMS {
        for rows in ROWS {
            for width in WIDTHS {
                let (matrix, row) = (Operand::new(rows, width), Operand::new(1, width));
                norm_pair(kind, false).agree(&[matrix, row]);
                norm_pair(kind, false).agree(&[matrix, row, row]);
                norm_pair(kind, true).agree(&[matrix, row, matrix]);
                norm_pair(kind, true).agree(&[matrix, row, matrix, row]);
            }
        }
        let (matrix, row) = (Operand::new(7, 33), Operand::new(1, 33));
        norm_pair(kind, false).agree_for_every_choice(&[matrix, row, row]);
        norm_pair(kind, true).agree_for_every_choice(&[matrix, row, matrix]);
        norm_pair(kind, true).agree_for_every_choice(&[matrix, row, matrix, row]);
        let transposed = Operand { layout: Layout::Transposed, ..matrix };
        let sliced = Operand { layout: Layout::Sliced, ..matrix };
        norm_pair(kind, true).agree(&[transposed, row, sliced, Operand { layout: Layout::Sliced, ..row }]);
    }
}

#[test]
fn norm_agrees_on_one_tensor_as_input_and_residual() {
    type NormFunction = fn(Tensor<2>, Option<Residual>, Tensor<1>, Option<Tensor<1>>, Norm) -> Tensor<2>;
    let doubled = |norm: NormFunction| {
        move |tensors: &[Tensor<2>]| {
            let residual = Residual { tensor: tensors[0].clone(), dropout: None };
            norm(tensors[0].clone(), Some(residual), vector(&tensors[1]), None, NORMS[0])
        }
    };
    let pair = Pair { name: "norm of x + x".into(), fused: doubled(norm), composed: doubled(composed::norm) };
    pair.agree(&[Operand::new(7, 33), Operand::new(1, 33)]);
}

fn integers(values: Vec<i32>, tensor: &Tensor<2>) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), &tensor.device().inner())
}

fn rows(values: Vec<i32>, tensor: &Tensor<2>) -> RowIndex {
    RowIndex::new(values, &tensor.device())
}

fn embedding_pair(ids: Vec<i32>) -> Pair<Operation, Operation> {
    let other = ids.clone();
    Pair {
        name: format!("embedding of {} ids", ids.len()),
        fused: Box::new(move |tensors| embedding(tensors[0].clone(), &rows(ids.clone(), &tensors[0]))),
        composed: Box::new(move |tensors| {
            composed::look_up(tensors[0].clone(), &rows(other.clone(), &tensors[0]))
        }),
    }
}

#[test]
fn embedding_agrees() {
    for rows in ROWS {
        for width in WIDTHS {
            // Some ids many times, some never.
            let ids: Vec<i32> = (0..rows).map(|row| (row * row % 11) as i32).collect();
            embedding_pair(ids.clone()).agree_for_every_choice(&[Operand::new(13, width)]);
            let transposed = Operand { layout: Layout::Transposed, ..Operand::new(13, width) };
            embedding_pair(ids).agree(&[transposed]);
        }
    }
    embedding_pair(vec![0; 9]).agree(&[Operand::new(1, 33)]);
}

#[test]
#[should_panic(expected = "negative")]
fn embedding_refuses_a_negative_id() {
    let table = Operand { tracked: false, ..Operand::new(3, 4) };
    let table = table.tensor(1, &burn::tensor::Device::flex());
    let _ = embedding(table.clone(), &rows(vec![0, -1], &table));
}

fn cross_entropy_pair(targets: Vec<i32>) -> Pair<Operation, Operation> {
    let other = targets.clone();
    // [rows] -> [rows, 1]
    Pair {
        name: format!("cross_entropy of {targets:?}"),
        fused: Box::new(move |tensors| {
            cross_entropy(tensors[0].clone(), integers(targets.clone(), &tensors[0])).unsqueeze_dim(1)
        }),
        composed: Box::new(move |tensors| {
            let targets = integers(other.clone(), &tensors[0]);
            composed::cross_entropy(tensors[0].clone(), targets).unsqueeze_dim(1)
        }),
    }
}

#[test]
fn cross_entropy_agrees() {
    for rows in ROWS {
        for classes in [1, 2, 33, 384] {
            let targets: Vec<i32> = (0..rows).map(|row| (row * 7 % classes) as i32).collect();
            let some_ignored = targets.iter().enumerate();
            let some_ignored: Vec<i32> =
                some_ignored.map(|(row, &target)| if row % 3 == 1 { -100 } else { target }).collect();
            cross_entropy_pair(targets.clone()).agree_for_every_choice(&[Operand::new(rows, classes)]);
            cross_entropy_pair(some_ignored).agree(&[Operand::new(rows, classes)]);
            cross_entropy_pair(vec![-100; rows]).agree(&[Operand::new(rows, classes)]);
            let transposed = Operand { layout: Layout::Transposed, ..Operand::new(rows, classes) };
            cross_entropy_pair(targets).agree(&[transposed]);
        }
    }
}

/// Burn's operations refuse some empty tensors, so there is nothing to compare with.
#[test]
fn no_rows_give_no_outputs_and_gradients_of_zero() {
    let device = burn::tensor::Device::flex().autodiff();
    let (empty, row) = (Operand::new(0, 33), Operand::new(1, 33));
    let cases: [(Operation, Vec<Operand>); 5] = [
        (linear_pair(Some(Activation::Gelu)).fused, vec![empty, Operand::new(33, 20), Operand::new(1, 20)]),
        (gate_pair(Activation::Silu).fused, vec![empty, empty]),
        (norm_pair(NORMS[0], true).fused, vec![empty, row, empty, row]),
        (embedding_pair(Vec::new()).fused, vec![Operand::new(5, 33)]),
        (cross_entropy_pair(Vec::new()).fused, vec![empty]),
    ];
    for (index, (operation, operands)) in cases.iter().enumerate() {
        let outcome = super::outcome(operands, &device, operation);
        assert!(outcome.output.is_empty(), "case {index}");
        for (gradient, operand) in outcome.gradients.into_iter().zip(operands) {
            let zeros = vec![0.0; operand.shape.iter().product()];
            assert_eq!(gradient, Some(zeros), "case {index}");
        }
    }
}
