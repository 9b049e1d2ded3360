//! The map to a vocabulary with its cross-entropy on GPUs: one operation that never holds the logits of all rows.

mod call;
mod kernels;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, FloatDType, Int, Tensor};

pub(crate) use call::Call;
use call::{Found, Operands};
use kernels::VocabularyKernels;

use crate::VocabularyWeights;
use crate::autodiff::record;
use crate::optional::Optional;

/// [`crate::vocabulary_loss`].
///
/// # Shapes
/// - x: `[rows, hidden]`, targets: `[rows]`; output: `[1]`
pub(crate) fn loss(
    x: Tensor<2>,
    map: VocabularyWeights,
    targets: Tensor<1, Int>,
    smoothing: f32,
) -> Tensor<1> {
    let call = Call::new(&x, &map, smoothing);
    Tensor::from_dispatch(Dispatch::gpu_vocabulary_loss(Operands::new(x, map, targets), call))
}

/// [`crate::vocabulary_scores`].
///
/// # Shapes
/// - x: `[rows, hidden]`, targets: `[rows]`; output: `[2, rows]`
pub(crate) fn scores(x: Tensor<2>, map: VocabularyWeights, targets: Tensor<1, Int>) -> Tensor<2> {
    let call = Call::new(&x, &map, 0.0);
    Tensor::from_dispatch(Dispatch::gpu_vocabulary_scores(Operands::new(x, map, targets), call))
}

/// The loss as one operation, with a backward pass of its own.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait LossOps: Backend {
    fn gpu_vocabulary_loss(#[extension_type] operands: Operands<Self>, call: Call) -> FloatTensor<Self>;
}

/// What an evaluation asks.
#[backend_extension(Cube)]
pub(crate) trait ScoreOps: Backend {
    fn gpu_vocabulary_scores(#[extension_type] operands: Operands<Self>, call: Call) -> FloatTensor<Self>;
}

impl LossOps for burn::backend::Cube {
    fn gpu_vocabulary_loss(operands: Operands<Self>, call: Call) -> FloatTensor<Self> {
        sum_of_losses::<Self>(Self::vocabulary_blocks(operands, call).scores)
    }
}

impl ScoreOps for burn::backend::Cube {
    fn gpu_vocabulary_scores(operands: Operands<Self>, call: Call) -> FloatTensor<Self> {
        Self::vocabulary_blocks(operands, call).scores
    }
}

/// `[2, rows]` -> `[1]`
fn sum_of_losses<B: Backend>(scores: FloatTensor<B>) -> FloatTensor<B> {
    let [_, rows] = scores.shape().dims();
    B::float_sum(B::float_slice(scores, &[(0..1).into(), (0..rows).into()]))
}

impl<B: VocabularyKernels, C: CheckpointStrategy> LossOps for Autodiff<B, C> {
    fn gpu_vocabulary_loss(operands: Operands<Self>, call: Call) -> FloatTensor<Self> {
        let Operands { x, weight, bias, targets } = operands;
        let bias = bias.into_option();
        let call = Call {
            wants_x: x.is_tracked(),
            wants_weight: weight.is_tracked(),
            wants_bias: bias.as_ref().is_some_and(|bias| bias.is_tracked()),
            ..call
        };
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.map(|bias| bias.into_parts()).unzip();
        let dtype = x.dtype();
        let operands = Operands { x, weight, bias: Optional::of(bias), targets };
        let Found { scores, of_x, of_weight, of_bias } = B::vocabulary_blocks(operands, call);
        let output = sum_of_losses::<B>(scores);
        let state = State { gradients: [of_x, of_weight, of_bias].map(Optional::into_option), dtype };
        match bias_node {
            Some(bias_node) => {
                record::<B, C, _, 3>(LossBackward, [x_node, weight_node, bias_node], state, output)
            }
            None => record::<B, C, _, 2>(LossBackward, [x_node, weight_node], state, output),
        }
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend> {
    /// Of the sum by x, weight and bias, in f32, as far as they are wanted: the forward pass has them.
    gradients: [Option<FloatTensor<B>>; 3],
    /// The type of x.
    dtype: DType,
}

/// Parents: x, weight, and the bias where there is one.
#[derive(Debug)]
struct LossBackward;

impl<B: Backend, const N: usize> Backward<B, N> for LossBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let State { gradients: [of_x, of_weight, of_bias], dtype } = ops.state;
        let factor = gradients.consume::<B>(&ops.node); // [1]
        let scaled = |gradient: FloatTensor<B>| {
            let ones = vec![1; gradient.shape().num_dims()];
            B::float_mul(gradient, B::float_reshape(factor.clone(), ones.into()))
        };
        let of_x = of_x.map(scaled).map(|gradient| match dtype {
            DType::BF16 => B::float_cast(gradient, FloatDType::BF16),
            _ => gradient,
        });
        let computed = [of_x, of_weight.map(scaled), of_bias.map(scaled)];
        for (parent, gradient) in ops.parents.into_iter().zip(computed) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}
