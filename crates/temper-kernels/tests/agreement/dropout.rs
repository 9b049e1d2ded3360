//! Dropout: its mask is that of [`Dropout::row`], forward and backward, wherever it is drawn.

use burn::tensor::{Device, Tensor, TensorData};
use temper_kernels::{
    Attention, AttentionHeads, AttentionLayout, AttentionPattern, Dropout, Norm, Precision, Residual,
    Sequences, attention, composed, dropout, norm,
};

use super::common::{Operand, assert_close, numbers, outcome};
use super::{Pair, ROWS, WIDTHS, vector};

const MASKS: Dropout = Dropout { probability: 0.3, seed: 11 };

/// Zero or `1 / (1 - p)` for every element, `[rows, width]`.
fn factors(masks: Dropout, [rows, width]: [usize; 2]) -> Vec<f32> {
    let rows = (0..rows).map(|row| masks.row(row as u64));
    rows.flat_map(|row| (0..width).map(move |column| row.factor(column))).collect()
}

/// Dropout as a product with its mask.
fn explicit(x: Tensor<2>) -> Tensor<2> {
    let mask = TensorData::new(factors(MASKS, x.dims()), x.dims());
    let device = x.device();
    x * Tensor::from_data(mask, &device)
}

#[test]
fn dropout_is_a_product_with_its_mask() {
    let alone = Pair {
        name: "dropout".into(),
        fused: |tensors: &[Tensor<2>]| dropout(tensors[0].clone(), None, MASKS),
        composed: |tensors: &[Tensor<2>]| explicit(tensors[0].clone()),
    };
    let with_residual = Pair {
        name: "dropout with residual".into(),
        fused: |tensors: &[Tensor<2>]| dropout(tensors[0].clone(), Some(tensors[1].clone()), MASKS),
        composed: |tensors: &[Tensor<2>]| explicit(tensors[0].clone()) + tensors[1].clone(),
    };
    for rows in ROWS {
        for width in WIDTHS {
            alone.agree(&[Operand::new(rows, width)]);
            with_residual.agree_for_every_choice(&[Operand::new(rows, width); 2]);
        }
    }
}

#[test]
fn the_gradient_of_a_sum_is_the_mask_of_the_forward_pass() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::ones([130, 33], &device).require_grad();
    let output = dropout(x.clone(), None, MASKS);
    let gradients = output.clone().sum().backward();
    let mask = numbers(output);
    assert_eq!(numbers(x.grad(&gradients).unwrap()), mask);
    assert!(mask.contains(&0.0) && mask.iter().any(|&factor| factor > 1.0));
}

#[test]
fn the_composed_mask_is_the_same_forward_and_backward() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::ones([130, 33], &device).require_grad();
    let output = composed::dropout(x.clone(), None, MASKS);
    let gradients = output.clone().sum().backward();
    let mask = numbers(output);
    assert_close("gradient", &numbers(x.grad(&gradients).unwrap()), &mask);
    assert!(mask.contains(&0.0) && mask.iter().any(|&factor| factor > 1.0));
}

#[test]
fn a_seed_draws_one_mask_and_the_mean_stays() {
    let (rows, width) = (500, 384);
    let draw = |seed| {
        let ones = Tensor::<2>::ones([rows, width], &Device::flex());
        numbers(dropout(ones, None, Dropout { seed, ..MASKS }))
    };
    let mask = draw(1);
    assert_eq!(mask, draw(1));
    assert_ne!(mask, draw(2));
    let elements = (rows * width) as f64;
    let mean = mask.iter().sum::<f64>() / elements;
    // A factor has the variance p / (1 - p); the bound is 4.5 standard deviations.
    let (p, deviation) = (f64::from(MASKS.probability), |p: f64| (p / (1.0 - p) / elements).sqrt());
    assert!((mean - 1.0).abs() < 4.5 * deviation(p), "{mean}");
}

#[test]
fn norm_drops_before_the_residual_sum() {
    let kind = Norm::Layer { epsilon: 1e-5 };
    let residual = |tensors: &[Tensor<2>], dropout| Some(Residual { tensor: tensors[2].clone(), dropout });
    let pair = Pair {
        name: "norm with dropout".into(),
        fused: |tensors: &[Tensor<2>]| {
            norm(tensors[0].clone(), residual(tensors, Some(MASKS)), vector(&tensors[1]), None, kind)
        },
        composed: |tensors: &[Tensor<2>]| {
            let x = explicit(tensors[0].clone());
            composed::norm(x, residual(tensors, None), vector(&tensors[1]), None, kind)
        },
    };
    for rows in ROWS {
        for width in [33, 384] {
            let (matrix, row) = (Operand::new(rows, width), Operand::new(1, width));
            pair.agree_for_every_choice(&[matrix, row, matrix]);
        }
    }
}

