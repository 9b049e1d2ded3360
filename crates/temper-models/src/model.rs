//! A model: a backbone with the head of a task.

use std::path::Path;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use temper_kernels::{VocabularyTargets, is_cpu, look_up};

use crate::heads::Pretraining;
use crate::initial::draw;
use crate::loading::{ResolvedHead, fill_from, plan};
use crate::registry::AnyBackbone;
use crate::weights::Checkpoint;
use crate::{
    BackboneModule, Head, HeadRequest, Mode, ModelConfig, ModelError, ParameterTable, Precision, Rows,
    TokenBatch, TrunkRows, TrunkState,
};

/// A backbone with the head of a task, or without one.
#[derive(Module, Debug)]
pub struct Model<B: Module + ModuleDisplay = AnyBackbone> {
    /// The pretrained part.
    pub backbone: B,
    /// The task's part.
    pub head: Option<Head>,
    #[module(skip)]
    precision: Precision,
}

/// What BERT's two pretraining heads read.
struct PretrainingStates<'a> {
    head: &'a Pretraining,
    /// `[tokens, hidden]`
    hidden: Tensor<2>,
    /// `[sequences, hidden]`
    first: Tensor<2>,
}

/// A model that was loaded, and what happened on the way.
#[derive(Clone, Debug)]
pub struct Loaded<B: Module + ModuleDisplay = AnyBackbone> {
    /// The model.
    pub model: Model<B>,
    /// Its configuration, with the labels of its head.
    pub config: ModelConfig<B>,
    /// Paths of parameters that the checkpoint does not have and that were initialised randomly.
    pub new: Vec<String>,
    /// Names of stored tensors that this model has no use for.
    pub dropped: Vec<String>,
    /// Whether weights are stored as integers of 8 bits: such a model is for use, and not for training.
    pub is_quantized: bool,
}

impl Model {
    /// Loads a model folder in Hugging Face's layout onto a device.
    ///
    /// On a device with autodiff every parameter asks for gradients.
    ///
    /// # Errors
    /// See [`ModelError`]. Disagreements between weights and configuration are listed all at once
    /// in [`ModelError::Misfit`].
    pub fn load(dir: &Path, head: &HeadRequest, device: &Device) -> Result<Loaded, ModelError> {
        Self::load_with(ModelConfig::read(dir)?, dir, head, device)
    }
}

impl<B: BackboneModule> Model<B> {
    /// Joins a backbone and a head; products compute in f32.
    pub fn new(backbone: B, head: Option<Head>) -> Self {
        Self { backbone, head, precision: Precision::default() }
    }

