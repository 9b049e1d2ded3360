//! The encoder of BERT and of the families that are made like it: a stack over summed embeddings.
//!
//! Which embeddings there are, and which layers, is the family's to say; so are the stored names.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::{RelativeBuckets, widen};

use crate::layers::{
    Block, BlockConfig, Dropout, Embedding, Layer, Linear, LinearWalk, Norm, NormConfig, StackPass,
    StackRows, detach_if_frozen, is_frozen, needed_rows, run_frozen_without_autodiff, run_layers,
};
use crate::{Activation, Backbone, Mode, Pass, TokenBatch};

/// What [`Bert`] is made from.
pub(super) struct BertShape {
    pub vocab_size: usize,
    /// Rows of the position embedding, where there is one.
    pub positions: Option<usize>,
    /// The padding token's id where positions count after it, as RoBERTa's do.
    pub positions_behind: Option<u32>,
    /// Rows of the segment embedding, where there is one.
    pub types: Option<usize>,
    /// Width of the embeddings where a map brings them to that of the layers.
    pub projected_from: Option<usize>,
    pub embedding_dropout: f64,
    /// Rows of the table of relative biases, where there is one.
    pub buckets: Option<usize>,
    /// Rows of the vectors of relative positions, where there are any, and whether they have a norm.
    pub relative_vectors: Option<(usize, bool)>,
    /// Which of the layers' weights each layer has, first to last.
    pub order: Vec<usize>,
    pub block: BlockConfig,
    pub pooler: bool,
}

impl BertShape {
    /// Embeddings of tokens and positions, with so many rows, and layers.
    pub(super) fn new([vocab_size, positions]: [usize; 2], layers: usize, block: BlockConfig) -> Self {
        Self {
            vocab_size,
            positions: Some(positions),
            positions_behind: None,
            types: None,
            projected_from: None,
            embedding_dropout: block.dropout,
            buckets: None,
            relative_vectors: None,
            order: (0..layers).collect(),
            block,
            pooler: false,
        }
    }
}

/// BERT without a task, and RoBERTa, DistilBERT, ELECTRA, MPNet, ALBERT and DeBERTa.
#[derive(Module, Debug)]
pub struct Bert {
    token_embedding: Embedding,
    position_embedding: Option<Embedding>,
    type_embedding: Option<Embedding>,
    embedding_norm: Norm,
    embedding_dropout: Dropout,
    /// `[embedding, hidden]`
    embedding_projection: Option<Linear>,
    /// `[buckets, heads]`, the same for all layers.
    relative_bias: Option<Embedding>,
    /// `[buckets, hidden]`, the same for all layers.
    relative_embedding: Option<Embedding>,
    relative_embedding_norm: Option<Norm>,
    layers: Vec<Block>,
    pooler: Option<Linear>,
    #[module(skip)]
    positions_behind: Option<u32>,
    #[module(skip)]
    relative_buckets: Option<RelativeBuckets>,
    #[module(skip)]
    order: Vec<usize>,
}

impl Bert {
    /// The model with zero weights, to be loaded.
    pub(super) fn new(shape: &BertShape, device: &Device) -> Self {
        let (hidden, block) = (shape.block.norm.width, &shape.block);
        let width = shape.projected_from.unwrap_or(hidden);
        let embedding = |entries| Embedding::new(entries, width, device);
        let distinct = shape.order.iter().max().map_or(0, |last| last + 1);
        let heads = block.attention.heads.query_heads;
        Self {
            token_embedding: embedding(shape.vocab_size),
            position_embedding: shape.positions.map(embedding),
            type_embedding: shape.types.map(embedding),
            embedding_norm: NormConfig { width, ..block.norm }.init(device),
            embedding_dropout: Dropout::new(shape.embedding_dropout),
            embedding_projection: shape.projected_from.map(|width| Linear::new(width, hidden, device)),
            relative_bias: shape.buckets.map(|buckets| Embedding::new(buckets, heads, device)),
            relative_embedding: shape.relative_vectors.map(|(rows, _)| Embedding::new(rows, hidden, device)),
            relative_embedding_norm: shape
                .relative_vectors
                .and_then(|(_, has_norm)| has_norm.then(|| block.norm.init(device))),
            layers: (0..distinct).map(|_| Block::new(block, device)).collect(),
            pooler: shape.pooler.then(|| Linear::new(hidden, hidden, device)),
            positions_behind: shape.positions_behind,
            relative_buckets: block.attention.pattern.relative.clone(),
            order: shape.order.clone(),
        }
    }

