//! What T5 and BART share: an encoder, a decoder that attends to the encoder's output, one token embedding
//! for both, and the heads that transformers puts on the decoder.
//!
//! Which parts a stack has is the family's to say; so are the stored names.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::heads::{ClassifierConfig, TransformConfig};
use crate::layers::{
    Block, BlockConfig, Cache, Dropout, Embedding, Encoded, HasLinears, Layer, LinearWalk, Norm, NormConfig,
    StackPass, StackRows, detach_if_frozen, is_frozen, run_frozen_without_autodiff, run_layers,
};
use crate::trunk::state_after;
use crate::weights::{Row, linear};
use crate::{
    Activation, Backbone, HeadFacts, HeadKind, Mode, ModelError, Pass, Rows, TokenBatch, TrunkRows,
    TrunkState,
};

/// What [`EncoderDecoder`] is made from.
#[derive(Clone, Debug)]
pub struct EncoderDecoderConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden: usize,
    /// The encoder.
    pub encoder: StackConfig,
    /// The decoder; an encoder alone has none.
    pub decoder: Option<StackConfig>,
    /// The token that decoding begins with.
    pub decoder_start: u32,
}

/// What one of the two stacks is made from.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// Multiplies the token embeddings.
    pub embedding_scale: f64,
    /// The learned position embedding, where there is one.
    pub positions: Option<PositionsConfig>,
    /// The norm of the embeddings, where there is one.
    pub embedding_norm: Option<NormConfig>,
    /// Rows of the table of relative biases, where there is one.
    pub buckets: Option<usize>,
    /// Number of layers.
    pub layers: usize,
    /// A layer.
    pub block: BlockConfig,
    /// The norm after the last layer, where there is one.
    pub final_norm: Option<NormConfig>,
    /// Dropout on the embeddings and after the final norm.
    pub dropout: f64,
}

/// A learned position embedding.
#[derive(Clone, Copy, Debug)]
pub struct PositionsConfig {
    /// Rows of the table.
    pub rows: usize,
    /// The row of a sequence's first token.
    pub first: usize,
}

/// An encoder-decoder model without a task, or its encoder alone.
#[derive(Module, Debug)]
pub struct EncoderDecoder {
    token_embedding: Embedding,
    encoder: Stack,
    decoder: Option<Stack>,
    #[module(skip)]
    decoder_start: u32,
}

impl EncoderDecoder {
    /// A model with zero weights, to be loaded.
    pub fn new(config: &EncoderDecoderConfig, device: &Device) -> Self {
        Self {
            token_embedding: Embedding::new(config.vocab_size, config.hidden, device),
            encoder: Stack::new(&config.encoder, config.hidden, device),
            decoder: config.decoder.as_ref().map(|decoder| Stack::new(decoder, config.hidden, device)),
            decoder_start: config.decoder_start,
        }
    }

    // [tokens] -> [tokens, hidden]
    fn run_encoder(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        // The decoder attends to every token.
        let pass = Pass { rows: Rows::All, mode: pass.mode.child(0), cache: None, ..pass };
        self.encoder.forward(&self.token_embedding, batch, None, pass)
    }

    /// What the decoder reads, with what is known of its lowest layers.
    fn target(&self, batch: &TokenBatch) -> TokenBatch {
        let shifted = || batch.shifted_right(self.decoder_start);
        let mut target = batch.decoder.as_deref().cloned().unwrap_or_else(shifted);
        if let Some(tape) = batch.tape() {
            target = target.with_tape(tape);
        }
        let Some(trunk) = self.trunk_beyond_encoder(batch) else { return target };
        let depth = trunk.depth - self.encoder.layers.len();
        target.with_trunk(TrunkState { depth, hidden: trunk.hidden.clone(), encoded: None })
    }

    /// The batch's trunk, if it reaches into the decoder.
    fn trunk_beyond_encoder<'a>(&self, batch: &'a TokenBatch) -> Option<&'a TrunkState> {
        batch.trunk().filter(|trunk| trunk.depth > self.encoder.layers.len())
    }

    /// Whether decoder layers above a trunk attend to the encoder's output in it.
    fn keeps_encoded(&self, depth: usize) -> bool {
        depth > self.encoder.layers.len() && depth < self.layer_count()
    }
}

