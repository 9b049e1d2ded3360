//! The same operations, composed from Burn's: for every backend without a fused form, and as the reference
//! for those that have one. bfloat16 is widened first: only products compute in it.

mod attention;
mod rectangle;

use burn::tensor::{Bool, DType, Distribution, FloatDType, Int, Tensor, activation, module};

pub use crate::lookup::composed as look_up;
pub use crate::split::split_product;
pub use attention::attention;
pub(crate) use rectangle::Rectangle;
#[cfg(feature = "gpu")]
pub(crate) use rectangle::rectangle_rows;

use crate::cpu::Dropout;
use crate::{Activation, Norm, Precision, Residual};

/// [`crate::linear`].
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[in, out]`, bias: `[out]`; output: `[rows, out]`
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    precision: Precision,
) -> Tensor<2> {
    let product = precision.product(x, weight);
    let dtype = product.dtype();
    let mut sums = widen(product);
    if let Some(bias) = bias {
        sums = sums + bias.unsqueeze();
    }
    if let Some(activation) = activation {
        sums = activate(sums, activation);
    }
    sums.cast(dtype)
}

/// f32 for bfloat16; other types stay.
pub fn widen<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.dtype() == DType::BF16 { x.cast(FloatDType::F32) } else { x }
}

/// [`crate::gate`].
///
/// # Shapes
/// - gate, up, output: `[rows, width]`
pub fn gate(gate: Tensor<2>, up: Tensor<2>, activation: Activation) -> Tensor<2> {
    let dtype = gate.dtype();
    (activate(widen(gate), activation) * widen(up)).cast(dtype)
}

/// An activation function, element by element.
///
/// # Shapes
/// - input and output: `[rows, width]`
pub fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Gelu => activation::gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu => activation::relu(x),
        Activation::Silu => activation::silu(x),
        Activation::Tanh => x.tanh(),
    }
}

// Burn's gelu_approximate calls powf, which is slow and loses the sign of small inputs.
fn gelu_tanh(x: Tensor<2>) -> Tensor<2> {
    const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube * 0.044715) * SQRT_2_OVER_PI;
    x * 0.5 * (inner.tanh() + 1.0)
}

/// [`crate::norm`].
///
/// # Shapes
/// - x, residual and output: `[rows, width]`, gain and bias: `[width]`
pub fn norm(
    x: Tensor<2>,
    residual: Option<Residual>,
    gain: Tensor<1>,
    bias: Option<Tensor<1>>,
    norm: Norm,
) -> Tensor<2> {
    let x = match residual {
        Some(Residual { tensor, dropout: Some(masks) }) => dropout(x, Some(tensor), masks),
        Some(Residual { tensor, dropout: None }) => widen(tensor) + widen(x),
        None => widen(x),
    };
    match norm {
        Norm::Layer { epsilon } => module::layer_norm(x, gain, bias, f64::from(epsilon)),
        Norm::Rms { epsilon } => {
            let mean_square = x.clone().square().mean_dim(1);
            let scaled = x * (mean_square + f64::from(epsilon)).sqrt().recip() * gain.unsqueeze();
            match bias {
                Some(bias) => scaled + bias.unsqueeze(),
                None => scaled,
            }
        }
    }
}

/// [`crate::dropout`]; the mask comes from the device's generator, not from the seed.
///
/// # Shapes
/// - x, residual and output: `[rows, width]`
pub fn dropout(x: Tensor<2>, residual: Option<Tensor<2>>, masks: Dropout) -> Tensor<2> {
    let dtype = x.dtype();
    let x = widen(x);
    let dropped = x.clone() * draw_mask(&x, masks);
    match residual {
        Some(residual) => widen(residual) + dropped,
        None => dropped.cast(dtype),
    }
}

/// Zero or `1 / (1 - p)` for every element.
fn draw_mask<const D: usize>(x: &Tensor<D>, masks: Dropout) -> Tensor<D> {
    let keep = 1.0 - f64::from(masks.probability);
    x.clone().without_autodiff().random_like(Distribution::Bernoulli(keep)) / keep
}

/// [`crate::rotate`], in f32; the output is of the type of x.
///
/// # Shapes
/// - x and output: `[rows, heads * head]`, cosine and sine: `[rows, pairs]`
pub fn rotate(x: Tensor<2>, cosine: &Tensor<2>, sine: &Tensor<2>, head: usize) -> Tensor<2> {
    let ([rows, width], [_, pairs], dtype) = (x.dims(), cosine.dims(), x.dtype());
    // [rows, heads * head] -> [rows, heads, head]
    let x = widen(x).reshape([rows, width / head, head]);
    let (first, second) = (x.clone().narrow(2, 0, pairs), x.clone().narrow(2, pairs, pairs));
    // [rows, pairs] -> [rows, 1, pairs]
    let [cosine, sine] = [cosine, sine].map(|table| table.clone().unsqueeze_dim::<3>(1));
    let mut parts =
        vec![first.clone() * cosine.clone() - second.clone() * sine.clone(), second * cosine + first * sine];
    if 2 * pairs < head {
        parts.push(x.narrow(2, 2 * pairs, head - 2 * pairs));
    }
    // [rows, heads, head] -> [rows, heads * head]
    Tensor::cat(parts, 2).reshape([rows, width]).cast(dtype)
}

/// [`crate::cross_entropy`].
///
/// # Shapes
/// - logits: `[rows, classes]`, targets: `[rows]`; output: `[rows]`
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let ignored: Tensor<1, Bool> = targets.clone().lower_elem(0);
    let targets = targets.clamp_min(0).unsqueeze_dim(1);
    // [rows, classes] -> [rows, 1] -> [rows]
    let losses = activation::log_softmax(widen(logits), 1).gather(1, targets).neg().squeeze_dim(1);
    losses.mask_fill(ignored, 0.0)
}
