//! Attention against its definition.

mod reference;

use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use reference::Reference;

use super::{
    super::Dropout, AttentionGradients, AttentionHeads, AttentionInputs, AttentionOutput, AttentionPattern,
    AttentionResult, RelativeBuckets, RelativeGradients, RelativeScores, attention_backward,
    attention_forward,
};

/// Attention on random numbers.
#[derive(Clone, Debug)]
struct Case {
    /// Queries, keys and position of the first query of each sequence.
    sequences: Vec<(usize, usize, usize)>,
    heads: AttentionHeads,
    pattern: AttentionPattern,
    /// Buckets of distances.
    buckets: usize,
    /// Whether each query and each key has a number for each bucket, instead of a table.
    in_rows: bool,
    dropout: Option<Dropout>,
}

impl Case {
    fn new(sequences: &[(usize, usize, usize)], head: usize) -> Self {
        Self {
            sequences: sequences.to_vec(),
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
            buckets: 0,
            in_rows: false,
            dropout: None,
        }
    }

    fn self_attention(lengths: &[usize], head: usize) -> Self {
        let sequences: Vec<_> = lengths.iter().map(|&length| (length, length, 0)).collect();
        Self::new(&sequences, head)
    }

    fn causal(mut self, window: Option<usize>) -> Self {
        self.pattern.causal = true;
        self.pattern.window = window;
        self
    }

    /// Both directions within a window.
    fn local(mut self, window: usize) -> Self {
        self.pattern.window = Some(window);
        self
    }

    fn capped(mut self, cap: f32) -> Self {
        self.pattern.soft_cap = Some(cap);
        self
    }

    fn grouped(mut self, query_heads: usize, key_heads: usize) -> Self {
        self.heads = AttentionHeads { query_heads, key_heads, ..self.heads };
        self
    }

    fn alibi(mut self) -> Self {
        self.pattern.alibi = Some((0..self.heads.query_heads).map(|head| 0.5 / (head + 1) as f32).collect());
        self
    }

    fn alibi_in_bfloat16(mut self) -> Self {
        self.pattern.alibi_in_bfloat16 = true;
        let slope = |head| 0.5_f32.powf(0.5 * (head + 1) as f32);
        self.pattern.alibi = Some((0..self.heads.query_heads).map(slope).collect());
        self
    }

    /// Buckets of distances that are not symmetric.
    fn relative(mut self) -> Self {
        let reach = self.sequences.iter().map(|&(queries, keys, first)| queries + keys + first).max();
        let reach = reach.unwrap_or(0);
        self.buckets = 5;
        let bucket = |place: usize| if place < reach { place / 3 % 3 } else { 3 + place % 2 };
        let buckets = (0..=2 * reach).map(|place| bucket(place) as u32).collect();
        self.pattern.relative = Some(RelativeBuckets { buckets, zero_at: reach });
        self
    }

    /// The same, where every query and every key has numbers of its own.
    fn disentangled(self) -> Self {
        Self { in_rows: true, ..self.relative() }
    }

    fn dropped_out(mut self) -> Self {
        self.dropout = Some(Dropout { probability: 0.3, seed: 11 });
        self
    }

