//! The head for the vocabulary.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use temper_kernels::{
    PackedWeight, VocabularyTargets, VocabularyWeights, WeightFormat, composed_loss, composed_scores,
    vocabulary_loss, vocabulary_scores, widen,
};

use super::TransformConfig;
use crate::layers::{HasLinears, Linear, LinearWalk, Norm, parameter};
use crate::parameters::parameter_id;
use crate::{Activation, Backbone, Mode, Precision};

/// Where the map to the vocabulary comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMap {
    /// It is the token embedding, unless the checkpoint has another: see the row of `head.output`.
    Tied,
    /// It has weights of its own.
    Own,
}

/// What [`LanguageModel`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct LanguageModelConfig {
    /// Rows of the vocabulary.
    pub vocab_size: usize,
    /// Where the map to the vocabulary comes from.
    pub output: OutputMap,
    /// Whether a number a token of the vocabulary is added.
    pub bias: bool,
    /// Whether one is added that does not train, as in BART.
    pub fixed_bias: bool,
    /// What comes first, as in masked models.
    pub transform: Option<TransformConfig>,
    /// Multiplies the hidden state first: T5's original version.
    pub scale: f64,
    /// Gemma 2's cap: a logit `x` becomes `cap * tanh(x / cap)`.
    pub soft_cap: Option<f64>,
}

impl LanguageModelConfig {
    /// The head of a decoder: one map, without bias.
    pub fn plain(vocab_size: usize, tied: bool) -> Self {
        let output = if tied { OutputMap::Tied } else { OutputMap::Own };
        Self {
            vocab_size,
            output,
            bias: false,
            fixed_bias: false,
            transform: None,
            scale: 1.0,
            soft_cap: None,
        }
    }

    /// The head of a masked model: a square map, activation and norm, then a tied map with bias.
    pub fn masked(vocab_size: usize, tied: bool, activation: Activation, epsilon: f64) -> Self {
        let transform = Some(TransformConfig::normed(activation, epsilon));
        Self { bias: true, transform, ..Self::plain(vocab_size, tied) }
    }
}

/// Logits of the whole vocabulary.
#[derive(Module, Debug)]
pub struct LanguageModel {
    dense: Option<Linear>,
    norm: Option<Norm>,
    /// `[hidden, vocab]`; `None` where the token embedding serves.
    output: Option<Linear>,
    /// `[vocab]`
    bias: Option<Param<Tensor<1>>>,
    /// `[vocab]`
    fixed_bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: LanguageModelConfig,
    /// Of the map to the vocabulary, which may have no weights here.
    #[module(skip)]
    pub(super) precision: Precision,
    /// The token embedding as the map to the vocabulary, in a model that is used and no longer trained.
    #[module(skip)]
    packed_table: Option<Arc<PackedWeight>>,
}

/// Rows whose logits exist together in [`LanguageModel::scores`] of a packed map.
const SCORED_ROWS: usize = 256;

impl LanguageModel {
    /// A head with zero weights, to be loaded.
    pub fn new(config: &LanguageModelConfig, hidden: usize, device: &Device) -> Self {
        let vocab = config.vocab_size;
        let inputs = config.transform.map_or(hidden, |transform| transform.outputs(hidden));
        Self {
            dense: config.transform.map(|transform| transform.dense(hidden, device)),
            norm: config.transform.and_then(|transform| transform.norm(hidden, device)),
            output: (config.output == OutputMap::Own)
                .then(|| Linear::with_bias(inputs, vocab, false, device)),
            bias: config.bias.then(|| parameter([vocab], device)),
            fixed_bias: config.fixed_bias.then(|| parameter([vocab], device)),
            config: *config,
            precision: Precision::default(),
            packed_table: None,
        }
    }

    /// Logits, in f32.
    ///
    /// # Shapes
    /// - hidden: `[rows, hidden]`; output: `[rows, vocab]`
    pub fn forward(&self, backbone: &impl Backbone, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let x = self.transformed(hidden, mode);
        let adapter = self.output.as_ref().and_then(|output| output.adapter.as_ref());
        let added = adapter.map(|adapter| adapter.forward(x.clone(), mode, self.precision));
        let logits = match self.packed() {
            Some(packed) => temper_kernels::packed_linear(x, packed, self.vocabulary_bias(), None),
            None => VocabularyWeights { soft_cap: None, ..self.map(backbone) }.logits(x),
        };
        let logits = match added {
            None => logits,
            Some(added) => logits + widen(added),
        };
        match self.config.soft_cap {
            None => logits,
            Some(cap) => (logits / cap).tanh() * cap,
        }
    }

