//! The map to a vocabulary with its cross-entropy.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::autodiff::record;
use crate::backend::CpuBackend;
#[cfg(feature = "gpu")]
use crate::backend::has_gpu_kernels;
use crate::cpu::{self, Rounding, VocabularyLoss, VocabularyMap, WantedGradients};
#[cfg(feature = "gpu")]
use crate::gpu_vocabulary;
use crate::optional::Optional;
use crate::{Precision, cross_entropy, linear, linear_transposed, widen};
#[cfg(feature = "gpu")]
use crate::{RowIndex, look_up};

/// What a row should be, and how strictly.
#[derive(Clone, Debug, PartialEq)]
pub struct VocabularyTargets {
    /// A row of the vocabulary for each row; negative where there is none (PyTorch's -100).
    pub ids: Arc<[i32]>,
    /// The share of a target that is spread evenly over the vocabulary.
    pub smoothing: f32,
}

/// The weights of a map to a vocabulary.
#[derive(Clone, Debug)]
pub struct VocabularyWeights {
    /// `[hidden, vocab]`, or `[vocab, hidden]` where it is the token embedding.
    pub weight: Tensor<2>,
    /// Whether it is the latter.
    pub is_transposed: bool,
    /// `[vocab]`
    pub bias: Option<Tensor<1>>,
    /// What its products compute in.
    pub precision: Precision,
    /// Logits are `cap tanh(logit / cap)` (Gemma 2).
    pub soft_cap: Option<f32>,
}

impl VocabularyWeights {
    /// `x W + b`, in f32, capped where there is a cap.
    ///
    /// # Shapes
    /// - x: `[rows, hidden]`; output: `[rows, vocab]`
    pub fn logits(self, x: Tensor<2>) -> Tensor<2> {
        let Self { weight, is_transposed, bias, precision, soft_cap } = self;
        let logits = widen(match is_transposed {
            true => linear_transposed(x, weight, bias, precision),
            false => linear(x, weight, bias, None, precision),
        });
        match soft_cap {
            None => logits,
            Some(cap) => (logits / f64::from(cap)).tanh() * f64::from(cap),
        }
    }

    /// The tensors and the rest, for the operations on CPUs.
    fn into_call(self, targets: &VocabularyTargets) -> (Tensor<2>, Option<Tensor<1>>, Arc<Call>) {
        let Self { weight, is_transposed, bias, precision, soft_cap } = self;
        let (targets, rounding) = (targets.clone(), precision.rounding());
        (weight, bias, Arc::new(Call { targets, is_transposed, rounding, soft_cap }))
    }
}

/// The cross-entropy of rows in nats, summed over those with a target.
///
/// It is one operation that never holds the logits of all rows, on the CPU ([`cpu::vocabulary_loss`]) and on GPUs.
/// Elsewhere it is composed.
///
/// # Shapes
/// - x: `[rows, hidden]`; output: `[1]`
pub fn vocabulary_loss(x: Tensor<2>, map: VocabularyWeights, targets: &VocabularyTargets) -> Tensor<1> {
    #[cfg(feature = "gpu")]
    if has_gpu_kernels(&x) {
        // As on CPUs, rows without a target cost nothing.
        let rows: Vec<i32> =
            (0..targets.ids.len() as i32).filter(|&row| targets.ids[row as usize] >= 0).collect();
        if !rows.is_empty() {
            let wanted = rows.iter().map(|&row| targets.ids[row as usize]).collect();
            let targets = VocabularyTargets { ids: wanted, smoothing: targets.smoothing };
            let device = x.device();
            let x = look_up(x, &RowIndex::new(rows, &device));
            let ids = ids(&targets, &device);
            return gpu_vocabulary::loss(x, map, ids, targets.smoothing);
        }
    }
    if !map.precision.is_fused(&x) {
        return composed_loss(map.logits(x), targets);
    }
    let (weight, bias, call) = map.into_call(targets);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_vocabulary_loss(x, weight, bias.into(), call))
}

/// The same of logits that are there.
///
/// # Shapes
/// - logits: `[rows, vocab]`; output: `[1]`
pub fn composed_loss(logits: Tensor<2>, targets: &VocabularyTargets) -> Tensor<1> {
    let ids = ids(targets, &logits.device());
    if targets.smoothing == 0.0 {
        return cross_entropy(logits, ids).sum();
    }
    let smoothing = f64::from(targets.smoothing);
    // -mean(log softmax) is the cross-entropy of an even distribution.
    let even = burn::tensor::activation::log_softmax(logits.clone(), 1).mean_dim(1).neg().squeeze_dim::<1>(1);
    let even = even.mask_fill(ids.clone().lower_elem(0), 0.0);
    (cross_entropy(logits, ids) * (1.0 - smoothing) + even * smoothing).sum()
}

/// The loss of each row without smoothing, and 1 where its target has the highest logit (of equal ones as the first), else 0;
/// 0 for both where there is no target. What an evaluation asks: it has no gradients.
///
/// # Shapes
/// - x: `[rows, hidden]`; output: `[2, rows]`
pub fn vocabulary_scores(x: Tensor<2>, map: VocabularyWeights, targets: &VocabularyTargets) -> Tensor<2> {
    let x = x.without_autodiff();
    let map = VocabularyWeights {
        weight: map.weight.without_autodiff(),
        bias: map.bias.map(Tensor::without_autodiff),
        ..map
    };
    #[cfg(feature = "gpu")]
    if has_gpu_kernels(&x) && x.dims()[0] > 0 {
        let ids = ids(targets, &x.device());
        return gpu_vocabulary::scores(x, map, ids);
    }
    if !map.precision.is_fused(&x) {
        return composed_scores(map.logits(x), targets);
    }
    let targets = VocabularyTargets { ids: targets.ids.clone(), smoothing: 0.0 };
    let (weight, bias, call) = map.into_call(&targets);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_vocabulary_scores(x, weight, bias.into(), call))
}

