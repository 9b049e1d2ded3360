/// Whether a forward pass belongs to training.
///
/// It decides about dropout alone. Whether gradients are tracked is a property of the tensors, so
/// that a frozen layer can run without autodiff and still drop out, as transformers' default does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is active.
    Train,
    /// Dropout is off: evaluation, prediction, and parity with reference values.
    Evaluate,
}