    /// Calls `check` with the inputs and the gradient of the output.
    fn with_inputs<T>(&self, check: impl FnOnce(&AttentionInputs<'_>, &[f32]) -> T) -> T {
        let AttentionHeads { query_heads, key_heads, head } = self.heads;
        let bounds = |length: fn(&(usize, usize, usize)) -> usize| -> Vec<usize> {
            let ends = self.sequences.iter().scan(0, |end, sequence| {
                *end += length(sequence);
                Some(*end)
            });
            std::iter::once(0).chain(ends).collect()
        };
        let (query_bounds, key_bounds) = (bounds(|sequence| sequence.0), bounds(|sequence| sequence.1));
        let query_len = query_bounds[self.sequences.len()] * query_heads * head;
        let key_len = key_bounds[self.sequences.len()] * key_heads * head;
        let offsets: Vec<usize> = self.sequences.iter().map(|sequence| sequence.2).collect();
        let rows = |bounds: &[usize]| bounds[self.sequences.len()] * query_heads * self.buckets;
        let table = random(self.buckets * query_heads, 5);
        let (of_queries, of_keys) = (random(rows(&query_bounds), 6), random(rows(&key_bounds), 7));
        let relative = match self.in_rows {
            true => RelativeScores::Rows { of_queries: &of_queries, of_keys: &of_keys },
            false => RelativeScores::Table(&table),
        };
        let inputs = AttentionInputs {
            query: &random(query_len, 1),
            key: &random(key_len, 2),
            value: &random(key_len, 3),
            query_bounds: &query_bounds,
            key_bounds: &key_bounds,
            query_offsets: &offsets,
            heads: self.heads,
            pattern: &self.pattern,
            relative: self.pattern.relative.is_some().then_some(relative),
            dropout: self.dropout,
        };
        check(&inputs, &random(query_len, 4))
    }

    fn compute(&self, threads: usize) -> (AttentionOutput, AttentionGradients) {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        self.with_inputs(|inputs, gradient| {
            pool.install(|| {
                let forward = attention_forward(inputs);
                let AttentionOutput { output, log_sum_exp } = &forward;
                let backward = attention_backward(inputs, &AttentionResult { output, log_sum_exp, gradient });
                (forward, backward)
            })
        })
    }

    fn assert_matches_the_definition(&self) {
        let (forward, backward) = self.compute(2);
        let expected = self.with_inputs(Reference::new);
        assert_close("output", &forward.output, &expected.output);
        assert_close("log_sum_exp", &forward.log_sum_exp, &expected.log_sum_exp);
        assert_close("query", &backward.query, &expected.query);
        assert_close("key", &backward.key, &expected.key);
        assert_close("value", &backward.value, &expected.value);
        assert_eq!(backward.relative.is_some(), self.pattern.relative.is_some());
        match backward.relative {
            Some(RelativeGradients::Table(table)) => assert_close("table", &table, &expected.relative),
            Some(RelativeGradients::Rows { of_queries, of_keys }) => {
                assert_close("rows of queries", &of_queries, &expected.relative);
                assert_close("rows of keys", &of_keys, &expected.relative_of_keys);
            }
            None => {}
        }
    }
}

/// Numbers between -1 and 1.
fn random(len: usize, seed: u64) -> Vec<f32> {
    let row = Dropout { probability: 0.0, seed };
    let bit = |index: usize, bit: u64| Dropout { probability: 0.5, ..row }.row(bit).factor(index) - 1.0;
    (0..len).map(|index| (1..=12).map(|place| bit(index, place) / (1_u32 << place) as f32).sum()).collect()
}

fn assert_close(name: &str, actual: &[f32], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    let finite = expected.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        // With a single key all gradients of scores are zero but for the rounding of terms of order 1.
        let scale = if largest < 1e-3 { 1.0 } else { largest };
        let close = (f64::from(actual) - expected).abs() <= 1e-5 * scale;
        assert!(close || f64::from(actual) == expected, "{name}[{index}] is {actual}, not {expected}");
    }
}

#[test]
fn matches_the_definition_at_usual_and_odd_head_sizes() {
    for head in [1, 7, 16, 32, 64, 80, 96, 128] {
        Case::self_attention(&[13, 40], head).assert_matches_the_definition();
    }
}

#[test]
fn matches_the_definition_at_the_edges_of_tiles_panels_and_blocks() {
    for length in [1, 2, 5, 6, 7, 15, 16, 17, 23, 24, 25, 47, 48, 49, 97] {
        Case::self_attention(&[length], 7).assert_matches_the_definition();
        Case::self_attention(&[length], 7).causal(None).relative().assert_matches_the_definition();
    }
}