    /// As [`Model::load`], of a family whose configuration was read already.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with(
        config: ModelConfig<B>,
        dir: &Path,
        head: &HeadRequest,
        device: &Device,
    ) -> Result<Loaded<B>, ModelError> {
        let (config, head) = ResolvedHead::of(config, head)?;
        let quantised = |error| with_method(error, &config);
        let checkpoint = Checkpoint::open(dir).map_err(quantised)?;
        let head = head.untied(&checkpoint, config.facts())?;
        let model = build(&config, &head, device)?;
        let plan =
            plan(model.parameters().parameters, &checkpoint, config.facts(), &head).map_err(quantised)?;
        let dropped = plan.dropped.clone();
        let is_quantized = checkpoint.entries().iter().any(|entry| checkpoint.is_quantized(&entry.name));
        // Parameters stay as long as the process: a GPU's allocator keeps them apart from what comes and goes.
        let (model, new) = device.memory_persistent_allocations((model, plan), |(model, plan)| {
            fill_from(model, plan, &checkpoint, config.facts(), &head)
        })?;
        Ok(Loaded { model, config, new, dropped, is_quantized })
    }

    /// The backbone of a configuration without values: its parameters have shapes, and take no memory until they are used.
    pub fn outline(config: &ModelConfig<B>, device: &Device) -> Self {
        Self::new(config.init(config.parts_without_head(), device), None)
    }

    /// A model without a checkpoint, to be trained from scratch: with the head that `architectures` of its
    /// configuration names, and every parameter initialised randomly.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the labels are not numbered 0, 1, 2, ...
    pub fn random(config: &ModelConfig<B>, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let (config, head) = ResolvedHead::of(config.clone(), &HeadRequest::FromConfig)?;
        let model = build(&config, &head, device)?;
        draw(model, config.facts(), head.facts.as_ref(), seed)
    }

    /// A model without a checkpoint, to be trained from scratch for a task: every parameter is new, drawn by the seed of
    /// the head.
    ///
    /// # Errors
    /// As [`ModelConfig::read`] for a head that the family does not have.
    pub fn random_with(
        config: ModelConfig<B>,
        head: &HeadRequest,
        device: &Device,
    ) -> Result<Loaded<B>, ModelError> {
        let (config, head) = ResolvedHead::of(config, head)?;
        let model = draw(build(&config, &head, device)?, config.facts(), head.facts.as_ref(), head.seed())?;
        let new = model.parameters().parameters.into_iter().map(|parameter| parameter.path).collect();
        Ok(Loaded { model, config, new, dropped: Vec::new(), is_quantized: false })
    }

    /// The same model with products in this precision; new and loaded ones have [`Precision::F32`].
    ///
    /// Parameters and their gradients stay f32, and so do hidden states and logits.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self.each_linear(&mut |_, linear| linear.precision = precision);
        if let Some(head) = &mut self.head {
            head.set_precision(precision);
        }
        self
    }

    /// The same model for use alone: on a CPU, weights are kept in the [format](Precision::weight_format) that products
    /// compute in, if it is not theirs already. They are read faster, and the model can no longer be trained or saved.
    #[must_use]
    pub fn packed(mut self) -> Self {
        let is_on_cpu = is_cpu(&self.backbone.token_table().device());
        let Some(format) = self.precision.weight_format().filter(|_| is_on_cpu) else { return self };
        if let Some(head) = &mut self.head {
            let backbone = &self.backbone;
            head.pack(|| backbone.token_table(), format);
        }
        self.each_linear(&mut |_, linear| linear.pack(format));
        self
    }

    /// What its products compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The head's logits; `None` without a head. Of BERT's two pretraining tasks, those of the hidden
    /// tokens.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[sequences, labels]` of a classifier of sequences, else
    ///   `[tokens, outputs]`, of an encoder-decoder model for the decoder's tokens, of a language model for the
    ///   [chosen](TokenBatch::choosing) ones
    pub fn logits(&self, batch: &TokenBatch, mode: Mode) -> Option<Tensor<2>> {
        let head = self.head.as_ref()?;
        let rows = if head.language_model().is_some() { batch.wanted() } else { head.rows() };
        let hidden = head.read(self.backbone.forward(batch, rows, mode.child(0)), batch);
        Some(head.forward(&self.backbone, hidden, mode.child(1)))
    }

    /// Logits of a classifier of sequences; `None` without one.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[sequences, labels]`
    pub fn classify(&self, batch: &TokenBatch, mode: Mode) -> Option<Tensor<2>> {
        let Some(Head::SequenceClassification(_)) = &self.head else { return None };
        self.logits(batch, mode)
    }

    /// The loss of a language model's head in nats, summed over the tokens with a target; `None` without such a head. The
    /// logits of all tokens are never held, unless their map has an adapter.
    ///
    /// # Shapes
    /// - batch, targets: `[tokens]`, of an encoder-decoder model those of the decoder, or the
    ///   [chosen](TokenBatch::choosing) ones; output: `[1]`
    pub fn vocabulary_loss(
        &self,
        batch: &TokenBatch,
        targets: &VocabularyTargets,
        mode: Mode,
    ) -> Option<Tensor<1>> {
        let head = self.head.as_ref()?.language_model()?;
        let hidden = self.backbone.forward(batch, batch.wanted(), mode.child(0));
        Some(head.loss(&self.backbone, hidden, targets, mode.child(1)))
    }

    /// The loss of each token in nats, and 1 where its target is the most probable one; `None` without a language model's
    /// head.
    ///
    /// # Shapes
    /// - batch, targets: `[tokens]`, as for [`Self::vocabulary_loss`]; output: `[2, tokens]`
    pub fn vocabulary_scores(&self, batch: &TokenBatch, targets: &VocabularyTargets) -> Option<Tensor<2>> {
        let head = self.head.as_ref()?.language_model()?;
        let hidden = self.backbone.forward(batch, batch.wanted(), Mode::Evaluate);
        Some(head.scores(&self.backbone, hidden, targets))
    }

    /// What both of BERT's pretraining tasks give: the loss of masked tokens ([`Self::vocabulary_loss`]), and for each pair
    /// the logits of "the second text follows the first" and "it does not".
    ///
    /// # Shapes
    /// - batch, targets: as for [`Self::vocabulary_loss`], each sequence's first token chosen; output: `[1]` and
    ///   `[sequences, 2]`
    pub fn pretraining_loss(
        &self,
        batch: &TokenBatch,
        targets: &VocabularyTargets,
        mode: Mode,
    ) -> Option<(Tensor<1>, Tensor<2>)> {
        let PretrainingStates { head, hidden, first } = self.pretraining_states(batch, mode)?;
        let loss = head.tokens.loss(&self.backbone, hidden, targets, mode.child(1));
        Some((loss, head.next_sentence(&self.backbone, first, mode.child(2))))
    }

    /// As [`Self::pretraining_loss`], with [`Self::vocabulary_scores`] of the masked tokens.
    ///
    /// # Shapes
    /// - batch, targets: as for [`Self::pretraining_loss`]; output: `[2, tokens]` and `[sequences, 2]`
    pub fn pretraining_scores(
        &self,
        batch: &TokenBatch,
        targets: &VocabularyTargets,
    ) -> Option<(Tensor<2>, Tensor<2>)> {
        let mode = Mode::Evaluate;
        let PretrainingStates { head, hidden, first } = self.pretraining_states(batch, mode)?;
        let scores = head.tokens.scores(&self.backbone, hidden, targets);
        Some((scores, head.next_sentence(&self.backbone, first, mode)))
    }

    /// Logits of both of BERT's pretraining tasks: masked tokens, next sentence.
    ///
    /// # Shapes
    /// - batch: as for [`Self::pretraining_loss`]; output: `[tokens, vocab]` and `[sequences, 2]`
    pub fn pretrain(&self, batch: &TokenBatch, mode: Mode) -> Option<[Tensor<2>; 2]> {
        let PretrainingStates { head, hidden, first } = self.pretraining_states(batch, mode)?;
        let tokens = head.tokens.forward(&self.backbone, hidden, mode.child(1));
        Some([tokens, head.next_sentence(&self.backbone, first, mode.child(2))])
    }

    fn pretraining_states(&self, batch: &TokenBatch, mode: Mode) -> Option<PretrainingStates<'_>> {
        let Some(Head::Pretraining(head)) = &self.head else { return None };
        let hidden = self.backbone.forward(batch, batch.wanted(), mode.child(0));
        let first = look_up(hidden.clone(), &batch.first_of_chosen());
        Some(PretrainingStates { head, hidden, first })
    }

    /// The output of the lowest layers for a batch, with the rows that the head reads; see [`TrunkState`].
    ///
    /// # Shapes
    /// - batch: `[tokens]`
    ///
    /// # Panics
    /// When the depth exceeds the number of layers.
    pub fn trunk(&self, batch: &TokenBatch, depth: usize) -> TrunkState {
        self.backbone.trunk(batch, depth, self.head_rows())
    }

    /// Rows that a sequence of so many tokens has in [`Model::trunk`], where a decoder reads as many.
    pub fn trunk_rows(&self, depth: usize, tokens: usize) -> TrunkRows {
        self.backbone.trunk_rows(depth, self.head_rows(), tokens, tokens)
    }

    fn head_rows(&self) -> Rows {
        self.head.as_ref().map_or(Rows::All, Head::rows)
    }

    /// Every parameter, with its path.
    pub fn parameters(&self) -> ParameterTable {
        ParameterTable::of(self)
    }
}

