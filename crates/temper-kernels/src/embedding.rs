//! Lookup of vectors by id.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::autodiff::record;
use crate::backend::{CpuBackend, is_fused};
use crate::cpu::{Lookup, embed, embed_backward};
use crate::{RowIndex, composed};

/// The rows of a table with the given ids.
///
/// # Shapes
/// - table: `[entries, width]`, ids: `[rows]`; output: `[rows, width]`
///
/// # Panics
/// When an id is not below `entries`.
pub fn embedding(table: Tensor<2>, ids: &RowIndex) -> Tensor<2> {
    if !is_fused(&table) {
        return composed::look_up(table, ids);
    }
    Tensor::from_dispatch(Dispatch::fused_embedding(table.into_dispatch(), ids.tensor().into_dispatch()))
}

fn ids<B: CpuBackend>(ids: IntTensor<B>) -> Vec<usize> {
    let ids = B::into_integers(ids).into_iter();
    ids.map(|id| usize::try_from(id).unwrap_or_else(|_| panic!("the id {id} is negative"))).collect()
}

fn look_up<B: CpuBackend>(table: &FloatTensor<B>, ids: &[usize]) -> FloatTensor<B> {
    let [_, width] = table.shape().dims();
    let values = embed(&[Lookup { table: &B::values(table), ids }], width);
    B::tensor(values, [ids.len(), width], &table.device())
}

/// The lookup as one operation, with a backward pass of its own.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait EmbeddingOps: Backend {
    fn fused_embedding(table: FloatTensor<Self>, tokens: IntTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> EmbeddingOps for B {
    fn fused_embedding(table: FloatTensor<B>, tokens: IntTensor<B>) -> FloatTensor<B> {
        look_up::<B>(&table, &ids::<B>(tokens))
    }
}

impl<B: CpuBackend, C: CheckpointStrategy> EmbeddingOps for Autodiff<B, C> {
    fn fused_embedding(table: FloatTensor<Self>, tokens: IntTensor<Self>) -> FloatTensor<Self> {
        let (table, table_node) = table.into_parts();
        let ids = ids::<B>(tokens);
        let output = look_up::<B>(&table, &ids);
        let state = State { ids: ids.into(), table: table.shape().dims() };
        record::<B, C, _, 1>(EmbeddingBackward, [table_node], state, output)
    }
}

#[derive(Clone, Debug)]
struct State {
    ids: Arc<[usize]>,
    /// Entries and width.
    table: [usize; 2],
}

/// Parent: the table.
#[derive(Debug)]
struct EmbeddingBackward;

impl<B: CpuBackend> Backward<B, 1> for EmbeddingBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let State { ids, table: [entries, width] } = ops.state;
        if let [Some(parent)] = ops.parents {
            let values = embed_backward(&ids, &B::values(&gradient), width, entries);
            gradients.register::<B>(parent.id, B::tensor(values, [entries, width], &gradient.device()));
        }
    }
}
