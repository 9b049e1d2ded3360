//! Timed generation of text.

use std::hint::black_box;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use temper_models::{GenerateSettings, Hooks, Loaded, generate};

use crate::Task;
use crate::batches::load_for_use;
use crate::job::Job;

/// Greedy tokens after a prompt.
pub struct Generate {
    loaded: Loaded,
    prompt: Vec<u32>,
    settings: GenerateSettings,
}

impl Generate {
    pub fn new(job: Job) -> Result<Self> {
        let device = job.device()?;
        let loaded = load_for_use(&job, &device)?;
        let settings = GenerateSettings {
            do_sample: false,
            min_new_tokens: Some(job.new_tokens),
            max_new_tokens: Some(job.new_tokens),
            ..GenerateSettings::of_model(&job.model, &loaded.config)?
        };
        let prompt = job.rows.into_iter().next().context("the job has no prompt")?;
        Ok(Self { loaded, prompt, settings })
    }

    fn tokens(&self) -> Result<Vec<Vec<u32>>> {
        let prompts = [self.prompt.clone()];
        let Loaded { model, config, .. } = &self.loaded;
        Ok(generate(model, config, &prompts, &self.settings, Hooks::default())?)
    }
}

impl Task for Generate {
    fn check(&self) -> Result<Value> {
        Ok(json!({ "rows": self.tokens()? }))
    }

    fn run(self) -> Result<Self> {
        black_box(self.tokens()?);
        Ok(self)
    }
}
