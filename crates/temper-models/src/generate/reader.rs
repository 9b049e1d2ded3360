//! Lets a model read tokens, with a cache or without.

use burn::tensor::Device;
use temper_kernels::{is_cpu, on_pool};

use crate::heads::LanguageModel;
use crate::layers::Cache;
use crate::{BackboneModule, Mode, Rows, TokenBatch};

/// The scores of the next token of some sequences.
pub(super) struct Scores {
    /// `[sequences, vocab]`, row-major.
    values: Vec<f32>,
    vocab: usize,
}

impl Scores {
    /// Those of one sequence, `[vocab]`.
    pub(super) fn of(&self, sequence: usize) -> &[f32] {
        &self.values[sequence * self.vocab..][..self.vocab]
    }
}

/// A model and what it has read of some sequences.
pub(super) struct Reader<'a, B> {
    backbone: &'a B,
    head: &'a LanguageModel,
    device: Device,
    sequences: usize,
    cache: Option<Cache>,
    source: Option<Source>,
}

/// What an encoder reads.
struct Source {
    texts: Vec<Vec<u32>>,
    /// The text of each sequence.
    of_sequence: Vec<usize>,
    batch: TokenBatch,
}

impl<'a, B: BackboneModule> Reader<'a, B> {
    /// Sequences of which nothing was read yet; `source` is what an encoder next to the decoder reads.
    pub(super) fn new(
        backbone: &'a B,
        head: &'a LanguageModel,
        sequences: usize,
        source: Option<Vec<Vec<u32>>>,
        use_cache: bool,
    ) -> Self {
        let device = backbone.token_table().device();
        let source = source.map(|texts| {
            let of_sequence: Vec<usize> = (0..sequences).collect();
            Source { batch: source_batch(&texts, &of_sequence, &device), texts, of_sequence }
        });
        Self { backbone, head, device, sequences, cache: use_cache.then(|| Cache::new(sequences)), source }
    }

    /// Reads on to the end of each sequence, given with all of its tokens, and scores what follows.
    pub(super) fn read(&mut self, sequences: &[&[u32]]) -> Scores {
        self.drop_outgrown_cache(sequences);
        let past = match &self.cache {
            Some(cache) => cache.lengths().to_vec(),
            None => vec![0; sequences.len()],
        };
        let new: Vec<&[u32]> = sequences.iter().zip(&past).map(|(ids, &past)| &ids[past..]).collect();
        let lengths: Vec<u32> = new.iter().map(|ids| ids.len() as u32).collect();
        let tokens = TokenBatch::following(&new.concat(), &lengths, &past, &self.device);
        // With a GPU the threads of the pool have nothing to do.
        if is_cpu(&self.device) { on_pool(|| self.scores(tokens)) } else { self.scores(tokens) }
    }

    /// Drops the cache once a sequence is longer than its cached keys hold for: all tokens are read again.
    fn drop_outgrown_cache(&mut self, sequences: &[&[u32]]) {
        let (Some(context), Some(cache)) = (self.backbone.cached_context(), &mut self.cache) else { return };
        let mut grown = sequences.iter().zip(cache.lengths());
        if grown.any(|(ids, &read)| (1..=context).contains(&read) && ids.len() > context) {
            *cache = Cache::new(sequences.len());
        }
    }

    fn scores(&mut self, tokens: TokenBatch) -> Scores {
        let batch = match &self.source {
            Some(source) => source.batch.clone().with_decoder(tokens),
            None => tokens,
        };
        // [sequences, hidden]
        let hidden = match &mut self.cache {
            Some(cache) => self.backbone.forward_cached(&batch, Rows::Last, cache),
            None => self.backbone.forward(&batch, Rows::Last, Mode::Evaluate),
        };
        // [sequences, vocab]
        let logits = self.head.forward(self.backbone, hidden, Mode::Evaluate);
        let [_, vocab] = logits.dims();
        Scores { values: logits.into_data().iter::<f32>().collect(), vocab }
    }

    /// Continues with these sequences; one may be named more than once.
    pub(super) fn keep(&mut self, sequences: &[usize]) {
        if sequences.is_empty() || sequences.iter().copied().eq(0..self.sequences) {
            return;
        }
        self.sequences = sequences.len();
        self.cache = self.cache.take().map(|cache| cache.select(sequences));
        let Some(source) = &mut self.source else { return };
        let of_sequence: Vec<usize> = sequences.iter().map(|&each| source.of_sequence[each]).collect();
        if of_sequence != source.of_sequence {
            source.batch = source_batch(&source.texts, &of_sequence, &self.device);
            source.of_sequence = of_sequence;
        }
    }
}

fn source_batch(texts: &[Vec<u32>], of_sequence: &[usize], device: &Device) -> TokenBatch {
    let texts: Vec<&[u32]> = of_sequence.iter().map(|&text| texts[text].as_slice()).collect();
    let lengths: Vec<u32> = texts.iter().map(|text| text.len() as u32).collect();
    let ids = texts.concat();
    TokenBatch::new(&ids, &vec![0; ids.len()], &lengths, device)
}