/// One sequence, two heads of as many numbers as there are keys.
fn square_attention(keys: usize, dropout: Option<Dropout>) -> Attention {
    Attention {
        heads: AttentionHeads { query_heads: 2, key_heads: 2, head: keys },
        pattern: AttentionPattern {
            causal: false,
            window: None,
            alibi: None,
            alibi_in_bfloat16: false,
            soft_cap: None,
            relative: None,
            scale: 0.3,
        },
        layout: AttentionLayout::full(Sequences::of_lengths(&[keys])),
        dropout,
        precision: Precision::F32,
    }
}

/// Where the values are the unit matrix, the output is the weights.
#[test]
fn attention_drops_weights_by_head_and_query() {
    let (keys, width) = (19, 38);
    let units = |tensor: &Tensor<2>| {
        let unit = (0..keys * width).map(|place| f32::from(place % width % keys == place / width));
        Tensor::<2>::from_data(TensorData::new(unit.collect::<Vec<_>>(), [keys, width]), &tensor.device())
    };
    let weights = |dropout| {
        outcome(&[Operand { tracked: false, ..Operand::new(keys, width) }; 2], &Device::flex(), |tensors| {
            let [query, key] = [tensors[0].clone(), tensors[1].clone()];
            attention(query, key, units(&tensors[0]), None, square_attention(keys, dropout))
        })
        .output
    };
    let (whole, dropped) = (weights(None), weights(Some(MASKS)));
    let expected = whole.iter().enumerate().map(|(place, weight)| {
        let (query, column) = (place / width, place % width);
        let row = MASKS.row((column / keys * keys + query) as u64);
        weight * f64::from(row.factor(column % keys))
    });
    assert_close("weights", &dropped, &expected.collect::<Vec<_>>());
}

/// The output is linear in the values, whose gradient is therefore that of the weights of the forward
/// pass; queries and keys are checked by finite differences of the same mask.
#[test]
fn attention_draws_the_mask_of_the_forward_pass_again() {
    let (keys, width) = (7, 14);
    let run = |query: &[f32], value: &[f32], device: &Device| {
        let matrix = |values: &[f32]| {
            let values = TensorData::new(values.to_vec(), [keys, width]);
            let tensor = Tensor::<2>::from_data(values, device);
            if device.is_autodiff() { tensor.require_grad() } else { tensor }
        };
        let inputs = [matrix(query), matrix(&super::common::random(keys * width, 2)), matrix(value)];
        let [query, key, value] = inputs.clone();
        let output = attention(query, key, value, None, square_attention(keys, Some(MASKS)));
        let weights = TensorData::new(super::common::random(keys * width, 9), [keys, width]);
        ((output * Tensor::from_data(weights, device)).sum(), inputs)
    };
    let query: Vec<f32> = super::common::random(keys * width, 1).iter().map(|value| value * 4.0).collect();
    let value = super::common::random(keys * width, 3);
    let (loss, inputs) = run(&query, &value, &Device::flex().autodiff());
    let gradients = loss.backward();
    let [of_query, _, of_value] = inputs.map(|input| numbers(input.grad(&gradients).unwrap()));
    let loss_of =
        |query: &[f32], value: &[f32]| f64::from(run(query, value, &Device::flex()).0.into_scalar::<f32>());
    let step = 0.02;
    let slope = |values: &[f32], place: usize, loss: &dyn Fn(&[f32]) -> f64| {
        let [mut up, mut down] = [values.to_vec(), values.to_vec()];
        up[place] += step;
        down[place] -= step;
        (loss(&up) - loss(&down)) / f64::from(up[place] - down[place])
    };
    for place in 0..keys * width {
        let by_query = slope(&query, place, &|query| loss_of(query, &value));
        let by_value = slope(&value, place, &|value| loss_of(&query, value));
        assert!((by_query - of_query[place]).abs() < 2e-3, "{place}: {} {by_query}", of_query[place]);
        assert!((by_value - of_value[place]).abs() < 2e-3, "{place}: {} {by_value}", of_value[place]);
    }
}
