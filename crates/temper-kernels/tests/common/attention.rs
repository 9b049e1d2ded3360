//! Attention on sequences of some lengths: output and gradients.

use burn::tensor::{Device, FloatDType, Tensor};
use temper_kernels::{
    Attention, AttentionHeads, AttentionLayout, AttentionPattern, Precision, Sequences, attention,
};

/// Sequences as (queries, keys, position of the first query).
pub type Lengths<'a> = &'a [(usize, usize, usize)];
pub type Change<'a> = &'a dyn Fn(&mut Attention);

/// Output, and gradients of query, key and value. Operands and the weights of the output are made by `tensor`, with
/// seeds 1 to 4.
pub fn attend(
    lengths: Lengths<'_>,
    heads: AttentionHeads,
    change: impl Fn(&mut Attention),
    tensor: impl Fn([usize; 2], usize, &Device) -> Tensor<2>,
    device: &Device,
) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let mut call = plain(lengths, heads);
    change(&mut call);
    let heads = call.heads;
    let [queries, keys] = [&call.layout.queries, &call.layout.keys].map(Sequences::rows);
    let [query, key, value] = [
        tensor([queries, heads.query_heads * heads.head], 1, &device),
        tensor([keys, heads.key_heads * heads.head], 2, &device),
        tensor([keys, heads.key_heads * heads.head], 3, &device),
    ]
    .map(Tensor::require_grad);
    let output = attention(query.clone(), key.clone(), value.clone(), None, call);
    let slopes = tensor(output.dims(), 4, &device);
    let gradients = (output.clone().cast(FloatDType::F32) * slopes).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend([query, key, value].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found
}

fn plain(lengths: Lengths<'_>, heads: AttentionHeads) -> Attention {
    let of = |length: fn(&(usize, usize, usize)) -> usize| lengths.iter().map(length).collect::<Vec<_>>();
    let [queries, keys] = [of(|sequence| sequence.0), of(|sequence| sequence.1)];
    Attention {
        heads,
        pattern: AttentionPattern {
            causal: false,
            window: None,
            alibi: None,
            alibi_in_bfloat16: false,
            soft_cap: None,
            relative: None,
            scale: 0.3,
        },
        layout: AttentionLayout::new(
            Sequences::of_lengths(&queries),
            Sequences::of_lengths(&keys),
            of(|sequence| sequence.2),
        ),
        dropout: None,
        precision: Precision::F32,
    }
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().iter::<f32>().collect()
}
