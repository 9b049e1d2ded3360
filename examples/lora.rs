//! Trains low-rank adapters next to a frozen model, writes them in PEFT's layout, and merges them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use temper_data::{EncodeSettings, Truncation, collate, encode_all, load_tokenizer};
use temper_freeze::lora::{LoraSettings, PeftAdapter, PeftRequest, attach, load_peft, merge, save_peft};
use temper_freeze::{ClipFactor, FreezePlan, OptimizerSettings};
use temper_hub::{Hub, HubSettings};
use temper_models::{HeadRequest, HeadTask, Mode, Model, Pooling, TokenBatch, is_adapter};

const TEXTS: [(&str, i32); 4] = [
    ("A quiet triumph.", 1),
    ("Dull, and far too long.", 0),
    ("Funny from beginning to end.", 1),
    ("The plot makes no sense.", 0),
];
const STEPS: usize = 20;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "minilm".into());
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "adapter".into()));
    let files = Hub::new(HubSettings::from_environment()).model(&name)?;
    let dir = files.file("config.json").and_then(|file| file.path.parent()).context("no config.json")?;
    let head = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels: vec!["negative".into(), "positive".into()],
        pooling: Pooling::Pooler,
        seed: 42,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = Model::load(dir, &head, &Device::flex().autodiff())?;
    let base = loaded.model.clone();

    let settings = LoraSettings { r: 8, lora_alpha: 16.0, ..LoraSettings::default() };
    let model = attach(loaded.model, &settings, &loaded.new, 42)?;
    let plan = FreezePlan::new(&"lora".parse()?, &model.parameters(), &loaded.new)?;
    println!("{}", plan.summary());
    let batch = batch(dir)?;
    let model = train(plan.apply(model), &plan, &batch);

    // PEFT reads this folder, next to the base model that it names.
    let whole = plan.rows.iter().filter(|row| row.trains && !is_adapter(&row.path));
    let trained: Vec<String> = whole.map(|row| row.path.clone()).collect();
    std::fs::create_dir_all(&folder)?;
    let request = PeftRequest { settings: &settings, base_model: &files.id, trained: &trained };
    save_peft(&model, &loaded.config, &request, &folder)?;
    println!("adapter: {}", folder.display());

    let adapted = logits(&model, &batch);
    let read = load_peft(base, &loaded.config, &PeftAdapter::open(&folder)?)?.model;
    println!("read back: logits differ by at most {:.1e}", difference(&adapted, &logits(&read, &batch)));
    println!("merged: by at most {:.1e}", difference(&adapted, &logits(&merge(model), &batch)));
    Ok(())
}

fn batch(dir: &std::path::Path) -> Result<TokenBatch> {
    let settings = EncodeSettings { max_length: 64, truncation: Truncation::Head };
    let texts: Vec<_> = TEXTS.iter().map(|&(text, _)| (text, None)).collect();
    let encoded = encode_all(&load_tokenizer(dir)?, &texts, &settings, None)?;
    let batch = collate(&encoded, &[0, 1, 2, 3]);
    Ok(TokenBatch::new(&batch.ids, &batch.type_ids, &batch.lengths, &Device::flex()))
}

fn train(mut model: Model, plan: &FreezePlan, batch: &TokenBatch) -> Model {
    let mut optimizer = OptimizerSettings::default().init(plan, &ClipFactor::default());
    let labels = TEXTS.iter().map(|&(_, label)| label).collect::<Vec<_>>();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [TEXTS.len()]), &Device::flex());
    for step in 1..=STEPS {
        let logits =
            model.classify(batch, Mode::train(step as u64)).expect("the model was loaded with a head");
        // [texts, labels] -> [texts] -> [1]
        let loss = temper_kernels::cross_entropy(logits, labels.clone()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(5e-3, model, gradients);
        println!("step {step:>2}  loss {:.4}", loss.into_scalar::<f32>());
    }
    model
}

fn logits(model: &Model, batch: &TokenBatch) -> Vec<f32> {
    let logits = model.classify(batch, Mode::Evaluate).expect("the model was loaded with a head");
    logits.into_data().iter::<f32>().collect()
}

fn difference(first: &[f32], second: &[f32]) -> f32 {
    first.iter().zip(second).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}
