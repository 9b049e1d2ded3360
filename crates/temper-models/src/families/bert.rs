//! BERT: encoder-only, post-norm, learned positions, a pooler over `[CLS]`.
//!
//! Devlin et al. 2018 (arXiv 1810.04805). Follows transformers 5.23, `modeling_bert.py`.
//! It is the default block of this crate; what is its own are the three summed embeddings and the
//! tanh pooler. Other encoders are the same module, made otherwise.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use temper_kernels::{RelativeBuckets, widen};

use super::heads::{CLASSIFIER, span, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse};
use crate::heads::{ClassifierConfig, LanguageModelConfig};
use crate::layers::{
    AttentionConfig, Block, BlockConfig, Dropout, Embedding, FeedForwardConfig, Layer, Linear, LinearWalk,
    Norm, NormConfig, NormPlace, StackPass, StackRows, detach_if_frozen, is_frozen, needed_rows,
    run_frozen_without_autodiff, run_layers,
};
use crate::weights::{Row, WeightMap, copy, foreign, ignore, linear, matrix, norm};
use crate::{
    Activation, Backbone, Bounds, DropoutKeys, Family, FamilyFacts, HeadFacts, HeadKind, Mode, ModelError,
    Parts, Pass, TokenBatch,
};

/// BERT's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layer.
    pub hidden_act: Activation,
    /// Dropout on embeddings and on the output of attention and feed-forward.
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding.
    pub type_vocab_size: usize,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Added to the variance in norms.
    pub layer_norm_eps: f64,
    /// Id that fills up a batch; RoBERTa's positions begin after it.
    pub pad_token_id: Option<u32>,
    /// Dropout before the classification head; `hidden_dropout_prob` when absent.
    pub classifier_dropout: Option<f64>,
    /// Only `absolute` exists here.
    pub position_embedding_type: String,
    /// Only `false` exists here.
    pub is_decoder: bool,
    /// Only `false` exists here.
    pub add_cross_attention: bool,
    /// Whether the masked language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            classifier_dropout: None,
            position_embedding_type: "absolute".into(),
            is_decoder: false,
            add_cross_attention: false,
            tie_word_embeddings: true,
        }
    }
}

impl BertConfig {
    /// Dropout before the classification head.
    pub fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// What the module is made from.
    pub(super) fn shape(&self, parts: Parts) -> BertShape {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        let block = BlockConfig {
            attention: AttentionConfig::new(hidden, heads, self.attention_probs_dropout_prob),
            cross_attention: None,
            ffn: FeedForwardConfig::new(hidden, self.intermediate_size, self.hidden_act),
            norm: NormConfig::layer(hidden, self.layer_norm_eps),
            norm_place: NormPlace::After,
            dropout: self.hidden_dropout_prob,
        };
        BertShape {
            types: Some(self.type_vocab_size),
            pooler: parts.pooler,
            ..BertShape::new([self.vocab_size, self.max_position_embeddings], self.num_hidden_layers, block)
        }
    }

    fn heads(&self) -> Vec<HeadFacts> {
        let dropout = self.head_dropout();
        let classifier = ClassifierConfig { uses_pooler: true, ..ClassifierConfig::first_token(dropout) };
        let (tied, epsilon) = (self.tie_word_embeddings, self.layer_norm_eps);
        let masked = LanguageModelConfig::masked(self.vocab_size, tied, self.hidden_act, epsilon);
        let (masked_rows, pretraining_rows) =
            if tied { (MASKED, PRETRAINING) } else { (MASKED_UNTIED, PRETRAINING_UNTIED) };
        vec![
            HeadFacts::new(
                "BertForSequenceClassification",
                HeadKind::SequenceClassification(classifier),
                CLASSIFIER,
            ),
            token_labels("BertForTokenClassification", dropout).over(Parts::NO_POOLER),
            span("BertForQuestionAnswering").over(Parts::NO_POOLER),
            HeadFacts::new("BertForMaskedLM", HeadKind::MaskedLm(masked), masked_rows).over(Parts::NO_POOLER),
            HeadFacts::new("BertForPreTraining", HeadKind::Pretraining(masked), pretraining_rows),
        ]
    }
}