/// The same of logits that are there.
///
/// # Shapes
/// - logits: `[rows, vocab]`; output: `[2, rows]`
pub fn composed_scores(logits: Tensor<2>, targets: &VocabularyTargets) -> Tensor<2> {
    let ids = ids(targets, &logits.device());
    let losses = cross_entropy(logits.clone(), ids.clone());
    let best: Tensor<1, Int> = logits.argmax(1).squeeze_dim(1);
    Tensor::stack(vec![losses, best.equal(ids).float()], 0)
}

fn ids(targets: &VocabularyTargets, device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(targets.ids.to_vec(), [targets.ids.len()]), device)
}

/// The arguments of a backend's operation besides its tensors.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    targets: VocabularyTargets,
    is_transposed: bool,
    rounding: Rounding,
    soft_cap: Option<f32>,
}

/// The loss as one operation, with a backward pass of its own.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait VocabularyOps: Backend {
    fn fused_vocabulary_loss(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        call: Arc<Call>,
    ) -> FloatTensor<Self>;
}

/// What an evaluation asks, of backends in host memory.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub(crate) trait VocabularyScores: Backend {
    fn fused_vocabulary_scores(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        call: Arc<Call>,
    ) -> FloatTensor<Self>;
}

impl<B: CpuBackend> VocabularyOps for B {
    fn fused_vocabulary_loss(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        call: Arc<Call>,
    ) -> FloatTensor<B> {
        let found = compute::<B>(&x, &weight, bias.into_option().as_ref(), &call, WantedGradients::default());
        B::tensor(vec![sum(&found.losses)], [1], &x.device())
    }
}

impl<B: CpuBackend> VocabularyScores for B {
    fn fused_vocabulary_scores(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        call: Arc<Call>,
    ) -> FloatTensor<B> {
        let found = compute::<B>(&x, &weight, bias.into_option().as_ref(), &call, WantedGradients::default());
        let rows = found.losses.len();
        let hits = found.hits.iter().map(|&is_hit| if is_hit { 1.0 } else { 0.0 });
        B::tensor(found.losses.iter().copied().chain(hits).collect(), [2, rows], &x.device())
    }
}

fn compute<B: CpuBackend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    call: &Call,
    wanted: WantedGradients,
) -> VocabularyLoss {
    let ([_, hidden], [first, second]) = (x.shape().dims(), weight.shape().dims());
    let (values, weights, bias) = (B::values(x), B::values(weight), bias.map(B::values));
    let map = VocabularyMap {
        weight: &weights,
        is_transposed: call.is_transposed,
        bias: bias.as_deref(),
        hidden,
        vocab: if call.is_transposed { first } else { second },
        rounding: call.rounding,
        soft_cap: call.soft_cap,
    };
    let VocabularyTargets { ids, smoothing } = &call.targets;
    let targets: Vec<Option<usize>> = ids.iter().map(|&id| usize::try_from(id).ok()).collect();
    cpu::vocabulary_loss(&values, &map, &targets, *smoothing, wanted)
}

/// In f64: a batch has thousands of rows.
fn sum(losses: &[f32]) -> f32 {
    losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() as f32
}

impl<B: CpuBackend, C: CheckpointStrategy> VocabularyOps for Autodiff<B, C> {
    fn fused_vocabulary_loss(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        call: Arc<Call>,
    ) -> FloatTensor<Self> {
        let bias = bias.into_option();
        let wanted = WantedGradients {
            x: x.is_tracked(),
            weight: weight.is_tracked(),
            bias: bias.as_ref().is_some_and(|bias| bias.is_tracked()),
        };
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.map(|bias| bias.into_parts()).unzip();
        let found = compute::<B>(&x, &weight, bias.as_ref(), &call, wanted);
        let device = x.device();
        let output = B::tensor(vec![sum(&found.losses)], [1], &device);
        let gradients = [
            (wanted.x, found.x, x.shape()),
            (wanted.weight, found.weight, weight.shape()),
            (wanted.bias, found.bias, [weight.shape().num_elements() / x.shape()[1].max(1)].into()),
        ];
        let gradients =
            gradients.map(|(wanted, values, shape)| wanted.then(|| B::tensor(values, shape, &device)));
        match bias_node {
            Some(bias_node) => record::<B, C, _, 3>(
                VocabularyBackward,
                [x_node, weight_node, bias_node],
                State { gradients },
                output,
            ),
            None => {
                record::<B, C, _, 2>(VocabularyBackward, [x_node, weight_node], State { gradients }, output)
            }
        }
    }
}

/// Gradients of the sum by x, weight and bias, as far as they are wanted: the forward pass has them.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    gradients: [Option<FloatTensor<B>>; 3],
}

/// Parents: x, weight, and the bias where there is one.
#[derive(Debug)]
struct VocabularyBackward;

impl<B: CpuBackend, const N: usize> Backward<B, N> for VocabularyBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let factor = B::values(&gradients.consume::<B>(&ops.node))[0];
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state.gradients) {
            let (Some(parent), Some(gradient)) = (parent, gradient) else { continue };
            let (shape, device) = (gradient.shape(), gradient.device());
            let mut values = B::into_values(gradient);
            cpu::scale(&mut values, factor);
            gradients.register::<B>(parent.id, B::tensor(values, shape, &device));
        }
    }
}
