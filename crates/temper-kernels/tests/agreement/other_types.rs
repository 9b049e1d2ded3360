//! Tensors of f64 take the composed form and stay f64.

use burn::tensor::{DType, Device, Tensor, TensorData};
use temper_kernels::{
    Activation, Attention, AttentionHeads, AttentionLayout, AttentionPattern, Norm, Precision,
    RelativeBuckets, RelativeTerms, Residual, RowIndex, Sequences, attention, composed, cross_entropy,
    embedding, gate, linear, norm, sum_of_squares,
};

use super::common::random;

fn matrix(rows: usize, width: usize, seed: usize) -> Tensor<2> {
    let values = TensorData::new(random(rows * width, seed), [rows, width]);
    Tensor::from_data(values, (&Device::flex(), DType::F64))
}

fn vector(width: usize, seed: usize) -> Tensor<1> {
    matrix(1, width, seed).reshape([width])
}

fn same<const D: usize>(fused: Tensor<D>, composed: Tensor<D>) {
    assert_eq!(fused.dtype(), DType::F64);
    assert_eq!(fused.into_data(), composed.into_data());
}

#[test]
fn layers_compose() {
    let (x, up, weight, bias) = (matrix(5, 8, 1), matrix(5, 8, 2), matrix(8, 6, 3), vector(6, 4));
    let gelu = Activation::Gelu;
    same(
        linear(x.clone(), weight.clone(), Some(bias.clone()), Some(gelu), Precision::F32),
        composed::linear(x.clone(), weight, Some(bias), Some(gelu), Precision::F32),
    );
    same(gate(x.clone(), up.clone(), gelu), composed::gate(x.clone(), up.clone(), gelu));
    let residual = Residual { tensor: up, dropout: None };
    let (gain, kind) = (vector(8, 5), Norm::Layer { epsilon: 1e-5 });
    same(
        norm(x.clone(), Some(residual.clone()), gain.clone(), None, kind),
        composed::norm(x.clone(), Some(residual), gain, None, kind),
    );
    same(sum_of_squares(x.clone()), x.square().sum());
}

#[test]
fn lookups_and_losses_compose() {
    let table = matrix(5, 8, 1);
    let rows = RowIndex::new(vec![4, 0, 4, 2, 1], &Device::flex());
    same(embedding(table.clone(), &rows), composed::look_up(table.clone(), &rows));
    let ids = rows.tensor();
    same(cross_entropy(table.clone(), ids.clone()), composed::cross_entropy(table, ids));
}

#[test]
fn attention_composes() {
    let [query, key, value] = [1, 2, 3].map(|seed| matrix(7, 8, seed));
    let buckets = RelativeBuckets { buckets: (0..15).map(|place| place % 3).collect(), zero_at: 7 };
    let pattern = AttentionPattern {
        causal: true,
        window: Some(3),
        alibi: Some([0.5, 0.25].into()),
        alibi_in_bfloat16: false,
        soft_cap: None,
        relative: Some(buckets),
        scale: 0.5,
    };
    let call = Attention {
        heads: AttentionHeads { query_heads: 2, key_heads: 2, head: 4 },
        pattern,
        layout: AttentionLayout::full(Sequences::of_lengths(&[3, 4])),
        dropout: None,
        precision: Precision::F32,
    };
    let table = Some(RelativeTerms::Table(matrix(3, 2, 4)));
    same(
        attention(query.clone(), key.clone(), value.clone(), table.clone(), call.clone()),
        composed::attention(query, key, value, table, &call),
    );
}
