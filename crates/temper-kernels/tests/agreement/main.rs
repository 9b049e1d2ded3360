//! Every fused operation against its composed form: outputs and gradients.

#[path = "../common/mod.rs"]
mod common;

mod attention;
mod bfloat16;
mod dropout;
mod layers;
mod optimizer;
mod other_types;
mod rotation;
mod split;
mod threads;
mod vocabulary;

use burn::tensor::{Device, Tensor};
use common::{Operand, Outcome, assert_close, outcome};
use temper_kernels::Activation;

/// Rows and widths on and next to the edges of tiles.
const ROWS: [usize; 3] = [1, 7, 130];
const WIDTHS: [usize; 3] = [1, 33, 384];

const ACTIVATIONS: [Activation; 5] =
    [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh];

/// An operation and its composed form.
struct Pair<F, C> {
    name: String,
    fused: F,
    composed: C,
}

impl<F: Fn(&[Tensor<2>]) -> Tensor<2>, C: Fn(&[Tensor<2>]) -> Tensor<2>> Pair<F, C> {
    /// Compares them without autodiff, and with it.
    fn agree(&self, operands: &[Operand]) {
        let inference =
            operands.iter().map(|operand| Operand { tracked: false, ..*operand }).collect::<Vec<_>>();
        self.agree_on(&inference, &Device::flex());
        self.agree_on(operands, &Device::flex().autodiff());
    }

    /// Compares them for every choice of the operands that ask for a gradient.
    fn agree_for_every_choice(&self, operands: &[Operand]) {
        for choice in 0..1 << operands.len() {
            let operands = operands.iter().enumerate();
            let chosen: Vec<_> = operands
                .map(|(index, operand)| Operand { tracked: choice >> index & 1 == 1, ..*operand })
                .collect();
            self.agree(&chosen);
        }
    }

    fn agree_on(&self, operands: &[Operand], device: &Device) {
        let Outcome { output, gradients } = outcome(operands, device, &self.fused);
        let expected = outcome(operands, device, &self.composed);
        let name = format!("{} of {operands:?}", self.name);
        assert_close(&name, &output, &expected.output);
        let pairs = gradients.iter().zip(&expected.gradients).zip(operands);
        for (index, ((gradient, expected), operand)) in pairs.enumerate() {
            assert_eq!(gradient.is_some(), operand.tracked, "gradient {index} of {name}");
            if let Some(gradient) = gradient {
                // The composed form leaves an operand out of the graph where nothing depends on it.
                let zeros = vec![0.0; gradient.len()];
                let expected = expected.as_ref().unwrap_or(&zeros);
                assert_close(&format!("gradient {index} of {name}"), gradient, expected);
            }
        }
    }
}

/// `[1, width]` -> `[width]`
fn vector(tensor: &Tensor<2>) -> Tensor<1> {
    tensor.clone().reshape([tensor.dims()[1]])
}
