//! `temper generate`.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use temper_data::{
    ChatMessage, ChatTemplate, EncodeSettings, TextStream, TextTokenizer, Truncation, encode_all,
    read_unlabelled,
};
use temper_models::generate::generating_head;
use temper_models::{
    EarlyStopping, GenerateSettings, HeadKind, HeadRequest, Hooks, Loaded, Model, ModelConfig, StopRule,
    generate as run,
};

use super::compute_on;
use crate::device::backend::Backend;
use crate::terminal::{print, print_line, say};
use crate::{LocalModel, PrecisionSetting, SourceOptions, TrainError};

/// Generate text with a language model
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// Name (gpt2), Hub id (org/name), folder or run of a model
    pub model: String,
    /// A text to continue, or for an encoder-decoder model to answer; may be given several times. Without
    /// it and --prompts-file, lines are read from stdin
    #[arg(long, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// A .txt (one prompt per line), .csv, .tsv, .jsonl or .parquet file
    #[arg(long, conflicts_with = "prompt", value_name = "FILE")]
    pub prompts_file: Option<PathBuf>,
    /// Column of the prompt in the file
    #[arg(long)]
    pub text_column: Option<String>,
    /// Treat each prompt as a user's message: apply the chat template of the model's tokenizer and print only the answer
    #[arg(long)]
    pub chat: bool,
    /// System message of the chat
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub system: Option<String>,
    /// How text is generated
    #[command(flatten)]
    pub settings: GenerateFlags,
    /// Stop at this special token, or where this text appears; may be given several times
    #[arg(long, value_name = "TOKEN_OR_TEXT")]
    pub stop: Vec<String>,
    /// Prompts per batch
    #[arg(long, default_value_t = 16)]
    pub batch_size: usize,
    /// Print one JSON object per prompt: prompt, text, tokens, finish (stop or length)
    #[arg(long)]
    pub json: bool,
    /// Print tokens as they are generated; the default for a single prompt on a terminal
    #[arg(long, conflicts_with = "json")]
    pub stream: bool,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs), bf16 or int8 (CPUs); auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// Settings with Hugging Face's names. What is not given is as the model's generation_config.json says,
/// else as in transformers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GenerateFlags {
    /// Maximum number of new tokens (20 unless the model says otherwise)
    #[arg(long)]
    pub max_new_tokens: Option<usize>,
    /// Minimum number of new tokens
    #[arg(long)]
    pub min_new_tokens: Option<usize>,
    /// Sample tokens instead of taking the most probable one (true or false)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub do_sample: Option<bool>,
    /// Temperature of sampling: above 1 flattens the distribution, below 1 sharpens it
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Sample among this many of the most probable tokens; 0 for all
    #[arg(long)]
    pub top_k: Option<usize>,
    /// Sample among the most probable tokens that together have this probability
    #[arg(long)]
    pub top_p: Option<f64>,
    /// Seed of sampling
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Above 1, tokens that already appear become less probable
    #[arg(long)]
    pub repetition_penalty: Option<f64>,
    /// No sequence of this many tokens appears twice; 0 for no limit
    #[arg(long)]
    pub no_repeat_ngram_size: Option<usize>,
    /// Number of beams; 1 is no beam search
    #[arg(long)]
    pub num_beams: Option<usize>,
    /// Exponent of the length by which beam scores are divided: above 0 favours longer texts, below 0 shorter ones
    #[arg(long)]
    pub length_penalty: Option<f64>,
    /// When beam search stops, as in transformers: true (once num_beams texts are finished), false or never
    #[arg(long, value_parser = early_stopping, value_name = "WHEN")]
    pub early_stopping: Option<EarlyStopping>,
}

fn early_stopping(word: &str) -> Result<EarlyStopping, String> {
    match word {
        "true" => Ok(EarlyStopping::Always),
        "false" => Ok(EarlyStopping::WhenUnlikely),
        "never" => Ok(EarlyStopping::Never),
        _ => Err("one of true, false, never".into()),
    }
}

