//! Layers one after the other. Those of the frozen lower part run without autodiff: no graph is kept
//! for them, and Burn's fused kernels serve them.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::{Cache, Encoded, LayerCache, LayerRows, StackRows};
use crate::{Mode, Tape, TokenBatch};

/// A layer of a stack.
pub trait Layer: Module {
    /// # Shapes
    /// - x: `[tokens, hidden]`; output: `[rows, hidden]`
    fn forward(
        &self,
        x: Tensor<2>,
        rows: &LayerRows,
        encoded: Option<&Encoded>,
        cache: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2>;

    /// Whether anything in it drops out in training; `true` where a layer does not say.
    fn drops_out(&self) -> bool {
        true
    }

    /// Whether it matters where a token is among the others, besides what is rotated; `true` where a layer does not say.
    /// Of tokens chosen anywhere such a layer computes all.
    fn depends_on_position(&self) -> bool {
        true
    }
}

/// What one pass through a stack has besides its input.
pub struct StackPass<'a> {
    /// The tokens to compute.
    pub rows: &'a StackRows,
    /// An encoder's output, for a decoder with cross-attention.
    pub encoded: Option<&'a Encoded>,
    /// What was read before.
    pub cache: Option<&'a mut Cache>,
    /// Whether dropout is active.
    pub mode: Mode,
    /// Is shown the input and the output of every layer.
    pub watch: &'a mut dyn FnMut(&Tensor<2>),
    /// Layers, counted from the bottom, to compute at most.
    pub until: Option<usize>,
}

/// Runs layers, the last one on the wanted rows alone. A batch that carries the state of the lowest ones is
/// not embedded, and they are not run.
///
/// With a tape, layers that the backward pass goes through are noted there and leave no graph; without autodiff,
/// or with a cache, there is nothing to note.
///
/// # Shapes
/// - what is embedded: `[tokens, hidden]`; output: `[rows, hidden]`
pub fn run_layers<L: Layer + 'static>(
    layers: &[L],
    embed: impl FnOnce() -> Tensor<2>,
    batch: &TokenBatch,
    pass: StackPass<'_>,
) -> Tensor<2> {
    let StackPass { rows, encoded, mut cache, mode, watch, until } = pass;
    let (first, mut x) = match batch.trunk() {
        Some(trunk) => (trunk.depth, trunk.hidden.clone()),
        None => (0, embed()),
    };
    let tape = batch.tape().filter(|_| cache.is_none());
    let cut = tape.map(|tape| (rows.cut(tape), encoded.map(|encoded| encoded.cut(tape))));
    let (rows, encoded) = match &cut {
        Some((rows, encoded)) => (rows, encoded.as_ref()),
        None => (rows, encoded),
    };
    if let Some(tape) = tape {
        x = tape.cut(x);
    }
    watch(&x);
    let tracked = rows.is_autodiff() || encoded.is_some_and(|encoded| encoded.hidden.is_autodiff());
    for (index, layer) in layers.iter().enumerate().take(until.unwrap_or(layers.len())).skip(first) {
        let is_last = index + 1 == layers.len();
        let wanted_after = is_last && rows.wanted.layout.is_scattered() && layer.depends_on_position();
        let wanted = &rows.wanted;
        let rows = if is_last && !wanted_after { wanted } else { &rows.all };
        let cache = cache.as_deref_mut().map(|cache| cache.layer(index));
        let frozen = is_frozen(layer);
        let mode = mode.child(index + 1).of_part(frozen);
        // A tensor without autodiff means that everything below is frozen. In the first layer that
        // trains, its parameters lift the result back.
        x = if !tracked && !x.is_autodiff() && frozen {
            layer.valid().forward(x, rows, encoded, cache, mode)
        } else if let Some(tape) = tape {
            forward_on_tape(layer, x, rows, encoded, mode, tape)
        } else {
            layer.forward(x, rows, encoded, cache, mode)
        };
        if wanted_after {
            x = wanted.select(x);
        }
        watch(&x);
    }
    if let Some(cache) = cache {
        cache.advance(&batch.sequences);
    }
    if layers.is_empty() { rows.wanted.select(x) } else { x }
}

/// Runs a layer without a graph, and notes how to run it with one.
///
/// # Shapes
/// - x: `[tokens, hidden]`; output: `[rows, hidden]`
fn forward_on_tape<L: Layer + 'static>(
    layer: &L,
    x: Tensor<2>,
    rows: &LayerRows,
    encoded: Option<&Encoded>,
    mode: Mode,
    tape: &Tape,
) -> Tensor<2> {
    let device = x.device().without_autodiff();
    // Composed operations draw dropout masks from the device's generator: twice the same.
    let seed = move || mode.seed().into_iter().for_each(|seed| device.seed(seed));
    seed();
    let output = {
        let (x, encoded) = (x.clone().without_autodiff(), encoded.map(Encoded::without_autodiff));
        layer.valid().forward(x, &rows.without_autodiff(), encoded.as_ref(), None, mode)
    };
    let (layer, rows, encoded) = (layer.clone(), rows.clone(), encoded.cloned());
    tape.push(output, move || {
        seed();
        layer.forward(x, &rows, encoded.as_ref(), None, mode)
    })
}

/// Runs a part that is no layer, without autodiff as long as nothing below it and nothing in it trains.
///
/// # Shapes
/// - input: `[rows, width]`; output: `[rows, other width]`
pub fn run_frozen_without_autodiff<M: Module>(
    part: &M,
    input: Tensor<2>,
    forward: impl FnOnce(&M, Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    if !input.is_autodiff() && is_frozen(part) { forward(&part.valid(), input) } else { forward(part, input) }
}

/// True when no parameter of the module asks for a gradient.
pub fn is_frozen<M: Module>(module: &M) -> bool {
    struct AnyTrains(bool);
    impl ModuleVisitor for AnyTrains {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }
    let mut any = AnyTrains(false);
    module.visit(&mut any);
    !any.0
}

/// Detaches what frozen modules made, so that the frozen layers above stay out of autodiff.
///
/// # Shapes
/// - x and output: `[rows, width]`
pub fn detach_if_frozen(x: Tensor<2>, frozen: bool) -> Tensor<2> {
    if frozen { x.without_autodiff() } else { x }
}
