//! Text generation: greedy, drawn, or searched with beams, with transformers' settings and results.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use temper_models::{GenerateSettings, HeadRequest, Hooks, Model, generate};
//!
//! # fn main() -> Result<(), temper_models::ModelError> {
//! let dir = "path/to/model".as_ref();
//! let loaded = Model::load(dir, &HeadRequest::FromConfig, &Device::flex())?;
//! let settings = GenerateSettings { max_new_tokens: Some(40), ..GenerateSettings::of_model(dir, &loaded.config)? };
//! let new = generate(&loaded.model, &loaded.config, &[vec![1, 403]], &settings, Hooks::default())?;
//! println!("{:?}", new[0]);
//! # Ok(())
//! # }
//! ```

mod beam;
pub mod processors;
mod reader;
pub mod sampling;
mod settings;

pub use settings::{EarlyStopping, GenerateSettings, Limits};

use std::collections::HashMap;

use burn::module::Module;

use crate::{BackboneModule, Head, HeadFacts, HeadKind, Model, ModelConfig, ModelError};
use processors::{Progress, process};
use reader::Reader;
use sampling::{Sampler, best};
use settings::wrong;

/// Whether a text ends here, by its new tokens.
pub type StopRule<'a> = &'a dyn Fn(&[u32]) -> bool;

/// What a caller does while text is generated.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Is shown the place of a prompt and a new token of it, as soon as it is certain: with beams, when the
    /// prompt's search is over.
    pub on_token: Option<&'a mut dyn FnMut(usize, u32)>,
    /// Whether a text ends here, by its new tokens.
    pub stop: Option<StopRule<'a>>,
}

/// A prompt, ready for the decoder.
#[derive(Clone, Debug)]
struct Start {
    /// Its place among the prompts.
    prompt: usize,
    /// What the decoder reads first.
    ids: Vec<u32>,
    limits: Limits,
    /// The prompt itself, and how often the same came before: what the draws depend on.
    stream: (Vec<u32>, u64),
}

impl Start {
    fn sampler(&self, settings: &GenerateSettings) -> Sampler {
        Sampler::new(settings.seed, &self.stream.0, self.stream.1)
    }

    fn new_tokens<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        &ids[self.ids.len()..]
    }

    fn show(&self, new: &[u32], hooks: &mut Hooks<'_>) {
        if let Some(on_token) = &mut hooks.on_token {
            new.iter().for_each(|&token| on_token(self.prompt, token));
        }
    }
}

/// The head of a model that writes text.
///
/// # Errors
/// [`ModelError::NoGenerator`] for one that does not.
pub fn generating_head<B>(config: &ModelConfig<B>) -> Result<HeadFacts, ModelError> {
    let writes = |head: &HeadFacts| matches!(head.kind, HeadKind::CausalLm(_) | HeadKind::Seq2SeqLm(_));
    config.head().filter(writes).ok_or_else(|| {
        let known = config.facts().heads.iter().filter(|head| writes(head)).map(|head| head.architecture);
        let known = known.collect::<Vec<_>>().join(", ");
        ModelError::NoGenerator {
            architecture: config.architecture().unwrap_or(config.model_type()).into(),
            known: if known.is_empty() { "none".into() } else { known },
        }
    })
}

/// Continues prompts, or, with an encoder-decoder model, writes a text for each. Gives the new tokens of
/// each, a stop token included.
///
/// Prompts that are continued at once get the text that each would get alone.
///
/// # Errors
/// [`ModelError::NoGenerator`] for a model without a language-model head; [`ModelError::Setting`] for
/// settings that contradict each other or the model; [`ModelError::EmptyPrompt`],
/// [`ModelError::UnknownToken`], [`ModelError::PromptTooLong`] for a prompt; [`ModelError::NotFinite`]
/// when a model's scores are not numbers; [`ModelError::NoNextToken`] when settings rule out every token.
pub fn generate<B: BackboneModule>(
    model: &Model<B>,
    config: &ModelConfig<B>,
    prompts: &[Vec<u32>],
    settings: &GenerateSettings,
    mut hooks: Hooks<'_>,
) -> Result<Vec<Vec<u32>>, ModelError> {
    settings.validate()?;
    let has_encoder = matches!(generating_head(config)?.kind, HeadKind::Seq2SeqLm(_));
    let model = model.valid();
    let Some(Head::LanguageModel(head)) = &model.head else {
        return Err(ModelError::NoGenerator {
            architecture: "a model that was loaded without its head".into(),
            known: generating_head(config)?.architecture.into(),
        });
    };
    let starts = starts(config, prompts, settings, has_encoder)?;
    let mut texts = Vec::with_capacity(prompts.len());
    for (starts, prompts) in starts.chunks(settings.batch_size).zip(prompts.chunks(settings.batch_size)) {
        let source = has_encoder.then(|| prompts.to_vec());
        let mut reader = Reader::new(&model.backbone, head, starts.len(), source, settings.use_cache);
        let starts = starts.to_vec();
        texts.extend(match settings.num_beams {
            1 => token_by_token(&mut reader, starts, settings, &mut hooks)?,
            _ => beam::search(&mut reader, starts, settings, &mut hooks)?,
        });
    }
    Ok(texts)
}

