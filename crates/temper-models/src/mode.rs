/// Whether a forward pass belongs to training.
///
/// It decides about dropout alone. Whether gradients are tracked is a property of the tensors, so
/// that a frozen layer can run without autodiff and still drop out, as transformers' default does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is active; its masks are a function of the seed.
    Train(Seed),
    /// Dropout is off: evaluation, prediction, and parity with reference values.
    Evaluate,
}

/// Where dropout masks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Mode {
    /// Training; equal seeds draw equal masks.
    pub fn train(seed: u64) -> Self {
        Self::Train(Seed(seed))
    }

    /// The mode of a part: its masks are independent of those of every other part.
    ///
    /// ```
    /// use temper_models::Mode;
    ///
    /// assert_ne!(Mode::train(7).child(0), Mode::train(7).child(1));
    /// assert_eq!(Mode::Evaluate.child(0), Mode::Evaluate);
    /// ```
    pub fn child(self, index: usize) -> Self {
        match self {
            // Odd multiplier of SplitMix64; the masks' own generator mixes further.
            Self::Train(Seed(seed)) => {
                let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                Self::train(mixed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            }
            Self::Evaluate => Self::Evaluate,
        }
    }

    /// The seed of this part's masks, in training.
    pub(crate) fn seed(self) -> Option<u64> {
        match self {
            Self::Train(Seed(seed)) => Some(seed),
            Self::Evaluate => None,
        }
    }
}
