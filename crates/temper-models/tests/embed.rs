//! Embeddings are pooled from what transformers computes.

#[path = "common/zoo.rs"]
mod zoo;

use burn::tensor::Device;
use temper_models::{TextPooling, embed};
use zoo::{cases, host, largest};

#[test]
fn embeddings_are_pooled_hidden_states_of_transformers() {
    for case in cases() {
        let device = Device::flex();
        let (model, batch) = (case.load(&device), case.batch(&device));
        let is_seq2seq = case.has("encoder_last_hidden_state");
        let states = case.packed(if is_seq2seq { "encoder_last_hidden_state" } else { "last_hidden_state" });
        let width = states.len() / batch.tokens();
        let row = |row: usize| states[row * width..][..width].to_vec();
        for pooling in TextPooling::ALL {
            let theirs = batch.sequences.ranges().flat_map(|range| match pooling {
                TextPooling::Cls => row(range.start),
                TextPooling::Last => row(range.end - 1),
                TextPooling::Max => {
                    let column = |at| range.clone().map(|token| row(token)[at]).fold(f64::MIN, f64::max);
                    (0..width).map(column).collect()
                }
                TextPooling::Mean | TextPooling::MeanSqrtLen | TextPooling::WeightedMean => {
                    let is_weighted = pooling == TextPooling::WeightedMean;
                    let weight = |token| if is_weighted { (token - range.start + 1) as f64 } else { 1.0 };
                    let sum = range.clone().map(weight).sum::<f64>();
                    let divisor = if pooling == TextPooling::MeanSqrtLen { sum.sqrt() } else { sum };
                    let column = |at| range.clone().map(|token| weight(token) * row(token)[at]).sum::<f64>();
                    (0..width).map(|at| column(at) / divisor).collect()
                }
            });
            let theirs: Vec<f64> = theirs.collect();
            let difference = largest(&host(embed(&model.backbone, &batch, &[pooling], 0)), &theirs);
            assert!(difference < 1e-5, "{} {pooling}: {difference}", case.name);
        }
    }
}