impl GenerateFlags {
    /// The settings with what the flags say.
    fn over(&self, mut settings: GenerateSettings) -> Result<GenerateSettings, TrainError> {
        fn replace<T: Clone>(setting: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                *setting = value.clone();
            }
        }
        settings.max_new_tokens = self.max_new_tokens.or(settings.max_new_tokens);
        settings.min_new_tokens = self.min_new_tokens.or(settings.min_new_tokens);
        replace(&mut settings.do_sample, &self.do_sample);
        replace(&mut settings.temperature, &self.temperature);
        replace(&mut settings.top_k, &self.top_k);
        replace(&mut settings.top_p, &self.top_p);
        replace(&mut settings.repetition_penalty, &self.repetition_penalty);
        replace(&mut settings.no_repeat_ngram_size, &self.no_repeat_ngram_size);
        replace(&mut settings.num_beams, &self.num_beams);
        replace(&mut settings.length_penalty, &self.length_penalty);
        replace(&mut settings.early_stopping, &self.early_stopping);
        settings.seed = self.seed;
        let idle = [
            ("--temperature", !settings.do_sample && self.temperature.is_some()),
            ("--top-k", !settings.do_sample && self.top_k.is_some()),
            ("--top-p", !settings.do_sample && self.top_p.is_some()),
            ("--length-penalty", settings.num_beams == 1 && self.length_penalty.is_some()),
            ("--early-stopping", settings.num_beams == 1 && self.early_stopping.is_some()),
        ];
        match idle.into_iter().find(|(_, is_idle)| *is_idle) {
            Some((flag @ ("--length-penalty" | "--early-stopping"), _)) => {
                Err(TrainError::Usage(format!("{flag} changes nothing without --num-beams")))
            }
            Some((flag, _)) => Err(TrainError::Usage(format!("{flag} changes nothing without --do-sample"))),
            None => Ok(settings),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn generate(args: &GenerateArgs) -> Result<(), TrainError> {
    let (device, precision) = compute_on(args.backend, args.precision)?;
    let local = LocalModel::find(&args.sources.hub(true), &args.model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let config = ModelConfig::read(&local.dir)?;
    // Said before weights are read.
    let continues = !matches!(generating_head(&config)?.kind, HeadKind::Seq2SeqLm(_));
    let tokenizer = local.tokenizer(config.bounds().vocab_size)?;
    let mut settings = args.settings.over(GenerateSettings::of_model(&local.dir, &config)?)?;
    settings.batch_size = args.batch_size;
    let stop_texts = stop(&args.stop, &mut settings, &tokenizer);
    if args.stream && settings.num_beams > 1 {
        return Err(TrainError::Usage(
            "--stream cannot be used with beam search, whose text is known only at the end".into(),
        ));
    }
    settings.validate()?;
    let prompts = prompts(args)?;
    let chat = args.chat.then(|| Chat::of(&args.model, &tokenizer, args.system.clone())).transpose()?;
    let loaded = Model::load_with(config, &local.dir, &HeadRequest::FromConfig, &device)?;
    let loaded = Loaded { model: loaded.model.with_precision(precision).packed(), ..loaded };
    let writer = Writer { loaded, tokenizer, settings, stop_texts, chat, continues };
    let alone = prompts.len() == 1 && std::io::stdout().is_terminal();
    if args.stream || (alone && !args.json && writer.settings.num_beams == 1) {
        return writer.stream(&prompts);
    }
    writer.print(&prompts, args.json)
}

/// Special tokens end a text as the model's own do; the others are texts to look for.
fn stop(asked: &[String], settings: &mut GenerateSettings, tokenizer: &TextTokenizer) -> Vec<String> {
    let mut texts = Vec::new();
    for stop in asked {
        match tokenizer.added_token_id(stop) {
            Some(id) if settings.eos_token_id.contains(&id) => {}
            Some(id) => settings.eos_token_id.push(id),
            None => texts.push(stop.clone()),
        }
    }
    texts
}

fn prompts(args: &GenerateArgs) -> Result<Vec<String>, TrainError> {
    if let Some(file) = &args.prompts_file {
        let texts = read_unlabelled(file, args.text_column.as_deref(), None)?;
        return Ok(texts.into_iter().map(|text| text.text).collect());
    }
    if !args.prompt.is_empty() {
        return Ok(args.prompt.clone());
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        say("reading prompts from the terminal, one on each line; end with Ctrl-D");
    }
    let lines = stdin.lock().lines().collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|error| TrainError::content("stdin", error))?;
    Ok(lines.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

/// How a prompt becomes a chat.
struct Chat {
    template: ChatTemplate,
    system: Option<String>,
}

impl Chat {
    fn of(model: &str, tokenizer: &TextTokenizer, system: Option<String>) -> Result<Self, TrainError> {
        let template = tokenizer.chat_template()?.ok_or_else(|| {
            TrainError::Usage(format!(
                "the tokenizer of {model} has no chat_template: leave --chat out, or take a model that was trained to \
                 answer, such as smollm2"
            ))
        })?;
        Ok(Self { template, system })
    }

    /// What a user says, up to where the answer begins.
    fn text(&self, prompt: &str) -> Result<String, TrainError> {
        let message = |role: &str, content: &str| ChatMessage { role: role.into(), content: content.into() };
        let system = self.system.as_ref().map(|system| message("system", system));
        let messages: Vec<ChatMessage> = system.into_iter().chain([message("user", prompt)]).collect();
        self.template.render(&messages, true).map_err(TrainError::Usage)
    }
}

/// A model that writes, with all that it takes.
struct Writer {
    loaded: Loaded,
    tokenizer: TextTokenizer,
    settings: GenerateSettings,
    stop_texts: Vec<String>,
    chat: Option<Chat>,
    /// True if the text continues the prompt; false if it is a new one.
    continues: bool,
}

impl Writer {
    fn ids(&self, prompts: &[String]) -> Result<Vec<Vec<u32>>, TrainError> {
        if let Some(chat) = &self.chat {
            let ids = |prompt: &String| Ok(self.tokenizer.ids_without_layout(&chat.text(prompt)?)?);
            return prompts.iter().map(ids).collect();
        }
        let texts: Vec<_> = prompts.iter().map(|text| (text.as_str(), None)).collect();
        // Nothing is cut: a prompt that is too long is refused.
        let settings = EncodeSettings { max_length: usize::MAX, truncation: Truncation::Head };
        let encoded = encode_all(&self.tokenizer, &texts, &settings, None)?;
        Ok(encoded.items.into_iter().map(|item| item.ids).collect())
    }

    /// What is before the new tokens.
    fn context<'a>(&self, prompt: &'a [u32]) -> &'a [u32] {
        if self.continues { prompt } else { &[] }
    }

    fn run(
        &self,
        ids: &[Vec<u32>],
        settings: &GenerateSettings,
        mut on_token: impl FnMut(usize, u32),
    ) -> Result<Vec<Vec<u32>>, TrainError> {
        let ends = |new: &[u32]| self.has_stop_text(new);
        let stop: Option<StopRule<'_>> = if self.stop_texts.is_empty() { None } else { Some(&ends) };
        let hooks = Hooks { on_token: Some(&mut on_token), stop };
        Ok(run(&self.loaded.model, &self.loaded.config, ids, settings, hooks)?)
    }

    fn has_stop_text(&self, new: &[u32]) -> bool {
        let Ok(text) = self.tokenizer.decode(new) else { return false };
        self.stop_texts.iter().any(|stop| text.contains(stop))
    }

    /// All texts, once they are complete.
    fn print(&self, prompts: &[String], json: bool) -> Result<(), TrainError> {
        let ids = self.ids(prompts)?;
        let texts = self.run(&ids, &self.settings, |_, _| {})?;
        for (index, ((prompt, ids), new)) in prompts.iter().zip(&ids).zip(texts).enumerate() {
            let text = self.tokenizer.decode_following(self.context(ids), &new)?;
            if json {
                let stops = new.last().is_some_and(|last| self.settings.eos_token_id.contains(last));
                let finish = if stops || self.has_stop_text(&new) { "stop" } else { "length" };
                let row = serde_json::json!({
                    "prompt": prompt, "text": text, "tokens": new, "finish": finish,
                });
                print_line(&row.to_string())?;
                continue;
            }
            let gap = if index > 0 { "\n" } else { "" };
            print_line(&format!("{gap}{}{text}", self.shown_prompt(prompt)))?;
        }
        Ok(())
    }

    /// One prompt after the other, token for token.
    fn stream(&self, prompts: &[String]) -> Result<(), TrainError> {
        let ids = self.ids(prompts)?;
        let settings = GenerateSettings { batch_size: 1, ..self.settings.clone() };
        let mut current: Option<(usize, TextStream<'_>)> = None;
        let mut result = Ok(());
        let show = |prompt: usize, token: u32| {
            let mut step = || {
                if current.as_ref().is_none_or(|(shown, _)| *shown != prompt) {
                    end(current.take())?;
                    let gap = if prompt > 0 { "\n" } else { "" };
                    print(&format!("{gap}{}", self.shown_prompt(&prompts[prompt])))?;
                    current = Some((prompt, self.tokenizer.stream(self.context(&ids[prompt]))));
                }
                let Some((_, stream)) = &mut current else { return Ok(()) };
                print(&stream.push(token)?)
            };
            if result.is_ok() {
                result = step();
            }
        };
        let ran = self.run(&ids, &settings, show);
        result?;
        end(current)?;
        ran.map(drop)
    }

    fn shown_prompt<'a>(&self, prompt: &'a str) -> &'a str {
        if self.continues && self.chat.is_none() { prompt } else { "" }
    }
}

/// The rest of a streamed text.
fn end(stream: Option<(usize, TextStream<'_>)>) -> Result<(), TrainError> {
    let Some((_, stream)) = stream else { return Ok(()) };
    print_line(&stream.finish()?)
}
