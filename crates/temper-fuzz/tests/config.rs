//! Target: config.json of every family, with weights that fit the sound one. What loads, computes.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{answer, fixtures, folder_with, read, write};
use temper_fuzz::{Failures, Part, Shape, run};
use temper_models::{AnyBackbone, HeadRequest, HeadTask, Mode, Model, Pooling, TokenBatch};

/// A folder of the zoo for each way that a family is configured.
const MODELS: [&str; 15] = [
    "bart-seq2seq-lm",
    "bert-sequence-classification",
    "bloom-causal-lm",
    "camembert-sequence-classification",
    "distilbert-token-classification",
    "falcon-40b-causal-lm",
    "falcon-rw-causal-lm",
    "gpt-neo-causal-lm",
    "gpt2-sequence-classification",
    "llama-linear-causal-lm",
    "llama3-sequence-classification",
    "openai-gpt-causal-lm",
    "roberta-question-answering",
    "t5-seq2seq-lm",
    "xlm-roberta-sequence-classification",
];

/// Loads a model as it is and with a new head, and computes three tokens.
fn load(dir: &Path) -> Result<(), String> {
    let device = Device::flex();
    let new = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels: vec!["no".into(), "yes".into()],
        pooling: Pooling::Pooler,
        seed: 1,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let _ = Model::load(dir, &new, &device);
    let loaded = answer(Model::load(dir, &HeadRequest::FromConfig, &device))?;
    let bounds = loaded.config.bounds();
    if bounds.max_positions < 3 || bounds.vocab_size < 3 {
        return Ok(());
    }
    let batch = || TokenBatch::new(&[0, 1, 2], &[0; 3], &[3], &device);
    let batch = match loaded.model.backbone {
        AnyBackbone::EncoderDecoder(_) => batch().with_decoder(batch()),
        _ => batch(),
    };
    let logits = loaded.model.logits(&batch, Mode::Evaluate);
    logits.map(|logits| logits.into_data());
    Ok(())
}

#[test]
fn config() -> Result<(), Failures> {
    let part = |name: &'static str| {
        let fixture = fixtures("temper-models/tests/fixtures/zoo").join(name);
        let weights = read(&fixture.join("model.safetensors"));
        let check = move |bytes: &[u8], dir: &Path| {
            let place = folder_with(dir, name, &[("model.safetensors", &weights)]);
            write(&place.join("config.json"), bytes);
            load(&place)
        };
        let seeds = vec![read(&fixture.join("config.json"))];
        Part { name, shape: Shape::Json, seeds, check: Box::new(check) }
    };
    run("config", 2000, &MODELS.map(part))
}