    /// The cross-entropy of the logits in nats, summed over the rows with a target. The logits of all rows never exist
    /// together, but where the map has an adapter.
    ///
    /// # Shapes
    /// - hidden: `[rows, hidden]`; output: `[1]`
    pub fn loss(
        &self,
        backbone: &impl Backbone,
        hidden: Tensor<2>,
        targets: &VocabularyTargets,
        mode: Mode,
    ) -> Tensor<1> {
        if self.has_adapter() || self.packed().is_some() {
            return composed_loss(self.forward(backbone, hidden, mode), targets);
        }
        vocabulary_loss(self.transformed(hidden, mode), self.map(backbone), targets)
    }

    /// Cross-entropy of each row in nats, and 1 where its target has the highest logit; 0 without a target.
    ///
    /// # Shapes
    /// - hidden: `[rows, hidden]`; output: `[2, rows]`
    pub fn scores(
        &self,
        backbone: &impl Backbone,
        hidden: Tensor<2>,
        targets: &VocabularyTargets,
    ) -> Tensor<2> {
        if self.packed().is_some() {
            return self.scores_in_blocks(backbone, hidden, targets);
        }
        if self.has_adapter() {
            return composed_scores(self.forward(backbone, hidden, Mode::Evaluate), targets);
        }
        vocabulary_scores(self.transformed(hidden, Mode::Evaluate), self.map(backbone), targets)
    }

    /// The same of a packed map, whose logits of all rows never exist together either.
    fn scores_in_blocks(
        &self,
        backbone: &impl Backbone,
        hidden: Tensor<2>,
        targets: &VocabularyTargets,
    ) -> Tensor<2> {
        let blocks = targets.ids.chunks(SCORED_ROWS).enumerate().map(|(block, ids)| {
            let first = block * SCORED_ROWS;
            let rows = hidden.clone().slice(first..first + ids.len());
            let targets = VocabularyTargets { ids: ids.into(), smoothing: targets.smoothing };
            composed_scores(self.forward(backbone, rows, Mode::Evaluate), &targets)
        });
        let blocks: Vec<Tensor<2>> = blocks.collect();
        if blocks.is_empty() { Tensor::zeros([2, 0], &hidden.device()) } else { Tensor::cat(blocks, 1) }
    }

    /// Packs the map to the vocabulary, for which the token embedding, `[vocab, hidden]`, may serve.
    pub(super) fn pack_table(&mut self, table: impl FnOnce() -> Tensor<2>, format: WeightFormat) {
        if self.is_tied() && self.packed_table.is_none() {
            self.packed_table = Some(Arc::new(temper_kernels::pack_weight(&table(), true, format)));
        }
    }

    fn packed(&self) -> Option<&Arc<PackedWeight>> {
        self.output.as_ref().map_or(self.packed_table.as_ref(), Linear::packed)
    }

    fn has_adapter(&self) -> bool {
        self.output.as_ref().is_some_and(|output| output.adapter.is_some())
    }

    fn vocabulary_bias(&self) -> Option<Tensor<1>> {
        self.bias.as_ref().or(self.fixed_bias.as_ref()).map(Param::val)
    }

    /// What the map to the vocabulary reads.
    fn transformed(&self, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let mut x = hidden;
        if let (Some(dense), Some(transform)) = (&self.dense, self.config.transform) {
            x = transform.apply(dense, self.norm.as_ref(), x, mode);
        }
        if self.config.scale != 1.0 {
            x = x * self.config.scale;
        }
        x
    }

    /// The map to the vocabulary, without its adapter.
    fn map(&self, backbone: &impl Backbone) -> VocabularyWeights {
        let bias = self.vocabulary_bias();
        let (weight, is_transposed) = match &self.output {
            Some(output) => (output.weight.val(), false),
            None => (backbone.token_table(), true),
        };
        let soft_cap = self.config.soft_cap.map(|cap| cap as f32);
        VocabularyWeights { weight, is_transposed, bias, precision: self.precision, soft_cap }
    }

    /// Whether the token embedding serves as the map.
    pub(super) fn is_tied(&self) -> bool {
        self.output.is_none()
    }

    /// Gives a tied head a map of its own with the values of the token embedding, `[vocab, hidden]`; false
    /// where it has one, or where being tied also scales the hidden state.
    pub(super) fn untie(&mut self, table: Tensor<2>, path: &str) -> bool {
        if self.output.is_some() || self.config.scale != 1.0 {
            return false;
        }
        let [vocab, hidden] = table.dims();
        let device = table.device();
        let mut output = Linear::with_bias(hidden, vocab, false, &device);
        // [vocab, hidden] -> [hidden, vocab]; a copy, as a view would be copied by every product.
        let weight = Tensor::<2>::from_data(table.without_autodiff().transpose().into_data(), &device);
        output.weight = Param::initialized(
            parameter_id(&format!("{path}.output.weight")),
            weight.set_require_grad(device.is_autodiff()),
        );
        self.output = Some(output);
        self.config.output = OutputMap::Own;
        true
    }
}

impl HasLinears for LanguageModel {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("dense", &mut self.dense);
        walk.part("output", &mut self.output);
    }
}
