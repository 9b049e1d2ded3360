//! What the map to a vocabulary reads and gives on GPUs.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, ExtensionType};
use burn::tensor::{DType, Int, Tensor};

use crate::backend::largest_buffer;
use crate::linear::Map;
use crate::optional::{Optional, OptionalMetadata};
use crate::{Precision, VocabularyWeights};

/// Logits at once: 128 MiB in bfloat16.
const LOGITS: usize = 1 << 26;
/// Blocks have a multiple of so many rows: the longest side of a tile of products.
const ROWS: usize = 128;
/// The vocabulary is padded to a multiple of this: the products on tensor cores take aligned rows alone, and 50,257 is odd.
const COLUMNS: usize = 64;

/// All but the tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(super) map: Map,
    pub(super) is_transposed: bool,
    pub(super) rows: usize,
    pub(super) hidden: usize,
    pub(super) vocab: usize,
    /// Numbers that fit into one buffer of the device.
    pub(super) most_numbers: usize,
    pub(super) smoothing: f32,
    pub(super) soft_cap: Option<f32>,
    pub(super) wants_x: bool,
    pub(super) wants_weight: bool,
    pub(super) wants_bias: bool,
}

impl Call {
    /// A call that wants no gradients.
    pub(super) fn new(x: &Tensor<2>, map: &VocabularyWeights, smoothing: f32) -> Self {
        let ([rows, hidden], [first, second]) = (x.dims(), map.weight.dims());
        Self {
            // Gradients of x are added up in f32, and cast when they are whole.
            map: Map::plain(map.is_transposed, map.precision, DType::F32),
            is_transposed: map.is_transposed,
            rows,
            hidden,
            vocab: if map.is_transposed { first } else { second },
            most_numbers: largest_buffer(&x.device()) / size_of::<f32>(),
            smoothing,
            soft_cap: map.soft_cap,
            wants_x: false,
            wants_weight: false,
            wants_bias: false,
        }
    }

    pub(super) fn wants_gradients(&self) -> bool {
        self.wants_x || self.wants_weight || self.wants_bias
    }

    /// Columns of the logits.
    pub(super) fn padded_vocab(&self) -> usize {
        self.vocab.next_multiple_of(COLUMNS)
    }

    /// Rows of a block.
    pub(super) fn block(&self) -> usize {
        let rows = |logits: usize| logits / self.padded_vocab().max(1);
        (rows(LOGITS) / ROWS * ROWS).max(ROWS).min(rows(self.most_numbers)).max(1)
    }

    /// The axis of the weight along which the vocabulary lies.
    pub(super) fn vocab_axis(&self) -> usize {
        usize::from(!self.is_transposed)
    }

    pub(super) fn weight_shape(&self, vocab: usize) -> [usize; 2] {
        if self.is_transposed { [vocab, self.hidden] } else { [self.hidden, vocab] }
    }

    /// What products read.
    pub(super) fn factor_dtype(&self) -> DType {
        if self.map.precision() == Precision::Bf16 { DType::BF16 } else { DType::F32 }
    }
}

/// What it reads.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Operands<B: Backend> {
    /// `[rows, hidden]`
    pub(super) x: FloatTensor<B>,
    /// `[hidden, vocab]` or, transposed, `[vocab, hidden]`
    pub(super) weight: FloatTensor<B>,
    /// `[vocab]`
    #[extension_type]
    pub(super) bias: Optional<B>,
    /// `[rows]`
    pub(super) targets: IntTensor<B>,
}

impl Operands<Dispatch> {
    pub(super) fn new(x: Tensor<2>, map: VocabularyWeights, targets: Tensor<1, Int>) -> Self {
        Self {
            x: x.into_dispatch(),
            weight: map.weight.into_dispatch(),
            bias: map.bias.into(),
            targets: targets.into_dispatch(),
        }
    }
}

/// Scores, and the gradients that are wanted, all in f32.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Found<B: Backend> {
    /// `[2, rows]`: losses and hits
    pub(super) scores: FloatTensor<B>,
    /// `[rows, hidden]`
    #[extension_type]
    pub(super) of_x: Optional<B>,
    /// As the weight.
    #[extension_type]
    pub(super) of_weight: Optional<B>,
    /// `[vocab]`
    #[extension_type]
    pub(super) of_bias: Optional<B>,
}

pub(super) fn found_specs(call: &Call) -> FoundMetadata {
    let wanted = |is_wanted: bool, shape: &[usize]| match is_wanted {
        true => OptionalMetadata::Present(TensorSpec::new(shape.to_vec().into(), DType::F32)),
        false => OptionalMetadata::Absent,
    };
    FoundMetadata {
        scores: TensorSpec::new([2, call.rows].into(), DType::F32),
        of_x: wanted(call.wants_x, &[call.rows, call.hidden]),
        of_weight: wanted(call.wants_weight, &call.weight_shape(call.vocab)),
        of_bias: wanted(call.wants_bias, &[call.vocab]),
    }
}
