//! Activation functions by name.

use serde::{Deserialize, Serialize};

/// An activation function, by Hugging Face's name for it (`hidden_act` and its like).
///
/// Source: transformers 5.23, `activations.py`. A name that is not listed is refused when the
/// configuration is read: a silent default would be a wrong number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