impl Backbone for EncoderDecoder {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let Pass { rows, mode, mut cache, watch, until } = pass;
        let Some(decoder) = &self.decoder else {
            let pass = Pass { rows, mode: mode.child(0), cache: None, watch, until };
            return self.encoder.forward(&self.token_embedding, batch, None, pass);
        };
        let encoded = match self.trunk_beyond_encoder(batch) {
            Some(trunk) => trunk.encoded.clone(),
            None => Some(Cache::encoded(cache.as_deref_mut(), batch, || {
                self.run_encoder(batch, Pass { rows, mode, cache: None, watch: &mut *watch, until })
            })),
        };
        let until = until.map(|until| until.saturating_sub(self.encoder.layers.len()));
        let pass = Pass { rows, mode: mode.child(1), cache, watch, until };
        decoder.forward(&self.token_embedding, &self.target(batch), encoded.as_ref(), pass)
    }

    fn encode(&self, batch: &TokenBatch, mode: Mode) -> Option<Tensor<2>> {
        self.decoder.as_ref()?;
        let pass = Pass { rows: Rows::All, mode, cache: None, watch: &mut |_| {}, until: None };
        Some(self.run_encoder(&batch.clone().without_trunk(), pass))
    }

    fn trunk(&self, batch: &TokenBatch, depth: usize, rows: Rows) -> TrunkState {
        let (batch, tokens) = (&batch.clone().without_trunk(), &self.token_embedding);
        let layers = self.encoder.layers.len();
        let Some(decoder) = self.decoder.as_ref().filter(|_| depth > layers) else {
            let rows = if self.decoder.is_some() { Rows::All } else { rows };
            let hidden = self.encoder.trunk(tokens, batch, None, depth, rows);
            return TrunkState { depth, hidden, encoded: None };
        };
        let pass = Pass { rows, mode: Mode::Evaluate, cache: None, watch: &mut |_| {}, until: None };
        let hidden = self.run_encoder(batch, pass).without_autodiff();
        let encoded = Encoded::new(hidden, batch.sequences.clone());
        let hidden = decoder.trunk(tokens, &self.target(batch), Some(&encoded), depth - layers, rows);
        TrunkState { depth, hidden, encoded: self.keeps_encoded(depth).then_some(encoded) }
    }

    fn trunk_rows(&self, depth: usize, rows: Rows, tokens: usize, target: usize) -> TrunkRows {
        let is_picked = rows != Rows::All && depth > 0 && depth == self.layer_count();
        let all = if depth > self.encoder.layers.len() { target } else { tokens };
        TrunkRows {
            hidden: if is_picked { 1 } else { all },
            encoded: if self.keeps_encoded(depth) { tokens } else { 0 },
        }
    }

    fn drops_out(&self) -> bool {
        self.encoder.drops_out() || self.decoder.as_ref().is_some_and(Stack::drops_out)
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_embedding.weight.val()
    }

    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("encoder", &mut self.encoder);
        walk.part("decoder", &mut self.decoder);
    }

    fn hidden_size(&self) -> usize {
        self.token_embedding.width()
    }

    fn layer_count(&self) -> usize {
        self.encoder.layers.len() + self.decoder.as_ref().map_or(0, |decoder| decoder.layers.len())
    }
}

/// An encoder or a decoder.
#[derive(Module, Debug)]
struct Stack {
    position_embedding: Option<Embedding>,
    embedding_norm: Option<Norm>,
    /// `[buckets, heads]`: all layers share it.
    relative_bias: Option<Embedding>,
    layers: Vec<Block>,
    final_norm: Option<Norm>,
    dropout: Dropout,
    #[module(skip)]
    embedding_scale: f64,
    #[module(skip)]
    first_position: usize,
}

impl Stack {
    fn new(config: &StackConfig, hidden: usize, device: &Device) -> Self {
        let heads = config.block.attention.heads.query_heads;
        Self {
            position_embedding: config.positions.map(|table| Embedding::new(table.rows, hidden, device)),
            embedding_norm: config.embedding_norm.map(|norm| norm.init(device)),
            relative_bias: config.buckets.map(|buckets| Embedding::new(buckets, heads, device)),
            layers: (0..config.layers).map(|_| Block::new(&config.block, device)).collect(),
            final_norm: config.final_norm.map(|norm| norm.init(device)),
            dropout: Dropout::new(config.dropout),
            embedding_scale: config.embedding_scale,
            first_position: config.positions.map_or(0, |table| table.first),
        }
    }

