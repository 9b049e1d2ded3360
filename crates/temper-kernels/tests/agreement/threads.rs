//! The number of threads changes no bit of outputs and gradients.

use burn::tensor::{Device, Tensor};
use temper_kernels::{
    Activation, Attention, AttentionHeads, AttentionLayout, AttentionPattern, Dropout, Norm, Precision,
    RelativeBuckets, RelativeTerms, Residual, RowIndex, Sequences, attention, cross_entropy, dropout,
    embedding, gate, linear, norm, sum_of_squares,
};

use super::common::{Operand, Outcome, outcome};
use super::vector;

const WIDTH: usize = 128;
const LENGTHS: [usize; 5] = [70, 1, 33, 0, 130];
const MASKS: Dropout = Dropout { probability: 0.1, seed: 3 };

fn self_attention() -> Attention {
    let longest = 130;
    let buckets = (0..=2 * longest as u32).map(|place| place % 5).collect();
    let relative = Some(RelativeBuckets { buckets, zero_at: longest });
    Attention {
        heads: AttentionHeads { query_heads: 4, key_heads: 2, head: WIDTH / 4 },
        pattern: AttentionPattern {
            causal: true,
            window: None,
            alibi: None,
            alibi_in_bfloat16: false,
            soft_cap: None,
            relative,
            scale: 0.2,
        },
        layout: AttentionLayout::full(Sequences::of_lengths(&LENGTHS)),
        dropout: Some(MASKS),
        precision: Precision::F32,
    }
}

/// Table, key and value weights, gate and up weights, relative table, gain, output weight.
fn operands() -> Vec<Operand> {
    let shapes = [[50, WIDTH], [WIDTH, WIDTH / 2], [WIDTH, 700], [5, 4], [1, WIDTH], [700, 50]];
    shapes.into_iter().map(|[rows, width]| Operand::new(rows, width)).collect()
}

/// Every operation once, as in a small language model; gives the loss of every row.
fn model(tensors: &[Tensor<2>]) -> Tensor<2> {
    let [table, key, up, relative, gain, head] = [0, 1, 2, 3, 4, 5].map(|index| tensors[index].clone());
    let rows: usize = LENGTHS.iter().sum();
    let ids: Vec<i32> = (0..rows).map(|row| (row * row % 47) as i32).collect();
    let ids = RowIndex::new(ids, &table.device());
    let x = embedding(table, &ids);
    let keys = linear(x.clone(), key, None, None, Precision::F32);
    let seen =
        attention(x.clone(), keys.clone(), keys, Some(RelativeTerms::Table(relative)), self_attention());
    let residual = Residual { tensor: x, dropout: Some(MASKS) };
    let x = norm(seen, Some(residual), vector(&gain), None, Norm::Layer { epsilon: 1e-5 });
    let inner = linear(x, up, None, Some(Activation::Gelu), Precision::F32);
    let inner = dropout(gate(inner.clone(), inner, Activation::Silu), None, MASKS);
    cross_entropy(linear(inner, head, None, None, Precision::F32), ids.tensor()).unsqueeze_dim(1)
}

fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    pool.install(run)
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |threads| on_threads(threads, || outcome(&operands(), &Device::flex().autodiff(), model));
    let Outcome { output, gradients } = run(1);
    assert!(output.iter().chain(gradients.iter().flatten().flatten()).all(|value| value.is_finite()));
    for threads in [2, 3, 8] {
        let other = run(threads);
        assert_eq!(output, other.output, "{threads} threads");
        assert_eq!(gradients, other.gradients, "{threads} threads");
    }
}

#[test]
fn threads_do_not_change_the_sum_of_squares() {
    let x = Operand { tracked: false, ..Operand::new(700, 384) };
    let sum = |threads| {
        on_threads(threads, || sum_of_squares(x.tensor(1, &Device::flex())).into_scalar::<f32>().to_bits())
    };
    assert_eq!(sum(1), sum(3));
    assert_eq!(sum(1), sum(8));
}
