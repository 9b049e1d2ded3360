//! The loss of a head for the vocabulary as one operation has the gradients of the composed form in every model.

#[path = "common/zoo.rs"]
mod zoo;

use burn::tensor::Device;
use temper_kernels::{VocabularyTargets, cross_entropy};
use temper_models::{HeadKind, Mode};
use zoo::{gradients_of, host, largest, size};

#[test]
fn loss_and_gradients_are_those_of_the_composed_form() {
    let mut seen = 0;
    for case in zoo::cases() {
        let is_of_decoder = matches!(case.kind(), HeadKind::Seq2SeqLm(_));
        if !is_of_decoder && !matches!(case.kind(), HeadKind::CausalLm(_) | HeadKind::MaskedLm(_)) {
            continue;
        }
        seen += 1;
        let (model, batch) = (case.load(&Device::flex().autodiff()), case.batch(&Device::flex()));
        let read = batch.decoder.as_ref().filter(|_| is_of_decoder).map_or(&batch, |decoder| decoder);
        let ids: Vec<i32> =
            (0..read.tokens() as i32).map(|row| if row % 4 == 3 { -100 } else { row * 7 % 11 }).collect();
        let logits = model.logits(&batch, Mode::Evaluate).expect("a head");
        let composed = cross_entropy(logits, zoo::integers(ids.clone())).sum();
        let targets = VocabularyTargets { ids: ids.into(), smoothing: 0.0 };
        let fused = model.vocabulary_loss(&batch, &targets, Mode::Evaluate).expect("a head");
        let [composed, fused] =
            [composed, fused].map(|loss| (host(loss.clone())[0], gradients_of(&model, &loss.backward())));
        assert!((composed.0 - fused.0).abs() < 1e-5 * composed.0, "{}", case.name);
        assert_eq!(composed.1.len(), fused.1.len(), "{}", case.name);
        for (path, gradient) in &composed.1 {
            let difference = largest(gradient, &fused.1[path]);
            assert!(difference < 1e-5 * size(gradient).max(0.1), "{} {path}: {difference}", case.name);
        }
    }
    assert!(seen > 20, "{seen}");
}
