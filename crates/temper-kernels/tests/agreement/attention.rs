//! Attention on ragged sequences.

use burn::tensor::Tensor;
use proptest::prelude::*;
use temper_kernels::{
    Attention, AttentionHeads, AttentionLayout, AttentionPattern, Precision, RelativeBuckets, RelativeTerms,
    Sequences, attention, composed,
};

use super::Pair;
use super::common::{Layout, Operand};

/// Buckets of the relative table.
const BUCKETS: usize = 5;

/// Full attention of two heads; the tests change what they need.
fn call(sequences: &[(usize, usize, usize)], head: usize) -> Attention {
    let of = |length: fn(&(usize, usize, usize)) -> usize| -> Vec<usize> {
        sequences.iter().map(length).collect()
    };
    Attention {
        heads: AttentionHeads { query_heads: 2, key_heads: 2, head },
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
            Sequences::of_lengths(&of(|sequence| sequence.0)),
            Sequences::of_lengths(&of(|sequence| sequence.1)),
            of(|sequence| sequence.2),
        ),
        dropout: None,
        precision: Precision::F32,
    }
}

fn self_attention(lengths: &[usize], head: usize) -> Attention {
    let sequences: Vec<_> = lengths.iter().map(|&length| (length, length, 0)).collect();
    call(&sequences, head)
}

fn alibi(mut attention: Attention) -> Attention {
    let slopes = (0..attention.heads.query_heads).map(|head| 0.5 / (head + 1) as f32);
    attention.pattern.alibi = Some(slopes.collect());
    attention
}

fn alibi_in_bfloat16(mut attention: Attention) -> Attention {
    attention.pattern.alibi_in_bfloat16 = true;
    let slope = |head| 0.5_f32.powf(0.5 * (head + 1) as f32);
    attention.pattern.alibi = Some((0..attention.heads.query_heads).map(slope).collect());
    attention
}

/// Buckets of distances that are not symmetric.
fn relative(mut attention: Attention) -> Attention {
    let AttentionLayout { queries, keys, offsets, .. } = &attention.layout;
    let reach = queries.longest() + keys.longest() + offsets.iter().max().unwrap_or(&0);
    let bucket = |place: usize| if place < reach { place / 3 % 3 } else { 3 + place % 2 };
    let buckets = (0..=2 * reach).map(|place| bucket(place) as u32).collect();
    attention.pattern.relative = Some(RelativeBuckets { buckets, zero_at: reach });
    attention
}

fn causal(mut attention: Attention, window: Option<usize>) -> Attention {
    attention.pattern.causal = true;
    attention.pattern.window = window;
    attention
}

/// Both directions within a window.
fn local(mut attention: Attention, window: Option<usize>) -> Attention {
    attention.pattern.window = window;
    attention
}

fn grouped(mut attention: Attention, query_heads: usize, key_heads: usize) -> Attention {
    attention.heads = AttentionHeads { query_heads, key_heads, ..attention.heads };
    attention
}

/// Query, key, value, and the table of relative biases where there is one.
fn operands(attention: &Attention) -> Vec<Operand> {
    let AttentionHeads { query_heads, key_heads, head } = attention.heads;
    let query = Operand::new(attention.layout.queries.rows(), query_heads * head);
    let key = Operand::new(attention.layout.keys.rows(), key_heads * head);
    let mut operands = vec![query, key, key];
    operands.extend(attention.pattern.relative.is_some().then(|| Operand::new(BUCKETS, query_heads)));
    operands
}

/// The same with numbers of each query and each key instead of the table.
fn operands_in_rows(attention: &Attention) -> Vec<Operand> {
    let width = attention.heads.query_heads * BUCKETS;
    let layout = &attention.layout;
    let rows = [&layout.queries, &layout.keys].map(|sequences| Operand::new(sequences.rows(), width));
    operands(attention).into_iter().take(3).chain(rows).collect()
}

/// What comes after query, key and value.
fn relative_terms(tensors: &[Tensor<2>]) -> Option<RelativeTerms> {
    match tensors {
        [_, _, _, table] => Some(RelativeTerms::Table(table.clone())),
        [_, _, _, of_queries, of_keys] => {
            Some(RelativeTerms::Rows { of_queries: of_queries.clone(), of_keys: of_keys.clone() })
        }
        _ => None,
    }
}

type Operation = Box<dyn Fn(&[Tensor<2>]) -> Tensor<2>>;

fn pair(call: &Attention) -> Pair<Operation, Operation> {
    let (fused, other) = (call.clone(), call.clone());
    Pair {
        name: format!("{call:?}"),
        fused: Box::new(move |tensors| {
            let [query, key, value] = [0, 1, 2].map(|index| tensors[index].clone());
            attention(query, key, value, relative_terms(tensors), fused.clone())
        }),
        composed: Box::new(move |tensors| {
            let [query, key, value] = [0, 1, 2].map(|index| tensors[index].clone());
            composed::attention(query, key, value, relative_terms(tensors), &other)
        }),
    }
}

fn agree(call: &Attention) {
    pair(call).agree(&operands(call));
}

#[test]
fn attention_agrees_at_usual_and_odd_head_sizes() {
    for head in [1, 7, 32, 33, 64, 128] {
        agree(&self_attention(&[1, 13, 130], head));
        agree(&causal(self_attention(&[1, 13, 130], head), None));
    }
}