    // [tokens] -> [tokens, hidden]
    fn embed(&self, batch: &TokenBatch, mode: Mode) -> Tensor<2> {
        let mut sum = self.token_embedding.forward(&batch.ids);
        if let Some(types) = &self.type_embedding {
            sum = sum + types.forward(&batch.type_ids);
        }
        if let Some(table) = &self.position_embedding {
            let positions = match self.positions_behind {
                Some(pad) => batch.positions_behind_padding(pad),
                None => batch.positions.clone(),
            };
            sum = sum + table.forward(&positions);
        }
        let frozen = is_frozen(&self.token_embedding)
            && is_frozen(&self.position_embedding)
            && is_frozen(&self.type_embedding)
            && is_frozen(&self.embedding_norm);
        let normed = self.embedding_norm.forward(sum);
        let x = detach_if_frozen(self.embedding_dropout.forward(normed, mode.of_part(frozen)), frozen);
        let Some(projection) = &self.embedding_projection else { return x };
        run_frozen_without_autodiff(projection, x, |projection, x| {
            widen(projection.forward(x, mode.child(1)))
        })
    }

    /// Adds the relative positions that the layers share.
    fn with_relative(&self, rows: StackRows, batch: &TokenBatch) -> StackRows {
        if let Some(table) = &self.relative_bias {
            return rows.with_relative_biases(detach_if_frozen(table.weight.val(), is_frozen(table)));
        }
        let (Some(table), Some(buckets)) = (&self.relative_embedding, &self.relative_buckets) else {
            return rows;
        };
        let (needed, buckets) = needed_rows(buckets, batch.sequences.longest());
        let vectors = table.weight.val().slice([needed]); // [buckets, hidden]
        let frozen = is_frozen(table) && is_frozen(&self.relative_embedding_norm);
        let vectors = match &self.relative_embedding_norm {
            Some(norm) => norm.forward(vectors),
            None => vectors,
        };
        rows.with_relative_vectors(detach_if_frozen(vectors, frozen), buckets)
    }

    /// The layers as they follow each other: copies share their parameters.
    fn layers(&self) -> Vec<Block> {
        self.order.iter().map(|&layer| self.layers[layer].clone()).collect()
    }
}

impl Backbone for Bert {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let Pass { rows, mode, cache, watch, until } = pass;
        let rows = self.with_relative(StackRows::of(batch, rows), batch);
        let pass = StackPass { rows: &rows, encoded: None, cache, mode, watch, until };
        run_layers(&self.layers(), || self.embed(batch, mode.child(0)), batch, pass)
    }

    fn pool(&self, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let Some(pooler) = &self.pooler else { return hidden };
        run_frozen_without_autodiff(pooler, hidden, |pooler, x| {
            pooler.forward_activated(x, Activation::Tanh, mode)
        })
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_embedding.weight.val()
    }

    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("embedding_projection", &mut self.embedding_projection);
        walk.part("layers", &mut self.layers);
        walk.part("pooler", &mut self.pooler);
    }

    fn hidden_size(&self) -> usize {
        let projected = self.embedding_projection.as_ref().map(|projection| projection.sizes()[1]);
        projected.unwrap_or(self.embedding_norm.width())
    }

    fn layer_count(&self) -> usize {
        self.order.len()
    }

    fn drops_out(&self) -> bool {
        self.embedding_dropout.is_active() || self.layers.iter().any(Layer::drops_out)
    }
}
