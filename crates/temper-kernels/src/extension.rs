//! The fused operations as an extension of Burn's dispatch.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, backend_extension};

use crate::backend::CpuBackend;
use crate::cpu::Dropout;
use crate::linear::Storage;
use crate::optional::Optional;
use crate::{Activation, Attention, Norm, attention, cross_entropy, dropout, embedding, gate, linear, norm};

/// Operations that backends in host memory have in one piece, with a backward pass of their own.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait KernelOps: Backend {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        activation: Option<Activation>,
        storage: Storage,
    ) -> FloatTensor<Self>;

    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        #[extension_type] relative: Optional<Self>,
        call: Arc<Attention>,
    ) -> FloatTensor<Self>;

    fn fused_norm(
        x: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        gain: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self>;

    fn fused_dropout(
        x: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        dropout: Dropout,
    ) -> FloatTensor<Self>;

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;
}

impl<B: CpuBackend> KernelOps for B {
    fn fused_linear(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        activation: Option<Activation>,
        storage: Storage,
    ) -> FloatTensor<B> {
        linear::forward::<B>(x, weight, bias.into_option(), activation, storage)
    }

    fn fused_gate(gate: FloatTensor<B>, up: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
        gate::forward::<B>(gate, up, activation)
    }

    fn fused_attention(
        query: FloatTensor<B>,
        key: FloatTensor<B>,
        value: FloatTensor<B>,
        relative: Optional<B>,
        call: Arc<Attention>,
    ) -> FloatTensor<B> {
        attention::forward::<B>(query, key, value, relative.into_option(), call)
    }

    fn fused_norm(
        x: FloatTensor<B>,
        residual: Optional<B>,
        gain: FloatTensor<B>,
        bias: Optional<B>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<B> {
        norm::forward::<B>(x, residual.into_option(), gain, bias.into_option(), norm, dropout)
    }

    fn fused_dropout(x: FloatTensor<B>, residual: Optional<B>, dropout: Dropout) -> FloatTensor<B> {
        dropout::forward::<B>(x, residual.into_option(), dropout)
    }

    fn fused_embedding(table: FloatTensor<B>, ids: IntTensor<B>) -> FloatTensor<B> {
        embedding::forward::<B>(table, ids)
    }

    fn fused_cross_entropy(logits: FloatTensor<B>, targets: IntTensor<B>) -> FloatTensor<B> {
        cross_entropy::forward::<B>(logits, targets)
    }
}

impl<B: CpuBackend, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        activation: Option<Activation>,
        storage: Storage,
    ) -> FloatTensor<Self> {
        linear::forward_tracked::<B, C>(x, weight, bias.into_option(), activation, storage)
    }

    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        gate::forward_tracked::<B, C>(gate, up, activation)
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        relative: Optional<Self>,
        call: Arc<Attention>,
    ) -> FloatTensor<Self> {
        attention::forward_tracked::<B, C>(query, key, value, relative.into_option(), call)
    }

    fn fused_norm(
        x: FloatTensor<Self>,
        residual: Optional<Self>,
        gain: FloatTensor<Self>,
        bias: Optional<Self>,
        norm: Norm,
        dropout: Option<Dropout>,
    ) -> FloatTensor<Self> {
        norm::forward_tracked::<B, C>(x, residual.into_option(), gain, bias.into_option(), norm, dropout)
    }

    fn fused_dropout(x: FloatTensor<Self>, residual: Optional<Self>, dropout: Dropout) -> FloatTensor<Self> {
        dropout::forward_tracked::<B, C>(x, residual.into_option(), dropout)
    }

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        embedding::forward_tracked::<B, C>(table, ids)
    }

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        cross_entropy::forward_tracked::<B, C>(logits, targets)
    }
}
