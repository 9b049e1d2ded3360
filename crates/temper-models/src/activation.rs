use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// An activation function, by Hugging Face's name for it (`hidden_act` and its like).
///
/// Source: transformers 5.23, `activations.py`. A name that is not listed is refused when the
/// configuration is read: a silent default would be a wrong number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// The exact form, `x Φ(x)`.
    #[serde(rename = "gelu")]
    Gelu,
    /// The tanh form that GPT-2 was trained with.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
    /// `x σ(x)`, also called swish.
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    /// The hyperbolic tangent.
    #[serde(rename = "tanh")]
    Tanh,
}

impl Activation {
    /// Applies the function to every element.
    ///
    /// # Shapes
    /// - input and output: `[..., any]`
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Relu => activation::relu(x),
            Self::Silu => activation::silu(x),
            Self::Tanh => x.tanh(),
        }
    }
}

// Burn's gelu_approximate calls powf, which is slow and loses the sign of small inputs.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube * 0.044715) * SQRT_2_OVER_PI;
    x * 0.5 * (inner.tanh() + 1.0)
}