#[test]
fn attention_agrees_on_empty_sequences_and_such_of_length_one() {
    for lengths in [&[1][..], &[1, 1, 1], &[0, 1, 0, 5, 0], &[7, 0]] {
        agree(&self_attention(lengths, 8));
        agree(&relative(alibi(causal(self_attention(lengths, 8), Some(2)))));
        agree(&relative(alibi(local(self_attention(lengths, 8), Some(2)))));
    }
    // Without keys, without queries, and both in between.
    for sequences in [&[(3, 0, 0)][..], &[(2, 0, 1), (0, 4, 2), (3, 5, 1), (1, 0, 0)]] {
        agree(&call(sequences, 8));
        agree(&relative(call(sequences, 8)));
    }
}

#[test]
fn attention_agrees_with_capped_scores() {
    for cap in [2.0, 0.1] {
        let capped = |mut attention: Attention| {
            attention.pattern.soft_cap = Some(cap);
            attention
        };
        agree(&capped(relative(self_attention(&[1, 0, 130], 8))));
        agree(&capped(alibi(causal(grouped(call(&[(3, 5, 2), (1, 290, 289)], 8), 4, 1), Some(40)))));
    }
}

#[test]
fn attention_agrees_with_numbers_of_each_query_and_key() {
    for call in [
        relative(self_attention(&[1, 0, 130], 8)),
        relative(causal(grouped(call(&[(3, 5, 2), (1, 290, 289), (0, 4, 0), (2, 0, 0)], 8), 4, 2), Some(40))),
    ] {
        pair(&call).agree(&operands_in_rows(&call));
    }
    let call = relative(self_attention(&[5, 12], 8));
    pair(&call).agree_for_every_choice(&operands_in_rows(&call));
    let views = operands_in_rows(&call).into_iter();
    pair(&call)
        .agree(&views.map(|operand| Operand { layout: Layout::Sliced, ..operand }).collect::<Vec<_>>());
}

#[test]
fn attention_agrees_with_alibi_in_bfloat16() {
    agree(&alibi_in_bfloat16(causal(self_attention(&[1, 0, 300], 8), None)));
    agree(&alibi_in_bfloat16(grouped(call(&[(3, 5, 2), (1, 290, 289)], 8), 4, 1)));
}

#[test]
fn no_rows_give_no_outputs_and_gradients_of_zero() {
    for sequences in [&[][..], &[(0, 0, 0)], &[(0, 3, 0)]] {
        let call = relative(call(sequences, 8));
        let operands = operands(&call);
        let device = burn::tensor::Device::flex().autodiff();
        let outcome = super::outcome(&operands, &device, pair(&call).fused);
        assert!(outcome.output.is_empty());
        for (gradient, operand) in outcome.gradients.into_iter().zip(operands) {
            assert_eq!(gradient, Some(vec![0.0; operand.shape.iter().product()]));
        }
    }
}

#[test]
fn attention_agrees_for_every_choice_of_gradients() {
    let call = grouped(self_attention(&[5, 9], 8), 4, 2);
    pair(&call).agree_for_every_choice(&operands(&call));
    let call = relative(call);
    pair(&call).agree_for_every_choice(&operands(&call));
}

#[test]
fn attention_agrees_on_views() {
    let call = relative(self_attention(&[5, 12], 8));
    for layouts in [[Layout::Transposed; 4], [Layout::Sliced; 4]] {
        let operands = operands(&call).into_iter().zip(layouts);
        let operands: Vec<_> = operands.map(|(operand, layout)| Operand { layout, ..operand }).collect();
        pair(&call).agree(&operands);
    }
}

#[test]
fn attention_agrees_on_one_tensor_as_query_key_and_value() {
    let call = causal(self_attention(&[5, 12], 8), None);
    let thrice = |operation: Operation| {
        move |tensors: &[Tensor<2>]| operation(&[tensors[0].clone(), tensors[0].clone(), tensors[0].clone()])
    };
    let Pair { name, fused, composed } = pair(&call);
    Pair { name, fused: thrice(fused), composed: thrice(composed) }.agree(&[Operand::new(17, 16)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn self_attention_agrees_on_ragged_sequences(
        lengths in prop::collection::vec(0_usize..60, 1..5),
        head in 1_usize..20,
        groups in prop::sample::select(vec![(2, 2), (3, 1), (4, 2)]),
        is_causal in any::<bool>(),
        window in prop::option::of(1_usize..50),
        biases in any::<(bool, bool)>(),
    ) {
        let sequences: Vec<_> = lengths.into_iter().map(|length| (length, length, 0)).collect();
        prop_assume!(sequences.iter().any(|sequence| sequence.0 > 0));
        agree_with(&sequences, head, groups, (is_causal, window), biases);
    }

    #[test]
    fn cross_attention_agrees_on_ragged_sequences(
        sequences in prop::collection::vec((0_usize..40, 0_usize..60, 0_usize..40), 1..5),
        head in 1_usize..20,
        groups in prop::sample::select(vec![(2, 2), (3, 1), (4, 2)]),
        is_causal in any::<bool>(),
        window in prop::option::of(1_usize..50),
        biases in any::<(bool, bool)>(),
    ) {
        prop_assume!(sequences.iter().any(|sequence| sequence.0 > 0));
        agree_with(&sequences, head, groups, (is_causal, window), biases);
    }
}

fn agree_with(
    sequences: &[(usize, usize, usize)],
    head: usize,
    (query_heads, key_heads): (usize, usize),
    (is_causal, window): (bool, Option<usize>),
    (has_alibi, has_relative): (bool, bool),
) {
    let mut call = grouped(call(sequences, head), query_heads, key_heads);
    call = if is_causal { causal(call, window) } else { local(call, window) };
    call = if has_alibi { alibi(call) } else { call };
    call = if has_relative { relative(call) } else { call };
    agree(&call);
}