impl Family for BertConfig {
    type Backbone = Bert;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["hidden_dropout_prob"], attention: &["attention_probs_dropout_prob"] };

    fn validate(&self) -> Result<(), ModelError> {
        if self.position_embedding_type != "absolute" {
            return refuse("position_embedding_type", &self.position_embedding_type);
        }
        if self.is_decoder {
            return refuse("is_decoder", true);
        }
        if self.add_cross_attention {
            return refuse("add_cross_attention", true);
        }
        check_sizes(
            MOST_ROWS,
            &[
                ("vocab_size", self.vocab_size),
                ("max_position_embeddings", self.max_position_embeddings),
                ("type_vocab_size", self.type_vocab_size),
            ],
        )?;
        check_sizes(
            MOST_WIDTH,
            &[("hidden_size", self.hidden_size), ("intermediate_size", self.intermediate_size)],
        )?;
        check_sizes(MOST_LAYERS, &[("num_hidden_layers", self.num_hidden_layers)])?;
        check_dropout(&[
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.head_dropout()),
        ])?;
        check_heads("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)
    }

    fn init(&self, parts: Parts, device: &Device) -> Bert {
        Bert::new(&self.shape(parts), device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WeightMap { prefix: "bert.", groups: 1, rows: ROWS },
            heads: self.heads(),
            foreign: OTHER_HEADS,
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.max_position_embeddings },
        }
    }
}

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

/// Where each tensor of a checkpoint goes: BERT's, and RoBERTa's and ELECTRA's under another prefix.
pub(super) const ROWS: &[Row] = &[
    copy("embeddings.word_embeddings.weight", "token_embedding.weight"),
    copy("embeddings.position_embeddings.weight", "position_embedding.weight"),
    copy("embeddings.token_type_embeddings.weight", "type_embedding.weight"),
    norm("embeddings.LayerNorm", "embedding_norm"),
    ignore("embeddings.position_ids"), // 0, 1, 2, ...: a buffer of old versions.
    linear("embeddings_project", "embedding_projection"), // ELECTRA's.
    linear("encoder.layer.{}.attention.self.query", "layers.{}.attention.query"),
    linear("encoder.layer.{}.attention.self.key", "layers.{}.attention.key"),
    linear("encoder.layer.{}.attention.self.value", "layers.{}.attention.value"),
    linear("encoder.layer.{}.attention.output.dense", "layers.{}.attention.output"),
    norm("encoder.layer.{}.attention.output.LayerNorm", "layers.{}.attention_norm"),
    linear("encoder.layer.{}.intermediate.dense", "layers.{}.ffn.inner"),
    linear("encoder.layer.{}.output.dense", "layers.{}.ffn.outer"),
    norm("encoder.layer.{}.output.LayerNorm", "layers.{}.ffn_norm"),
    linear("pooler.dense", "pooler"),
];

/// The next-sentence head of a checkpoint without the other one.
const OTHER_HEADS: &[Row] = &[foreign("cls.*")];
pub(super) const MASKED: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.norm"),
    copy("cls.predictions.bias", "head.bias"),
    matrix("cls.predictions.decoder.weight", "head.output.weight"), // Mostly the token embedding.
    ignore("cls.predictions.decoder.bias"),                         // The same as `cls.predictions.bias`.
];
pub(super) const MASKED_UNTIED: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.norm"),
    matrix("cls.predictions.decoder.weight", "head.output.weight"),
    copy("cls.predictions.decoder.bias", "head.bias"),
    ignore("cls.predictions.bias"), // transformers does not compute with it then.
];
const PRETRAINING: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.tokens.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.tokens.norm"),
    copy("cls.predictions.bias", "head.tokens.bias"),
    matrix("cls.predictions.decoder.weight", "head.tokens.output.weight"), // Mostly the token embedding.
    ignore("cls.predictions.decoder.bias"), // The same as `cls.predictions.bias`.
    linear("cls.seq_relationship", "head.next_sentence"),
];
const PRETRAINING_UNTIED: &[Row] = &[
    linear("cls.predictions.transform.dense", "head.tokens.dense"),
    norm("cls.predictions.transform.LayerNorm", "head.tokens.norm"),
    matrix("cls.predictions.decoder.weight", "head.tokens.output.weight"),
    copy("cls.predictions.decoder.bias", "head.tokens.bias"),
    ignore("cls.predictions.bias"), // transformers does not compute with it then.
    linear("cls.seq_relationship", "head.next_sentence"),
];
