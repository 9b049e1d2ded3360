//! A program with a model family of its own: every command of `temper` knows it.
//!
//!     new_family write model                  # a random checkpoint, as a pretraining would leave one
//!     new_family finetune ./model reviews.csv
//!     new_family models my-family
//!
//! The family's layers are made of Temper's; `new_backbone.rs` has a module of its own instead.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use burn::tensor::Device;
use serde::Deserialize;
use serde_json::json;
use temper_models::families::decoder::{Decoder, DecoderConfig};
use temper_models::heads::ClassifierConfig;
use temper_models::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace, Rotary};
use temper_models::weights::{Row, WeightMap, copy, linear, norm};
use temper_models::{
    Activation, Bounds, Family, FamilyFacts, HeadFacts, HeadKind, Model, ModelConfig, ModelError, Parts,
    RegisteredFamily, register_families,
};
use temper_train::allocator::{Allocator, keep_freed_memory};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What this program knows besides Temper's families.
const FAMILIES: &[RegisteredFamily] = &[RegisteredFamily::of::<MyConfig>("my-family")];

fn main() -> ExitCode {
    keep_freed_memory();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_none_or(|command| command != "write") {
        return temper_train::cli::run(std::env::args_os(), FAMILIES);
    }
    match write_checkpoint(&arguments[2..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The family's config.json.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct MyConfig {
    vocab_size: usize,
    max_length: usize,
    width: usize,
    depth: usize,
    heads: usize,
    dropout: f64,
}

impl Default for MyConfig {
    fn default() -> Self {
        Self { vocab_size: 30, max_length: 128, width: 32, depth: 2, heads: 4, dropout: 0.1 }
    }
}

impl MyConfig {
    /// A layer that looks in both directions, by rotary positions; its norms come first.
    fn block(&self) -> BlockConfig {
        let attention = AttentionConfig::new(self.width, self.heads, self.dropout);
        BlockConfig {
            attention: AttentionConfig { bias: false, output_bias: false, ..attention.rotated(0) },
            cross_attention: None,
            ffn: FeedForwardConfig {
                gated: true,
                bias: false,
                ..FeedForwardConfig::new(self.width, 2 * self.width, Activation::Silu)
            },
            norm: NormConfig::rms(self.width, 1e-6),
            norm_place: NormPlace::Before,
            dropout: self.dropout,
        }
    }
}

impl Family for MyConfig {
    type Backbone = Decoder;

    fn validate(&self) -> Result<(), ModelError> {
        // Rotary positions turn pairs of a head's numbers.
        if self.heads > 0 && self.width.is_multiple_of(2 * self.heads) {
            return Ok(());
        }
        let reason = format!("width = {} is not divisible by 2 * heads = {}", self.width, 2 * self.heads);
        Err(ModelError::Config { reason })
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = (0..self.depth).map(|_| self.block());
        let config = DecoderConfig {
            rotary: vec![Rotary::new(self.width / self.heads, 10_000.0)],
            final_norm: Some(self.block().norm),
            ..DecoderConfig::new(self.vocab_size, self.width, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let classifier = HeadKind::SequenceClassification(ClassifierConfig::first_token(self.dropout));
        FamilyFacts {
            weights: WeightMap { prefix: "my_model.", groups: 1, rows: ROWS },
            heads: vec![HeadFacts::new("MyModelForSequenceClassification", classifier, CLASSIFIER)],
            foreign: &[],
            initializer_range: 0.02,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_length },
        }
    }
}

/// Names in the checkpoint, and Temper's paths.
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

/// Writes a checkpoint with random weights and BERT's kind of vocabulary.
fn write_checkpoint(arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("a folder is needed: new_family write FOLDER") };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a the film is good dull times plot . ,";
    std::fs::write(folder.join("vocab.txt"), words.replace(' ', "\n"))?;
    let raw = json!({"model_type": "my-family", "tokenizer_class": "BertTokenizer"});
    register_families(FAMILIES)?;
    let config = ModelConfig::parse(&raw.to_string())?;
    Model::random(&config, 7, &Device::flex())?.save(&config, folder)?;
    println!("wrote a random checkpoint to {}", folder.display());
    Ok(())
}
