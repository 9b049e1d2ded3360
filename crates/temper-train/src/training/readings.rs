//! Losses and gradient norms that stay on the device until the host reads them.

use temper_freeze::{GradientNorms, GradientSquares};

use super::learner::StepOutput;

/// Maximum number of unread steps. Until they are read, the host prepares the next step while a GPU
/// still computes; what is wrong with a step is found that much later, but before anything is saved.
const UNREAD_AT_MOST: usize = 16;

/// A step, as the device knows it.
struct Unread {
    step: usize,
    output: StepOutput,
    squares: Option<GradientSquares>,
}

/// A step, as the host knows it.
pub(super) struct StepReading {
    /// Its number, counted from 1.
    pub(super) step: usize,
    /// Mean over the examples.
    pub(super) loss: f64,
    pub(super) tokens: usize,
    pub(super) norms: GradientNorms,
}

/// Steps whose loss and gradient norms are still on the device, in order.
#[derive(Default)]
pub(super) struct Unreads(Vec<Unread>);

impl Unreads {
    pub(super) fn add(&mut self, step: usize, output: StepOutput, squares: Option<GradientSquares>) {
        self.0.push(Unread { step, output, squares });
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= UNREAD_AT_MOST
    }

    /// Waits for the device.
    pub(super) fn read(&mut self) -> Vec<StepReading> {
        let read = |Unread { step, output, squares }| {
            let norms = squares.map(GradientSquares::read);
            StepReading {
                step,
                loss: f64::from(output.loss.into_scalar::<f32>()),
                tokens: output.tokens,
                norms: norms.unwrap_or(GradientNorms { each: Vec::new(), total: 0.0 }),
            }
        };
        self.0.drain(..).map(read).collect()
    }
}
