//! A family whose module is its own, too: an encoder with rotary positions, gates and RMS norms.
//!
//! Writes a random checkpoint of it, loads that with a new head and fine-tunes the upper half, with the crates alone.

use anyhow::{Result, ensure};
use burn::lr_scheduler::LrScheduler;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use serde::Deserialize;
use serde_json::json;
use temper_freeze::{
    ClipFactor, FreezePlan, GradientSquares, OptimizerSettings, RateSchedule, TrainingProof,
};
use temper_models::heads::ClassifierConfig;
use temper_models::layers::{
    AttentionConfig, Block, BlockConfig, Embedding, FeedForwardConfig, LinearWalk, Norm, NormConfig,
    NormPlace, Rotary, StackPass, StackRows, detach_if_frozen, is_frozen, run_frozen_without_autodiff,
    run_layers,
};
use temper_models::weights::{Row, WeightMap, copy, linear, norm};
use temper_models::{
    Activation, Backbone, Bounds, Family, FamilyFacts, HeadFacts, HeadKind, HeadRequest, HeadTask, Mode,
    Model, ModelConfig, ModelError, Parts, Pass, Pooling, TokenBatch,
};

/// The family's config.json.
#[derive(Clone, Debug, Deserialize)]
struct MyConfig {
    vocab_size: usize,
    max_length: usize,
    width: usize,
    depth: usize,
    heads: usize,
    dropout: f64,
}

impl MyConfig {
    fn block(&self) -> BlockConfig {
        let attention = AttentionConfig::new(self.width, self.heads, self.dropout);
        let ffn = FeedForwardConfig::new(self.width, 2 * self.width, Activation::Silu);
        BlockConfig {
            attention: AttentionConfig { bias: false, output_bias: false, ..attention.rotated(0) },
            cross_attention: None,
            ffn: FeedForwardConfig { gated: true, bias: false, ..ffn },
            norm: NormConfig::rms(self.width, 1e-6),
            norm_place: NormPlace::Before,
            dropout: self.dropout,
        }
    }
}

impl Family for MyConfig {
    type Backbone = MyModel;

    fn validate(&self) -> Result<(), ModelError> {
        // Rotary positions turn pairs of a head's numbers.
        if self.heads > 0 && self.width.is_multiple_of(2 * self.heads) {
            return Ok(());
        }
        let reason = format!("width = {} is not divisible by 2 * heads = {}", self.width, 2 * self.heads);
        Err(ModelError::Config { reason })
    }

    fn init(&self, _parts: Parts, device: &Device) -> MyModel {
        let block = self.block();
        MyModel {
            token_embedding: Embedding::new(self.vocab_size, self.width, device),
            layers: (0..self.depth).map(|_| Block::new(&block, device)).collect(),
            final_norm: block.norm.init(device),
            rotary: vec![Rotary::new(self.width / self.heads, 10_000.0)],
        }
    }

    fn facts(&self) -> FamilyFacts {
        let classifier = HeadKind::SequenceClassification(ClassifierConfig::first_token(self.dropout));
        FamilyFacts {
            weights: WeightMap { prefix: "my_model.", groups: 1, rows: ROWS },
            heads: vec![HeadFacts::new("MyModelForSequenceClassification", classifier, CLASSIFIER)],
            foreign: &[],
            initializer_range: 0.2,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_length },
        }
    }
}

/// The family without a task.
#[derive(Module, Debug)]
struct MyModel {
    token_embedding: Embedding,
    layers: Vec<Block>,
    final_norm: Norm,
    #[module(skip)]
    rotary: Vec<Rotary>,
}

impl Backbone for MyModel {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let Pass { rows, mode, cache, watch, until } = pass;
        let embed = || {
            let embedded = self.token_embedding.forward(&batch.ids);
            detach_if_frozen(embedded, is_frozen(&self.token_embedding))
        };
        let rows = &StackRows::of(batch, rows).rotated(&self.rotary, batch);
        let pass = StackPass { rows, encoded: None, cache, mode, watch, until };
        let hidden = run_layers(&self.layers, embed, batch, pass);
        run_frozen_without_autodiff(&self.final_norm, hidden, |norm, hidden| norm.forward(hidden))
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_embedding.weight.val()
    }

    // So that adapters can be put on its maps; all else works without.
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("layers", &mut self.layers);
    }

    fn hidden_size(&self) -> usize {
        self.final_norm.width()
    }

    fn layer_count(&self) -> usize {
        self.layers.len()
    }
}