#[test]
fn matches_the_definition_beyond_one_block_of_keys() {
    let sequences = [(50, 1040, 700), (530, 530, 0)];
    Case::new(&sequences, 8).assert_matches_the_definition();
    Case::new(&sequences, 8).causal(Some(300)).alibi().dropped_out().assert_matches_the_definition();
    Case::new(&sequences, 8).causal(None).relative().assert_matches_the_definition();
    Case::new(&sequences, 8).local(300).relative().dropped_out().assert_matches_the_definition();
}

#[test]
fn queries_and_keys_with_numbers_of_their_own_for_each_bucket_match_the_definition() {
    for length in [1, 2, 15, 16, 17, 49] {
        Case::self_attention(&[length, 3], 7).disentangled().assert_matches_the_definition();
    }
    let sequences = [(5, 9, 4), (0, 6, 0), (7, 0, 0), (50, 1040, 700)];
    Case::new(&sequences, 8).disentangled().assert_matches_the_definition();
    Case::new(&sequences, 8).grouped(6, 2).disentangled().dropped_out().assert_matches_the_definition();
    Case::new(&sequences, 8).causal(Some(20)).disentangled().capped(0.4).assert_matches_the_definition();
}

#[test]
fn a_window_without_a_causal_pattern_reaches_as_far_ahead_as_back() {
    for window in [1, 2, 16, 17, 200] {
        Case::self_attention(&[1, 40, 97], 8).local(window).assert_matches_the_definition();
    }
    // Of a window of one, a query sees itself: the output is the value.
    let (forward, _) = Case::self_attention(&[5], 4).local(1).compute(1);
    Case::self_attention(&[5], 4).with_inputs(|inputs, _| assert_eq!(forward.output, inputs.value));
    // What lies behind every window is never read.
    let far = Case::new(&[(2, 90, 3)], 4).local(9).compute(1).1;
    assert!(far.key[13 * 8..].iter().chain(&far.value[13 * 8..]).all(|&gradient| gradient == 0.0));
}

#[test]
fn matches_the_definition_with_alibi_in_bfloat16() {
    for sequences in [&[(50, 1040, 700), (530, 530, 0)][..], &[(2, 0, 1), (0, 4, 2), (3, 5, 1), (1, 0, 0)]] {
        let case = Case::new(sequences, 8).grouped(4, 2).alibi_in_bfloat16();
        case.clone().causal(None).assert_matches_the_definition();
        case.causal(Some(2)).dropped_out().assert_matches_the_definition();
    }
}

#[test]
fn matches_the_definition_with_fewer_key_heads() {
    for (query_heads, key_heads) in [(6, 2), (4, 1)] {
        let case = Case::self_attention(&[9, 30], 8).grouped(query_heads, key_heads);
        case.clone().relative().assert_matches_the_definition();
        case.causal(None).dropped_out().assert_matches_the_definition();
    }
}

#[test]
fn a_query_without_keys_gives_zeros() {
    // No sequence, no rows at all, no keys, no queries, and something in between and after.
    for sequences in
        [&[][..], &[(0, 0, 0)], &[(3, 0, 0)], &[(0, 3, 0)], &[(2, 0, 1), (0, 4, 2), (3, 5, 1), (1, 0, 0)]]
    {
        for case in [Case::new(sequences, 7), Case::new(sequences, 7).causal(Some(2)).alibi().relative()] {
            case.assert_matches_the_definition();
            case.clone().dropped_out().assert_matches_the_definition();
        }
    }
    let (forward, backward) = Case::new(&[(2, 0, 0)], 4).compute(1);
    assert_eq!(forward.output, [0.0; 16]);
    assert_eq!(forward.log_sum_exp, [f32::NEG_INFINITY; 4]);
    assert_eq!(backward.query, [0.0; 16]);
}

