//! Fine-tunes in a loop of its own: no Learner, no run folder, only models and freezing rules.

use anyhow::{Context, Result};
use burn::lr_scheduler::LrScheduler;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use temper_data::{EncodeSettings, EncodedSet, Truncation, collate, encode_all, load_tokenizer};
use temper_freeze::{
    ClipFactor, FreezePlan, GradientSquares, OptimizerSettings, RateSchedule, TrainingProof,
};
use temper_hub::{Hub, HubSettings};
use temper_models::{HeadRequest, HeadTask, Mode, Model, Pooling, TokenBatch};

const TEXTS: [(&str, i32); 8] = [
    ("A quiet triumph.", 1),
    ("Dull, and far too long.", 0),
    ("Funny from beginning to end.", 1),
    ("The plot makes no sense.", 0),
    ("I would see it again tomorrow.", 1),
    ("A waste of two hours.", 0),
    ("Tender, clever and beautifully played.", 1),
    ("Nobody should have to sit through this.", 0),
];
const STEPS: usize = 12;

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "minilm".into());
    let files = Hub::new(HubSettings::from_environment()).model(&name)?;
    let config = files.file("config.json").context("a model has a config.json")?;
    let dir = config.path.parent().context("a file stands in a folder")?;

    let device = Device::flex().autodiff();
    let head = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels: vec!["negative".into(), "positive".into()],
        pooling: Pooling::Pooler,
        seed: 42,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = Model::load(dir, &head, &device)?;

    // The two upper layers and the head train; everything below runs without autodiff.
    let plan = FreezePlan::new(&"last:2".parse()?, &loaded.model.parameters(), &loaded.new)?;
    println!("{}", plan.summary());
    let mut model = plan.apply(loaded.model);
    let clip = ClipFactor::default();
    let mut optimizer = OptimizerSettings::default().init(&plan, &clip);
    let mut rates = RateSchedule::linear(3e-4, 2, STEPS);
    let mut proof = TrainingProof::begin(&model);

    let tokenizer = load_tokenizer(dir)?;
    let settings = EncodeSettings { max_length: 64, truncation: Truncation::Head };
    let texts: Vec<_> = TEXTS.iter().map(|&(text, _)| (text, None)).collect();
    let encoded = encode_all(&tokenizer, &texts, &settings, None)?;
    let batch = batch(&encoded, &device);
    for step in 1..=STEPS {
        let loss = loss(&model, &batch, Mode::train(step as u64));
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let squares = GradientSquares::of(&model, &gradients);
        clip.set(squares.clip_factor(1.0));
        let norms = squares.read();
        proof.observe(&norms);
        model = optimizer.step(rates.step(), model, gradients);
        println!("step {step:>2}  loss {:.4}  gradient norm {:.3}", loss.into_scalar::<f32>(), norms.total);
    }
    let violations = proof.violations(&model, &plan, STEPS);
    anyhow::ensure!(violations.is_empty(), "the proof failed: {violations:?}");
    println!("proof: what should train did, and nothing else moved");
    Ok(())
}

fn batch(encoded: &EncodedSet, device: &Device) -> TokenBatch {
    let all: Vec<usize> = (0..encoded.items.len()).collect();
    let batch = collate(encoded, &all);
    TokenBatch::new(&batch.ids, &batch.type_ids, &batch.lengths, device)
}

fn loss(model: &Model, batch: &TokenBatch, mode: Mode) -> Tensor<1> {
    let logits = model.classify(batch, mode).expect("the model was loaded with a head");
    let labels: Vec<i32> = TEXTS.iter().map(|&(_, label)| label).collect();
    let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [TEXTS.len(), 1]), &Device::flex());
    // [batch, labels] -> [batch, 1] -> [1]
    activation::log_softmax(logits, 1).gather(1, labels).mean().neg()
}