/// Names in the checkpoint, and our paths.
const ROWS: &[Row] = &[
    copy("words.weight", "token_embedding.weight"),
    norm("blocks.{}.norm1", "layers.{}.attention_norm"),
    linear("blocks.{}.attn.q", "layers.{}.attention.query"),
    linear("blocks.{}.attn.k", "layers.{}.attention.key"),
    linear("blocks.{}.attn.v", "layers.{}.attention.value"),
    linear("blocks.{}.attn.o", "layers.{}.attention.output"),
    norm("blocks.{}.norm2", "layers.{}.ffn_norm"),
    linear("blocks.{}.mlp.gate", "layers.{}.ffn.gate"),
    linear("blocks.{}.mlp.up", "layers.{}.ffn.inner"),
    linear("blocks.{}.mlp.down", "layers.{}.ffn.outer"),
    norm("norm", "final_norm"),
];
const CLASSIFIER: &[Row] = &[linear("classifier", "head.output")];

const STEPS: usize = 60;
const TEXTS: usize = 32;

fn main() -> Result<()> {
    // What a pretraining would leave behind, but random.
    let raw = serde_json::from_value(json!({
        "model_type": "my-family", "vocab_size": 50, "max_length": 16, "width": 32, "depth": 2, "heads": 4,
        "dropout": 0.1,
    }))?;
    let config = ModelConfig::of_family::<MyConfig>(raw, |backbone| backbone)?;
    let dir = tempfile::tempdir()?;
    Model::random(&config, 7, &Device::flex())?.save(&config, dir.path())?;

    // Read as the family's, whatever its `model_type`: the registry does not know it.
    let device = Device::flex().autodiff();
    let config = ModelConfig::read_as::<MyConfig>(dir.path())?;
    let head = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels: vec!["without".into(), "with".into()],
        pooling: Pooling::Pooler,
        seed: 42,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = Model::load_with(config, dir.path(), &head, &device)?;
    println!("drawn anew: {}", loaded.new.join(", "));

    let plan = FreezePlan::new(&"last:1".parse()?, &loaded.model.parameters(), &loaded.new)?;
    println!("{plan}");
    let mut model = plan.apply(loaded.model);
    let clip = ClipFactor::default();
    let mut optimizer = OptimizerSettings::default().init(&plan, &clip);
    let mut rates = RateSchedule::linear(1e-2, 5, STEPS);
    let mut proof = TrainingProof::begin(&model);

    let (batch, labels) = texts(&device);
    let before = loss(&model, &batch, &labels, Mode::Evaluate).into_scalar::<f32>();
    for step in 1..=STEPS {
        let loss = loss(&model, &batch, &labels, Mode::train(step as u64));
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let squares = GradientSquares::of(&model, &gradients);
        clip.set(squares.clip_factor(1.0));
        let norms = squares.read();
        proof.observe(&norms);
        model = optimizer.step(rates.step(), model, gradients);
        if step % 10 == 0 {
            println!("step {step:>2}  loss {:.4}", loss.into_scalar::<f32>());
        }
    }
    let after = loss(&model, &batch, &labels, Mode::Evaluate).into_scalar::<f32>();
    println!("loss without dropout: {before:.4} before, {after:.4} after");
    ensure!(after < before / 2.0, "the loss did not fall");
    let violations = proof.violations(&model, &plan, STEPS);
    ensure!(violations.is_empty(), "the proof failed: {violations:?}");
    println!("proof: what should train did, and nothing else moved");

    // Saved and read again, it is the same model.
    model.save(&loaded.config, dir.path())?;
    let config = ModelConfig::read_as::<MyConfig>(dir.path())?;
    let again = Model::load_with(config, dir.path(), &HeadRequest::FromConfig, &device)?.model;
    ensure!(loss(&again, &batch, &labels, Mode::Evaluate).into_scalar::<f32>() == after, "saved otherwise");
    Ok(())
}

/// Texts of 4 to 9 made-up tokens; every second one has token 1 somewhere after its first.
fn texts(device: &Device) -> (TokenBatch, Tensor<2, Int>) {
    let (mut ids, mut lengths, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for text in 0..TEXTS {
        let length = 4 + text % 6;
        let mut tokens: Vec<u32> = (0..length).map(|place| (text * 11 + place * 7) as u32 % 48 + 2).collect();
        if text % 2 == 1 {
            tokens[1 + text % (length - 1)] = 1;
        }
        ids.extend(tokens);
        lengths.push(length as u32);
        labels.push(text as i32 % 2);
    }
    let batch = TokenBatch::new(&ids, &vec![0; ids.len()], &lengths, device);
    (batch, Tensor::from_data(TensorData::new(labels, [TEXTS, 1]), &Device::flex()))
}

fn loss(model: &Model<MyModel>, batch: &TokenBatch, labels: &Tensor<2, Int>, mode: Mode) -> Tensor<1> {
    let logits = model.classify(batch, mode).expect("the model was loaded with a head");
    // [texts, labels] -> [texts, 1] -> [1]
    activation::log_softmax(logits, 1).gather(1, labels.clone()).mean().neg()
}
