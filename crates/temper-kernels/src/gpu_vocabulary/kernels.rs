//! The pass over blocks of rows: logits, losses, and what the backward pass would compute of the same logits.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::{DType, FloatDType, Slice};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::call::{Call, Found, Operands, found_specs};
use crate::gpu::{Losses, empty, zeros};
use crate::linear::LinearKernels;
use crate::optional::Optional;

/// The whole operation.
#[backend_extension(Cube, Fusion)]
pub(crate) trait VocabularyKernels: Backend {
    #[fusion(meta = |_, call| found_specs(call))]
    fn vocabulary_blocks(#[extension_type] operands: Operands<Self>, call: Call) -> Found<Self>;
}

impl VocabularyKernels for CubeBackend {
    fn vocabulary_blocks(operands: Operands<Self>, call: Call) -> Found<Self> {
        let Operands { x, weight, bias, targets } = operands;
        let x = in_type(x, call.factor_dtype());
        let weight = padded(in_type(weight, call.factor_dtype()), call.vocab_axis(), &call);
        let bias = bias.into_option().map(|bias| padded(bias, 0, &call));
        let scores = empty(&x, [2, call.rows], DType::F32);
        let Call { vocab, smoothing, soft_cap, .. } = call;
        let losses = Losses { targets: &targets, scores: &scores, vocab, smoothing, soft_cap };
        let mut gradients = Gradients::default();
        for first in (0..call.rows).step_by(call.block()) {
            let rows = first..(first + call.block()).min(call.rows);
            let x = Self::float_slice(x.clone(), &[rows.into(), (0..call.hidden).into()]);
            // [rows of the block, hidden] -> [rows of the block, padded vocabulary]
            let (logits, _) =
                Self::linear_forward(x.clone(), weight.clone(), Optional::of(bias.clone()), call.map);
            losses.score(&logits, first, call.wants_gradients());
            if call.wants_gradients() {
                gradients.add(x, logits, &weight, &call);
            }
        }
        gradients.found(scores, &call)
    }
}

fn in_type(tensor: CubeTensor, dtype: DType) -> CubeTensor {
    match dtype {
        DType::BF16 => CubeBackend::float_cast(tensor, FloatDType::BF16),
        _ => CubeBackend::float_cast(tensor, FloatDType::F32),
    }
}

/// With zeros behind the vocabulary.
fn padded(tensor: CubeTensor, axis: usize, call: &Call) -> CubeTensor {
    let padding = call.padded_vocab() - call.vocab;
    if padding == 0 {
        return tensor;
    }
    let mut shape = tensor.meta.shape().as_slice().to_vec();
    shape[axis] = padding;
    let zeros = zeros(&tensor, shape);
    CubeBackend::float_cat(vec![tensor, zeros], axis)
}

/// The gradients of the blocks so far.
#[derive(Default)]
struct Gradients {
    /// Of the rows of each block.
    x: Vec<CubeTensor>,
    weight: Option<CubeTensor>,
    bias: Option<CubeTensor>,
}

impl Gradients {
    /// Adds those of a block.
    fn add(&mut self, x: CubeTensor, of_logits: CubeTensor, weight: &CubeTensor, call: &Call) {
        if call.wants_x {
            let of_x = CubeBackend::linear_gradient_of_x(of_logits.clone(), weight.clone(), call.map);
            self.x.push(of_x);
        }
        if call.wants_bias {
            let of_bias = CubeBackend::linear_gradient_of_bias(of_logits.clone());
            self.bias = Some(sum(self.bias.take(), of_bias));
        }
        if call.wants_weight {
            let of_weight = CubeBackend::linear_gradient_of_weight(x, of_logits, call.map);
            self.weight = Some(sum(self.weight.take(), of_weight));
        }
    }

    /// All of them, without the padding.
    fn found(self, scores: CubeTensor, call: &Call) -> Found<CubeBackend> {
        let cut = |tensor: FloatTensor<CubeBackend>, axis: usize| {
            let mut ranges: Vec<Slice> =
                tensor.meta.shape().as_slice().iter().map(|&len| (0..len).into()).collect();
            ranges[axis] = (0..call.vocab).into();
            CubeBackend::float_slice(tensor, &ranges)
        };
        let of_x = match self.x.len() {
            0 => None,
            _ => Some(CubeBackend::float_cat(self.x, 0)),
        };
        Found {
            scores,
            of_x: Optional::of(of_x),
            of_weight: Optional::of(self.weight.map(|weight| cut(weight, call.vocab_axis()))),
            of_bias: Optional::of(self.bias.map(|bias| cut(bias, 0))),
        }
    }
}

fn sum(so_far: Option<CubeTensor>, block: CubeTensor) -> CubeTensor {
    match so_far {
        Some(so_far) => CubeBackend::float_add(so_far, block),
        None => block,
    }
}
