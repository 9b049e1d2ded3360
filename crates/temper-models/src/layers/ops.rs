//! Operations that a backend may fuse. Every brick calls these, so that a fused form serves all.
//!
//! Under autodiff Burn decomposes softmax, layer norm and attention into primitives; without it
//! (frozen layers, evaluation) its native kernels run.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor, activation, module};

use super::Dropout;
use crate::Mode;

/// `x W + b`.
///
/// # Shapes
/// - x: `[..., in]`, weight: `[in, out]`, bias: `[out]`; output: `[..., out]`
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    module::linear(x, weight, bias)
}

/// Layer normalisation over the last axis, with the biased variance (Ba et al. 2016).
///
/// # Shapes
/// - x: `[..., width]`, gain and bias: `[width]`; output: as x
pub fn layer_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    module::layer_norm(x, gain, Some(bias), epsilon)
}

/// Scaled dot-product attention (Vaswani et al. 2017) with dropout on the weights.
///
/// Every row must have at least one position that is not padding.
///
/// # Shapes
/// - query, key, value: `[batch, heads, seq, head]`
/// - padding: `[batch, seq]`, true where a key must not be seen
/// - output: `[batch, heads, seq, head]`
pub fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    padding: Option<Tensor<2, Bool>>,
    dropout: &Dropout,
    mode: Mode,
) -> Tensor<4> {
    let [batch, heads, seq, head] = query.dims();
    // [batch, seq] -> [batch, heads, seq, seq]: a key is hidden from every query.
    let mask = padding.map(|padding| padding.reshape([batch, 1, 1, seq]).expand([batch, heads, seq, seq]));
    let drops = mode == Mode::Train && dropout.probability > 0.0;
    if !query.is_autodiff() && !drops {
        return module::attention(query, key, value, mask, None, AttentionModuleOptions::default());
    }
    let scores = query.matmul(key.swap_dims(2, 3)) / (head as f64).sqrt();
    let scores = match mask {
        Some(mask) => scores.mask_fill(mask, f32::MIN),
        None => scores,
    };
    dropout.forward(activation::softmax(scores, 3), mode).matmul(value)
}
