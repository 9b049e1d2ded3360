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
        for pooling in [TextPooling::Mean, TextPooling::Cls, TextPooling::Last] {
            let theirs = batch.sequences.ranges().flat_map(|range| match pooling {
                TextPooling::Cls => row(range.start),
                TextPooling::Last => row(range.end - 1),
                TextPooling::Mean => {
                    let column = |at| range.clone().map(|token| row(token)[at]).sum::<f64>();
                    (0..width).map(|at| column(at) / range.len() as f64).collect()
                }
            });
            let theirs: Vec<f64> = theirs.collect();
            let difference = largest(&host(embed(&model.backbone, &batch, pooling)), &theirs);
            assert!(difference < 1e-5, "{} {pooling}: {difference}", case.name);
        }
    }
}
