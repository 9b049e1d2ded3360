//! The arithmetic of a norm on one row, to be inlined into code that is compiled for vector
//! instructions.

use super::{DropoutRow, lane_sum, lane_sum_pairs};

/// Which statistics a norm takes out of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `(s - mean) / √(variance + ε)`, with the biased variance (Ba et al. 2016, transformers' BERT).
    Layer,
    /// `s / √(mean(s²) + ε)` (Zhang and Sennrich 2019, transformers' `LlamaRMSNorm` and `T5LayerNorm`).
    Rms,
}

/// A norm over rows, with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// The statistics.
    pub kind: NormKind,
    /// Factor of each column, `[width]`.
    pub gain: &'a [f32],
    /// Summand of each column, `[width]`.
    pub bias: Option<&'a [f32]>,
    /// Added to the variance or the mean square.
    pub epsilon: f32,
}

/// Mean and spread of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowStatistics {
    /// Mean of the row; zero for RMS norm, which takes none out.
    pub mean: f32,
    /// `1 / √(variance + ε)`.
    pub reciprocal: f32,
}

impl Norm<'_> {
    /// What output and gradient need of a row, in two passes over it.
    #[inline(always)]
    pub(super) fn statistics(&self, sum: &[f32]) -> RowStatistics {
        let count = sum.len() as f32;
        let mean = match self.kind {
            NormKind::Layer => lane_sum(sum, |s| s) / count,
            NormKind::Rms => 0.0,
        };
        let variance = lane_sum(sum, |s| (s - mean) * (s - mean)) / count;
        RowStatistics { mean, reciprocal: 1.0 / (variance + self.epsilon).sqrt() }
    }

    /// The row of the output.
    #[inline(always)]
    pub(super) fn output_row(
        &self,
        sum: &[f32],
        RowStatistics { mean, reciprocal }: RowStatistics,
        output: &mut [f32],
    ) {
        let columns = output.iter_mut().zip(sum).zip(self.gain);
        match self.bias {
            Some(bias) => {
                for (((out, &s), &gain), &bias) in columns.zip(bias) {
                    *out = ((s - mean) * reciprocal).mul_add(gain, bias);
                }
            }
            None => {
                for ((out, &s), &gain) in columns {
                    *out = (s - mean) * reciprocal * gain;
                }
            }
        }
    }

    /// With `n = (s - mean) r` and `g = dy gain`: `ds = r (g - mean(g) - n mean(g n))`, where RMS norm
    /// lacks the `mean(g)`. Adds to `dgain` and `dbias`.
    #[inline(always)]
    pub(super) fn backward_row(
        &self,
        sum: &[f32],
        RowStatistics { mean, reciprocal }: RowStatistics,
        dy: &[f32],
        ds: &mut [f32],
        dgain: &mut [f32],
        dbias: &mut [f32],
    ) {
        let parameters = dgain.iter_mut().zip(dbias).zip(self.gain);
        for (((ds, &s), &dy), ((dgain, dbias), &gain)) in ds.iter_mut().zip(sum).zip(dy).zip(parameters) {
            *dgain = ((s - mean) * reciprocal).mul_add(dy, *dgain);
            *dbias += dy;
            *ds = dy * gain;
        }
        let count = sum.len() as f32;
        let mean_g = match self.kind {
            NormKind::Layer => lane_sum(ds, |g| g) / count,
            NormKind::Rms => 0.0,
        };
        let mean_gn = lane_sum_pairs(ds, sum, |g, s| g * ((s - mean) * reciprocal)) / count;
        for (ds, &s) in ds.iter_mut().zip(sum) {
            *ds = reciprocal * (*ds - mean_g - (s - mean) * reciprocal * mean_gn);
        }
    }
}

/// `sum = residual + dropout(x)`.
#[inline(always)]
pub fn add_row(x: &[f32], residual: Option<&[f32]>, mask: Option<DropoutRow>, sum: &mut [f32]) {
    let columns = sum.iter_mut().zip(x);
    match (residual, mask) {
        (Some(residual), Some(mask)) => {
            for (column, ((sum, &x), &residual)) in columns.zip(residual).enumerate() {
                *sum = x.mul_add(mask.factor(column), residual);
            }
        }
        (Some(residual), None) => {
            for ((sum, &x), &residual) in columns.zip(residual) {
                *sum = x + residual;
            }
        }
        (None, Some(mask)) => {
            for (column, (sum, &x)) in columns.enumerate() {
                *sum = x * mask.factor(column);
            }
        }
        (None, None) => sum.copy_from_slice(x),
    }
}
