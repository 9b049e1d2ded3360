//! Timed prediction from texts to labels, and tokenisation.

use std::hint::black_box;

use anyhow::Result;
use burn::tensor::Device;
use serde_json::{Value, json};
use temper_data::{
    EncodeSettings, EncodedSet, TextInput, TextTokenizer, Truncation, encode_all, load_tokenizer,
    plan_evaluation,
};
use temper_models::Model;

use crate::Task;
use crate::batches::{label, load_for_use, logits_answer, pack, predict};
use crate::job::Job;

/// What `temper predict` computes at once unless told otherwise.
const TOKENS_PER_BATCH: usize = 4096;

/// Texts to ids.
pub struct Tokenize {
    tokenizer: TextTokenizer,
    texts: Vec<String>,
    settings: EncodeSettings,
}

impl Tokenize {
    pub fn new(job: Job) -> Result<Self> {
        Ok(Self {
            tokenizer: load_tokenizer(&job.model)?,
            texts: job.texts,
            settings: EncodeSettings { max_length: job.max_length, truncation: Truncation::Head },
        })
    }

    fn encode(&self) -> Result<EncodedSet> {
        let texts: Vec<TextInput<'_>> = self.texts.iter().map(|text| (text.as_str(), None)).collect();
        // Without the cache on disk: it would hide the work.
        Ok(encode_all(&self.tokenizer, &texts, &self.settings, None)?)
    }
}

impl Task for Tokenize {
    fn check(&self) -> Result<Value> {
        let rows: Vec<Vec<u32>> = self.encode()?.items.into_iter().map(|item| item.ids).collect();
        Ok(json!({ "rows": rows }))
    }

    fn run(self) -> Result<Self> {
        black_box(self.encode()?);
        Ok(self)
    }
}

/// Texts to labels.
pub struct Predict {
    tokenize: Tokenize,
    model: Model,
    device: Device,
}

impl Predict {
    pub fn new(job: Job) -> Result<Self> {
        let device = job.device()?;
        Ok(Self { model: load_for_use(&job, &device)?.model, tokenize: Tokenize::new(job)?, device })
    }

    fn logits(&self) -> Result<Vec<Vec<f32>>> {
        let encoded = self.tokenize.encode()?;
        let mut logits = vec![Vec::new(); encoded.items.len()];
        for texts in plan_evaluation(&encoded.lengths(), TOKENS_PER_BATCH) {
            let batch = pack(texts.iter().map(|&text| &encoded.items[text].ids), &self.device);
            for (text, row) in texts.into_iter().zip(predict(&self.model, &batch)?) {
                logits[text] = row;
            }
        }
        Ok(logits)
    }
}

impl Task for Predict {
    fn check(&self) -> Result<Value> {
        Ok(logits_answer(&self.logits()?))
    }

    fn run(self) -> Result<Self> {
        for logits in self.logits()? {
            black_box(label(&logits));
        }
        Ok(self)
    }
}