/// An error about weights, with what config.json says of their quantisation. Without quantised weights that says
/// nothing: it is of a source that was dequantised.
fn with_method<B>(error: ModelError, config: &ModelConfig<B>) -> ModelError {
    let Some(quantization) = config.raw().get("quantization_config").filter(|value| !value.is_null()) else {
        return error;
    };
    let method = quantization.get("quant_method").and_then(|method| method.as_str()).unwrap_or("unnamed");
    let method = format!(" (quantization_config of config.json: {method})");
    match error {
        ModelError::Quantized { path, tensor, dtype, .. } => {
            ModelError::Quantized { path, tensor, dtype, method }
        }
        ModelError::Misfit { path, misfits } if !misfits.unexpected.is_empty() => {
            let tensor = misfits.unexpected[0].clone();
            ModelError::Quantized { path, tensor, dtype: "a part of a packed matrix".into(), method }
        }
        other => other,
    }
}

fn build<B: BackboneModule>(
    config: &ModelConfig<B>,
    head: &ResolvedHead,
    device: &Device,
) -> Result<Model<B>, ModelError> {
    let backbone = config.init(head.parts, device);
    let Some(head) = &head.facts else { return Ok(Model::new(backbone, None)) };
    let labels = if head.kind.task().has_labels() { config.labels()?.len() } else { 0 };
    let head = head.kind.init(backbone.hidden_size(), labels, device);
    Ok(Model::new(backbone, Some(head)))
}
