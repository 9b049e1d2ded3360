//! Gradient checkpointing: what a layer computes inside is not kept for the backward pass but computed again
//! there (Chen et al. 2016, arXiv 1604.06174). transformers' `gradient_checkpointing`, as of 5.23, does so layer
//! by layer, too.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};

/// The parts of a training pass that its backward pass computes again, first to last.
///
/// A batch that carries a tape ([`crate::TokenBatch::with_tape`]) leads through the layers without a graph; each
/// layer's output is kept and nothing else of it. [`Tape::backward`] goes back the same way. A tape serves any
/// number of passes, one after the other.
///
/// Gradients are those of the whole graph, up to the order of sums where several layers read the same. Dropout
/// masks are the same in both forward passes: fused operations draw them from the seed in [`crate::Mode`]; the
/// others draw from the device's generator, which a pass with a tape seeds again before each layer.
#[derive(Clone, Default)]
pub struct Tape {
    segments: Arc<Mutex<Vec<Segment>>>,
}

/// A part of a pass.
struct Segment {
    /// What it gave: a leaf of the graph above.
    output: Tensor<2>,
    /// The gradient of that, as far as the backward pass has come.
    gradient: Option<Tensor<2>>,
    /// Gives the output once more, with the graph below it down to other leaves.
    recompute: Box<dyn FnOnce() -> Tensor<2> + Send>,
}

impl Tape {
    /// The gradients of a module's parameters, in a pass that the tape was on.
    ///
    /// # Shapes
    /// - loss: `[1]`, computed from that pass
    ///
    /// # Panics
    /// When nothing that the loss depends on asks for a gradient, as Burn's own `backward` does.
    pub fn backward<M: Module>(&self, loss: Tensor<1>, module: &M) -> GradientsParams {
        let mut segments = std::mem::take(&mut *self.segments());
        let mut sum = GradientsAccumulator::new();
        let mut collect = |mut gradients: Gradients, below: &mut [Segment]| {
            below.iter_mut().for_each(|segment| segment.pick_up(&mut gradients));
            sum.accumulate(module, GradientsParams::from_grads(gradients, module));
        };
        let gradients = loss.backward();
        drop(loss);
        collect(gradients, &mut segments);
        // Whatever reads an output is above it: its gradient is complete when its turn comes.
        while let Some(Segment { gradient, recompute, .. }) = segments.pop() {
            let Some(gradient) = gradient else { continue };
            let output = recompute();
            if output.is_tracked() {
                // Burn begins a backward pass at a single number: this one has the gradient that is wanted.
                let weighted = (output * gradient.autodiff()).sum();
                collect(weighted.backward(), &mut segments);
            }
        }
        sum.grads()
    }

    /// Notes a part of the pass, and gives its output as the parts above are to read it.
    ///
    /// # Shapes
    /// - output, what `recompute` gives, and the result: `[rows, width]`
    pub(crate) fn push(
        &self,
        output: Tensor<2>,
        recompute: impl FnOnce() -> Tensor<2> + Send + 'static,
    ) -> Tensor<2> {
        let output = output.autodiff().require_grad();
        let segment = Segment { output: output.clone(), gradient: None, recompute: Box::new(recompute) };
        self.segments().push(segment);
        output
    }

    /// Cuts a tensor off its graph, whose part of the backward pass waits until the parts above are through: Burn
    /// uses a graph up in one backward pass, and every layer has its own. Leaves, and what needs no gradient,
    /// stay what they are.
    ///
    /// # Shapes
    /// - x and output: `[rows, width]`
    pub(crate) fn cut(&self, x: Tensor<2>) -> Tensor<2> {
        if !x.is_tracked() || x.is_require_grad() {
            return x;
        }
        self.push(x.clone().without_autodiff(), move || x)
    }

    fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    fn pick_up(&mut self, gradients: &mut Gradients) {
        let Some(new) = self.output.grad_remove(gradients) else { return };
        self.gradient = Some(match self.gradient.take() {
            Some(known) => known + new,
            None => new,
        });
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tape").field("segments", &self.segments().len()).finish()
    }
}