/// Checks prompts, and says where each begins and how long it may get.
fn starts<B>(
    config: &ModelConfig<B>,
    prompts: &[Vec<u32>],
    settings: &GenerateSettings,
    has_encoder: bool,
) -> Result<Vec<Start>, ModelError> {
    let bounds = config.bounds();
    let start_token = start_token(settings, has_encoder)?;
    check_forced(settings, bounds.vocab_size)?;
    let mut seen: HashMap<Vec<u32>, u64> = HashMap::new();
    let start = |(index, ids): (usize, &Vec<u32>)| {
        let prompt = index + 1;
        let vocab_size = bounds.vocab_size;
        if ids.is_empty() {
            return Err(ModelError::EmptyPrompt { prompt });
        }
        if let Some(&id) = ids.iter().chain(&start_token).find(|&&id| id as usize >= vocab_size) {
            return Err(ModelError::UnknownToken { prompt, id, vocab_size });
        }
        let count = seen.entry(ids.clone()).or_default();
        let stream = (ids.clone(), *count);
        *count += 1;
        let tokens = ids.len();
        let ids = start_token.map_or_else(|| ids.clone(), |token| vec![token]);
        let limits = settings.limits(ids.len(), bounds.max_positions)?;
        // The last token is never read.
        let read = ids.len().saturating_add(limits.max_new - 1);
        if tokens.max(read) > bounds.max_positions {
            let (new, max_positions) = (limits.max_new, bounds.max_positions);
            return Err(ModelError::PromptTooLong { prompt, tokens, new, max_positions });
        }
        Ok(Start { prompt: index, ids, limits, stream })
    };
    prompts.iter().enumerate().map(start).collect()
}

/// What the decoder that has an encoder begins with.
fn start_token(settings: &GenerateSettings, has_encoder: bool) -> Result<Option<u32>, ModelError> {
    if !has_encoder {
        return Ok(None);
    }
    match settings.decoder_start_token_id.or(settings.bos_token_id) {
        Some(id) => Ok(Some(id)),
        None => wrong("decoder_start_token_id", "null", "the decoder needs a token to begin with"),
    }
}

fn check_forced(settings: &GenerateSettings, vocab_size: usize) -> Result<(), ModelError> {
    let beyond = |id: &u32| *id as usize >= vocab_size;
    let reason = format!("the model has {vocab_size} tokens");
    if let Some(id) = settings.forced_bos_token_id.filter(beyond) {
        return wrong("forced_bos_token_id", id, &reason);
    }
    match settings.forced_eos_token_id.iter().copied().find(beyond) {
        Some(id) => wrong("forced_eos_token_id", id, &reason),
        None => Ok(()),
    }
}

/// Scores of a model must be numbers; minus infinity rules a token out.
fn check_scores(scores: &[f32], prompt: usize) -> Result<(), ModelError> {
    match scores.iter().any(|score| score.is_nan() || *score == f32::INFINITY) {
        true => Err(ModelError::NotFinite { prompt: prompt + 1 }),
        false => Ok(()),
    }
}

/// A text that grows.
struct Text {
    start: Start,
    ids: Vec<u32>,
    sampler: Sampler,
}

/// Greedy search and sampling.
fn token_by_token<B: BackboneModule>(
    reader: &mut Reader<'_, B>,
    starts: Vec<Start>,
    settings: &GenerateSettings,
    hooks: &mut Hooks<'_>,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let text = |start: Start| Text { ids: start.ids.clone(), sampler: start.sampler(settings), start };
    let mut texts: Vec<Text> = starts.into_iter().map(text).collect();
    let mut active: Vec<usize> = (0..texts.len()).collect();
    while !active.is_empty() {
        let ids: Vec<&[u32]> = active.iter().map(|&each| texts[each].ids.as_slice()).collect();
        let scores = reader.read(&ids);
        let mut kept = Vec::new();
        for (place, &each) in active.iter().enumerate() {
            let text = &mut texts[each];
            let token = text.next(scores.of(place), settings)?;
            text.ids.push(token);
            text.start.show(&[token], hooks);
            let new = text.start.new_tokens(&text.ids);
            let ends = new.len() >= text.start.limits.max_new
                || settings.eos_token_id.contains(&token)
                || hooks.stop.is_some_and(|stop| stop(new));
            if !ends {
                kept.push(place);
            }
        }
        reader.keep(&kept);
        active = kept.into_iter().map(|place| active[place]).collect();
    }
    Ok(texts.into_iter().map(|text| text.start.new_tokens(&text.ids).to_vec()).collect())
}

impl Text {
    /// The next token: the best, or drawn.
    fn next(&mut self, scores: &[f32], settings: &GenerateSettings) -> Result<u32, ModelError> {
        check_scores(scores, self.start.prompt)?;
        let mut scores = scores.to_vec();
        let new = self.ids.len() - self.start.ids.len();
        process(&mut scores, settings, Progress { ids: &self.ids, new, limits: self.start.limits });
        if scores.iter().all(|score| *score == f32::NEG_INFINITY) {
            let reason = "the settings rule out every token";
            return Err(ModelError::NoNextToken { prompt: self.start.prompt + 1, reason });
        }
        let place = if settings.do_sample { self.sampler.draw(&scores) } else { best(&scores, 1)[0] };
        Ok(place as u32)
    }
}
