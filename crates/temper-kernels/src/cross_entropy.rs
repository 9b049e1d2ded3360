//! Softmax cross-entropy.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Int, Tensor};

use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};
use crate::composed;
use crate::cpu;

/// The cross-entropy in nats of every row; zero, with no gradient, where the target is negative
/// (PyTorch's -100).
///
/// # Shapes
/// - logits: `[rows, classes]`, targets: `[rows]`, each below `classes`; output: `[rows]`
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    if !is_fused(&logits) {
        return composed::cross_entropy(logits, targets);
    }
    Tensor::from_dispatch(Dispatch::fused_cross_entropy(logits.into_dispatch(), targets.into_dispatch()))
}

fn targets<B: CpuBackend>(targets: IntTensor<B>) -> Vec<Option<usize>> {
    B::into_integers(targets).into_iter().map(|target| usize::try_from(target).ok()).collect()
}

/// The cross-entropy as one operation, with a backward pass of its own.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait CrossEntropyOps: Backend {
    fn fused_cross_entropy(logits: FloatTensor<Self>, goals: IntTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> CrossEntropyOps for B {
    fn fused_cross_entropy(logits: FloatTensor<B>, goals: IntTensor<B>) -> FloatTensor<B> {
        let [rows, _] = logits.shape().dims();
        let computed = cpu::cross_entropy(&B::values(&logits), &targets::<B>(goals));
        B::tensor(computed.losses, [rows], &logits.device())
    }
}

impl<B: CpuBackend, C: CheckpointStrategy> CrossEntropyOps for Autodiff<B, C> {
    fn fused_cross_entropy(logits: FloatTensor<Self>, goals: IntTensor<Self>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let [rows, _] = logits.shape().dims();
        let targets = targets::<B>(goals);
        let computed = cpu::cross_entropy(&B::values(&logits), &targets);
        let output = B::tensor(computed.losses, [rows], &logits.device());
        let state = State { logits, targets: targets.into(), log_sum_exp: computed.log_sum_exp.into() };
        record::<B, C, _, 1>(CrossEntropyBackward, [node], state, output)
    }
}

#[derive(Clone, Debug)]
struct State<B: CpuBackend> {
    logits: FloatTensor<B>,
    targets: Arc<[Option<usize>]>,
    log_sum_exp: Arc<[f32]>,
}

/// Parent: the logits.
#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: CpuBackend> Backward<B, 1> for CrossEntropyBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let State { logits, targets, log_sum_exp } = ops.state;
        if let [Some(parent)] = ops.parents {
            let (values, weights) = (B::values(&logits), B::values(&gradient));
            let values = cpu::cross_entropy_backward(&values, &targets, &log_sum_exp, &weights);
            gradients.register::<B>(parent.id, B::tensor(values, logits.shape(), &logits.device()));
        }
    }
}
