//! The fused operations as an extension of Burn's dispatch.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, backend_extension};

use crate::backend::CpuBackend;
use crate::optional::Optional;
use crate::{Attention, attention, cross_entropy, embedding};

/// Operations that backends in host memory have in one piece, with a backward pass of their own.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait KernelOps: Backend {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        #[extension_type] relative: Optional<Self>,
        call: Arc<Attention>,
    ) -> FloatTensor<Self>;

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> KernelOps for B {
    fn fused_attention(
        query: FloatTensor<B>,
        key: FloatTensor<B>,
        value: FloatTensor<B>,
        relative: Optional<B>,
        call: Arc<Attention>,
    ) -> FloatTensor<B> {
        attention::forward::<B>(query, key, value, relative.into_option(), call)
    }

    fn fused_embedding(table: FloatTensor<B>, ids: IntTensor<B>) -> FloatTensor<B> {
        embedding::forward::<B>(table, ids)
    }

    fn fused_cross_entropy(logits: FloatTensor<B>, targets: IntTensor<B>) -> FloatTensor<B> {
        cross_entropy::forward::<B>(logits, targets)
    }
}

impl<B: CpuBackend, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        relative: Optional<Self>,
        call: Arc<Attention>,
    ) -> FloatTensor<Self> {
        attention::forward_tracked::<B, C>(query, key, value, relative.into_option(), call)
    }

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        embedding::forward_tracked::<B, C>(table, ids)
    }

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        cross_entropy::forward_tracked::<B, C>(logits, targets)
    }
}