    // [tokens] -> [tokens, hidden]
    fn embed(&self, tokens: &Embedding, batch: &TokenBatch, mode: Mode) -> Tensor<2> {
        let mut x = tokens.forward(&batch.ids);
        if self.embedding_scale != 1.0 {
            x = x * self.embedding_scale;
        }
        if let Some(positions) = &self.position_embedding {
            x = x + positions.forward(&batch.positions_from(self.first_position));
        }
        if let Some(norm) = &self.embedding_norm {
            x = norm.forward(x);
        }
        let frozen =
            is_frozen(tokens) && is_frozen(&self.position_embedding) && is_frozen(&self.embedding_norm);
        detach_if_frozen(self.dropout.forward(x, mode.of_part(frozen)), frozen)
    }

    // [tokens] -> [rows, hidden]
    fn forward(
        &self,
        tokens: &Embedding,
        batch: &TokenBatch,
        encoded: Option<&Encoded>,
        pass: Pass<'_>,
    ) -> Tensor<2> {
        let Pass { rows, mode, cache, watch, until } = pass;
        let mut rows = StackRows::of(batch, rows);
        if let Some(table) = &self.relative_bias {
            rows = rows.with_relative_biases(detach_if_frozen(table.weight.val(), is_frozen(table)));
        }
        let pass = StackPass { rows: &rows, encoded, cache, mode, watch, until };
        let x = run_layers(&self.layers, || self.embed(tokens, batch, mode.child(0)), batch, pass);
        let Some(norm) = &self.final_norm else { return x };
        let normed = run_frozen_without_autodiff(norm, x, Norm::forward);
        self.dropout.forward(normed, mode.child(self.layers.len() + 1).of_part(is_frozen(norm)))
    }

    /// The output of its lowest layers for a batch.
    ///
    /// # Shapes
    /// - output: `[tokens, hidden]`, of all layers `[rows, hidden]`
    fn trunk(
        &self,
        tokens: &Embedding,
        batch: &TokenBatch,
        encoded: Option<&Encoded>,
        depth: usize,
        rows: Rows,
    ) -> Tensor<2> {
        state_after(depth, |watch| {
            let pass = Pass { rows, mode: Mode::Evaluate, cache: None, watch, until: Some(depth) };
            self.forward(tokens, batch, encoded, pass);
        })
    }

    fn drops_out(&self) -> bool {
        self.dropout.is_active() || self.layers.iter().any(Layer::drops_out)
    }
}

impl HasLinears for Stack {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("layers", &mut self.layers);
    }
}

/// Refuses a configuration that does not say what decoding begins with, as transformers does, or that names a
/// token that is not embedded.
pub(super) fn check_start(decoder_start: Option<u32>, vocab_size: usize) -> Result<(), ModelError> {
    let reason = match decoder_start {
        Some(id) if (id as usize) < vocab_size => return Ok(()),
        Some(id) => format!("decoder_start_token_id = {id}, but vocab_size = {vocab_size}"),
        None => "decoder_start_token_id is missing".into(),
    };
    Err(ModelError::Config { reason })
}

/// Labels of sequences: two maps over the token of the decoder that is where the input has its last end.
pub(super) fn sequence_labels(architecture: &'static str, dropout: f64, end: Option<u32>) -> HeadFacts {
    let kind = HeadKind::SequenceClassification(ClassifierConfig {
        rows: end.map_or(Rows::Last, Rows::LastOf),
        transform: Some(TransformConfig::plain(Activation::Tanh)),
        bias: true,
        input_dropout: dropout,
        dropout,
        ..ClassifierConfig::last_token(None)
    });
    let head = HeadFacts::new(architecture, kind, CLASSIFIER);
    // transformers computes nothing without it.
    if end.is_some() { head } else { head.without("eos_token_id") }
}

const CLASSIFIER: &[Row] = &[
    linear("classification_head.dense", "head.dense"),
    linear("classification_head.out_proj", "head.output"),
];
