//! Attention by its definition, in f64.

use super::super::{AttentionHeads, AttentionInputs, RelativeScores};

/// Output, sums and gradients by the definition, in `f64`.
pub struct Reference {
    pub output: Vec<f64>,
    pub log_sum_exp: Vec<f64>,
    pub query: Vec<f64>,
    pub key: Vec<f64>,
    pub value: Vec<f64>,
    /// Of a table, or of what the queries have for each bucket.
    pub relative: Vec<f64>,
    /// Of what the keys have for each bucket.
    pub relative_of_keys: Vec<f64>,
}

/// What one query thinks of one key.
struct Pair {
    key_row: usize,
    bucket: Option<usize>,
    score: f64,
    /// Of the cap on the score.
    slope: f64,
    mask: f64,
}

impl Reference {
    pub fn new(inputs: &AttentionInputs<'_>, output_gradient: &[f32]) -> Self {
        let mut result = Self {
            output: vec![0.0; inputs.query.len()],
            log_sum_exp: vec![f64::NEG_INFINITY; inputs.query_rows() * inputs.heads.query_heads],
            query: vec![0.0; inputs.query.len()],
            key: vec![0.0; inputs.key.len()],
            value: vec![0.0; inputs.value.len()],
            relative: Vec::new(),
            relative_of_keys: Vec::new(),
        };
        match inputs.relative {
            Some(RelativeScores::Table(table)) => result.relative = vec![0.0; table.len()],
            Some(RelativeScores::Rows { of_queries, of_keys }) => {
                result.relative = vec![0.0; of_queries.len()];
                result.relative_of_keys = vec![0.0; of_keys.len()];
            }
            None => {}
        }
        for sequence in 0..inputs.sequences() {
            for row in inputs.query_bounds[sequence]..inputs.query_bounds[sequence + 1] {
                for head in 0..inputs.heads.query_heads {
                    result.add_query(inputs, output_gradient, sequence, row, head);
                }
            }
        }
        result
    }

    fn add_query(
        &mut self,
        inputs: &AttentionInputs<'_>,
        output_gradient: &[f32],
        sequence: usize,
        row: usize,
        query_head: usize,
    ) {
        let AttentionHeads { query_heads, key_heads, head } = inputs.heads;
        let key_head = query_head * key_heads / query_heads;
        let query_at = (row * query_heads + query_head) * head;
        let key_at = |key_row: usize| (key_row * key_heads + key_head) * head;
        let pairs = pairs(inputs, sequence, row, query_head, query_at, key_at);
        let sum: f64 = pairs.iter().map(|pair| pair.score.exp()).sum();
        self.log_sum_exp[row * query_heads + query_head] = sum.ln();

        let gradient_of_weight = |pair: &Pair| -> f64 {
            let products = (0..head)
                .map(|i| f64::from(output_gradient[query_at + i] * inputs.value[key_at(pair.key_row) + i]));
            products.sum::<f64>() * pair.mask
        };
        let total: f64 = pairs.iter().map(|pair| pair.score.exp() / sum * gradient_of_weight(pair)).sum();
        for pair in &pairs {
            let weight = pair.score.exp() / sum;
            let score_gradient = weight * (gradient_of_weight(pair) - total);
            let key_at = key_at(pair.key_row);
            let scale = f64::from(inputs.pattern.scale) * pair.slope;
            for i in 0..head {
                let masked = weight * pair.mask;
                self.output[query_at + i] += masked * f64::from(inputs.value[key_at + i]);
                self.value[key_at + i] += masked * f64::from(output_gradient[query_at + i]);
                self.query[query_at + i] += scale * score_gradient * f64::from(inputs.key[key_at + i]);
                self.key[key_at + i] += scale * score_gradient * f64::from(inputs.query[query_at + i]);
            }
            match (pair.bucket, inputs.relative) {
                (Some(bucket), Some(RelativeScores::Table(_))) => {
                    self.relative[bucket * query_heads + query_head] += score_gradient;
                }
                (Some(bucket), Some(RelativeScores::Rows { .. })) => {
                    let place = |row: usize| (row * query_heads + query_head) * inputs.buckets() + bucket;
                    self.relative[place(row)] += score_gradient;
                    self.relative_of_keys[place(pair.key_row)] += score_gradient;
                }
                _ => {}
            }
        }
    }
}

fn pairs(
    inputs: &AttentionInputs<'_>,
    sequence: usize,
    row: usize,
    query_head: usize,
    query_at: usize,
    key_at: impl Fn(usize) -> usize,
) -> Vec<Pair> {
    let AttentionHeads { query_heads, head, .. } = inputs.heads;
    let (first, last) = (inputs.key_bounds[sequence], inputs.key_bounds[sequence + 1]);
    let position = (inputs.query_offsets[sequence] + row - inputs.query_bounds[sequence]) as isize;
    let seen = |key: isize| {
        let pattern = inputs.pattern;
        (!pattern.causal || key <= position)
            && pattern.window.is_none_or(|window| (key - position).unsigned_abs() < window)
    };
    let mut pairs = Vec::new();
    for key_row in first..last {
        let key = (key_row - first) as isize;
        if !seen(key) {
            continue;
        }
        let products = (0..head)
            .map(|i| f64::from(inputs.query[query_at + i]) * f64::from(inputs.key[key_at(key_row) + i]));
        let mut score = f64::from(inputs.pattern.scale) * products.sum::<f64>();
        let mut cap_slope = 1.0;
        if let Some(cap) = inputs.pattern.soft_cap.map(f64::from) {
            let share = (score / cap).tanh();
            (score, cap_slope) = (cap * share, 1.0 - share * share);
        }
        if let Some(slopes) = &inputs.pattern.alibi {
            let slope = f64::from(slopes[query_head]);
            score += if inputs.pattern.alibi_in_bfloat16 {
                f64::from(inputs.pattern.scale) * bfloat16(bfloat16(slope) * bfloat16(key as f64))
            } else {
                slope * (key - position) as f64
            };
        }
        let bucket = inputs.pattern.relative.as_ref().map(|relative| {
            let place = key - position + relative.zero_at as isize;
            relative.buckets[place.clamp(0, relative.buckets.len() as isize - 1) as usize] as usize
        });
        let place = |row: usize, bucket: usize| (row * query_heads + query_head) * inputs.buckets() + bucket;
        score += match (bucket, inputs.relative) {
            (Some(bucket), Some(RelativeScores::Table(table))) => {
                f64::from(table[bucket * query_heads + query_head])
            }
            (Some(bucket), Some(RelativeScores::Rows { of_queries, of_keys })) => {
                f64::from(of_queries[place(row, bucket)]) + f64::from(of_keys[place(key_row, bucket)])
            }
            _ => 0.0,
        };
        let mask_row = (query_head * inputs.query_rows() + row) as u64;
        let mask =
            inputs.dropout.map_or(1.0, |dropout| f64::from(dropout.row(mask_row).factor(key as usize)));
        pairs.push(Pair { key_row, bucket, score, slope: cap_slope, mask });
    }
    pairs
}

/// Rounded to eight significant bits.
fn bfloat16(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let step = (value.abs().log2().floor() - 7.0).exp2();
    (value / step).round_ties_even() * step
}