#[test]
fn matches_the_definition_with_capped_scores() {
    for case in [Case::self_attention(&[1, 13, 97], 16), Case::new(&[(50, 1040, 700), (1, 30, 29)], 8)] {
        // Most scores are below this cap, and then above.
        for cap in [2.0, 0.1] {
            case.clone().capped(cap).relative().assert_matches_the_definition();
            let causal = case.clone().capped(cap).causal(Some(300)).grouped(4, 2);
            causal.alibi().dropped_out().assert_matches_the_definition();
        }
    }
}

#[test]
fn a_window_may_lie_beyond_the_last_key() {
    // Queries at 30 to 32 of which the last see none of the 20 keys.
    let (forward, _) = Case::new(&[(3, 20, 30)], 4).causal(Some(12)).compute(1);
    Case::new(&[(3, 20, 30)], 4).causal(Some(12)).relative().assert_matches_the_definition();
    assert_eq!(forward.output[2 * 8..], [0.0; 8]);
    assert_ne!(forward.output[..8], [0.0; 8]);
}

#[test]
fn decoding_gives_the_last_row_of_the_whole() {
    let (whole, _) = Case::new(&[(21, 21, 0)], 16).causal(None).alibi().compute(1);
    // The same random numbers but for the query, of which row 0 is at position 20.
    let case = Case::new(&[(1, 21, 20)], 16).causal(None).alibi();
    let last = case.with_inputs(|inputs, _| {
        let queries = random(21 * 32, 1);
        attention_forward(&AttentionInputs { query: &queries[20 * 32..], ..*inputs }).output
    });
    assert_close(
        "last row",
        &last,
        &whole.output[20 * 32..].iter().map(|&v| f64::from(v)).collect::<Vec<_>>(),
    );
}

#[test]
fn large_scores_do_not_overflow() {
    let mut case = Case::self_attention(&[20], 16);
    case.pattern.scale = 200.0;
    let (forward, backward) = case.compute(1);
    assert!(forward.log_sum_exp.iter().any(|&sum| sum > 100.0));
    assert!(forward.output.iter().chain(&backward.query).all(|value| value.is_finite()));
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = Case::self_attention(&[70, 1, 33, 0, 130, 64], 32).grouped(4, 2).relative().dropped_out();
    let (forward, backward) = case.compute(1);
    for threads in [2, 3, 8] {
        let (other_forward, other_backward) = case.compute(threads);
        assert_eq!(forward.output, other_forward.output);
        assert_eq!(forward.log_sum_exp, other_forward.log_sum_exp);
        assert_eq!(backward.query, other_backward.query);
        assert_eq!(backward.key, other_backward.key);
        assert_eq!(backward.value, other_backward.value);
        assert_eq!(backward.relative, other_backward.relative);
    }
}

#[test]
#[should_panic(expected = "size of the values")]
fn refuses_values_of_another_size() {
    Case::self_attention(&[3], 4).with_inputs(|inputs, _| {
        attention_forward(&AttentionInputs { value: &inputs.value[1..], ..*inputs });
    });
}

#[test]
fn distances_beyond_the_buckets_have_the_outermost() {
    let mut case = Case::self_attention(&[9, 2], 4).relative();
    case.pattern.relative = Some(RelativeBuckets { buckets: [0, 3, 1, 4].into(), zero_at: 1 });
    case.assert_matches_the_definition();
    case.causal(None).assert_matches_the_definition();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn matches_the_definition_on_ragged_sequences(
        sequences in prop::collection::vec((0_usize..60, 0_usize..60, 0_usize..40), 1..5),
        head in 1_usize..20,
        groups in prop::sample::select(vec![(2, 2), (3, 1), (4, 2)]),
        causal in any::<bool>(),
        window in prop::option::of(1_usize..50),
        (alibi, relative, dropped_out) in any::<(bool, bool, bool)>(),
    ) {
        let mut case = Case::new(&sequences, head).grouped(groups.0, groups.1);
        case.pattern.causal = causal;
        case.pattern.window = window;
        case = if alibi { case.alibi() } else { case };
        case = if relative { case.relative() } else { case };
        case = if dropped_out { case.dropped_out() } else { case };
        case.assert_matches_the_definition();
    }
}
