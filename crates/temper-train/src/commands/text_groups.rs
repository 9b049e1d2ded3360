//! Texts in groups: enough texts to fill batches, never all of them. An input of any length is answered as it arrives,
//! and memory does not grow.

use temper_data::{
    DataError, EncodeSettings, Encoded, EncodedSet, TextInput, TextTokenizer, UnlabelledText, encode_all,
};

use super::texts::{InputLine, Next, TextReader};
use crate::TrainError;

/// Texts that are encoded at once, in parallel.
const CHUNK: usize = 64;
/// Batches of a group of a file, which can be large because no user waits for each answer: in a larger group, texts
/// of similar lengths can share a batch.
const BATCHES: usize = 8;

/// Encoded texts, in the order of the input.
pub(super) struct TextGroup {
    pub(super) texts: Vec<UnlabelledText>,
    /// For each blank line, how many of the texts come before it.
    pub(super) blank: Vec<usize>,
    pub(super) encoded: EncodedSet,
}

/// Texts and blank lines as they were read.
#[derive(Default)]
struct Chunk {
    texts: Vec<UnlabelledText>,
    blank: Vec<usize>,
}

impl Chunk {
    fn len(&self) -> usize {
        self.texts.len() + self.blank.len()
    }
}

/// Makes groups of texts. Texts before an error are answered before the error is returned.
pub(super) struct TextGroups<'a> {
    texts: TextReader,
    tokenizer: &'a TextTokenizer,
    settings: EncodeSettings,
    /// The prompt before each text.
    prompt: String,
    /// Minimum number of tokens of a group, unless the input pauses or ends.
    tokens: usize,
    end: Option<Result<(), TrainError>>,
    seen: usize,
    cut: usize,
}

impl<'a> TextGroups<'a> {
    /// Groups for batches of so many tokens.
    pub(super) fn new(
        texts: TextReader,
        tokenizer: &'a TextTokenizer,
        settings: EncodeSettings,
        tokens_per_batch: usize,
    ) -> Self {
        let batches = if texts.is_live() { 1 } else { BATCHES };
        let tokens = tokens_per_batch.saturating_mul(batches);
        let prompt = String::new();
        Self { texts, tokenizer, settings, prompt, tokens, end: None, seen: 0, cut: 0 }
    }

    /// The same with a prompt before each text.
    pub(super) fn with_prompt(self, prompt: &str) -> Self {
        Self { prompt: prompt.into(), ..self }
    }

    /// The message about texts that were too long.
    pub(super) fn notice(&self) -> Option<String> {
        let Self { seen, cut, settings, .. } = self;
        let EncodeSettings { max_length, truncation } = settings;
        (*cut > 0)
            .then(|| format!("{cut} of {seen} texts were cut to {max_length} tokens ({truncation} kept)"))
    }

    /// Some lines; and true if more may follow without a pause.
    fn chunk(&mut self, wait: bool) -> (Chunk, bool) {
        let mut chunk = Chunk::default();
        while chunk.len() < CHUNK {
            match self.texts.next(wait && chunk.len() == 0) {
                Ok(Next::Line(InputLine::Text(text))) => chunk.texts.push(text),
                Ok(Next::Line(InputLine::Blank)) => chunk.blank.push(chunk.texts.len()),
                Ok(Next::Pause) => return (chunk, false),
                Ok(Next::End) => {
                    self.end = Some(Ok(()));
                    return (chunk, false);
                }
                Err(error) => {
                    self.end = Some(Err(error));
                    return (chunk, false);
                }
            }
        }
        (chunk, true)
    }

    /// Encodes texts. If one cannot be encoded, it and all after it are dropped, and the error is kept.
    fn encode(&mut self, texts: &mut Vec<UnlabelledText>) -> Vec<Encoded> {
        match encode(texts, &self.prompt, self.tokenizer, &self.settings) {
            Ok(encoded) => encoded,
            Err(error) => {
                let rest = match &error {
                    DataError::Encode { example, .. } => *example,
                    _ => 0,
                };
                let row = texts.get(rest).map_or(0, |text| text.row.saturating_sub(1));
                texts.truncate(rest);
                let error = match error {
                    DataError::Encode { reason, .. } => DataError::Encode { example: row, reason },
                    other => other,
                };
                let encoded = encode(texts, &self.prompt, self.tokenizer, &self.settings);
                self.end = Some(Err(error.into()));
                encoded.unwrap_or_default()
            }
        }
    }
}

fn encode(
    texts: &[UnlabelledText],
    prompt: &str,
    tokenizer: &TextTokenizer,
    settings: &EncodeSettings,
) -> Result<Vec<Encoded>, DataError> {
    let prompted: Vec<String> = match prompt {
        "" => Vec::new(),
        _ => texts.iter().map(|text| format!("{prompt}{}", text.text)).collect(),
    };
    let mut inputs: Vec<TextInput<'_>> = texts.iter().map(UnlabelledText::input).collect();
    for (input, text) in inputs.iter_mut().zip(&prompted) {
        input.0 = text;
    }
    Ok(encode_all(tokenizer, &inputs, settings, None)?.items)
}

impl Iterator for TextGroups<'_> {
    type Item = Result<TextGroup, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut texts, mut blank, mut items) = (Vec::new(), Vec::new(), Vec::new());
        // A blank line counts as a token, so that a group ends among blank lines, too.
        let mut tokens = 0;
        while self.end.is_none() && tokens < self.tokens {
            let is_first = texts.is_empty() && blank.is_empty();
            let (Chunk { texts: mut chunk, blank: blank_lines }, goes_on) = self.chunk(is_first);
            let encoded = self.encode(&mut chunk);
            // No text after one that cannot be encoded is answered.
            let answered = blank_lines.into_iter().filter(|before| *before <= chunk.len());
            let answered: Vec<usize> = answered.map(|before| texts.len() + before).collect();
            tokens += encoded.iter().map(|item| item.ids.len()).sum::<usize>() + answered.len();
            blank.extend(answered);
            texts.append(&mut chunk);
            items.extend(encoded);
            if !goes_on {
                break;
            }
        }
        if texts.is_empty() && blank.is_empty() {
            // The error is returned once, after all texts before it.
            return self.end.replace(Ok(())).and_then(Result::err).map(Err);
        }
        let encoded = EncodedSet::new(items, false);
        self.seen += texts.len();
        self.cut += encoded.truncated_examples;
        Some(Ok(TextGroup { texts, blank, encoded }))
    }
}
