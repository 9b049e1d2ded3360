//! Training or evaluation: where dropout applies, and its seeds.

/// Whether a forward pass belongs to training.
///
/// It decides about dropout alone. Whether gradients are tracked is a property of the tensors, so
/// that a frozen layer can run without autodiff and still drop out, as transformers' default does.
///
/// The rule for frozen parts: as in transformers 5.23, a layer drops out in training whether it trains
/// or not. [`Mode::without_frozen_dropout`] turns that off in every whole layer, and in every embedding
/// part, no parameter of which trains; the output of such parts for an example is then always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is active; its masks are a function of the seed.
    Train(Seed),
    /// Dropout is off: evaluation, prediction, and parity with reference values.
    Evaluate,
}

/// Where dropout masks come from, and which parts have any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    number: u64,
    frozen_parts_drop_out: bool,
}

impl Mode {
    /// Training; equal seeds draw equal masks.
    pub fn train(seed: u64) -> Self {
        Self::Train(Seed { number: seed, frozen_parts_drop_out: true })
    }

    /// The same without dropout in parts that do not train.
    ///
    /// ```
    /// use temper_models::Mode;
    ///
    /// let mode = Mode::train(7).without_frozen_dropout();
    /// assert_eq!(mode.of_part(true), Mode::Evaluate);
    /// assert_eq!(mode.of_part(false), mode);
    /// assert_eq!(Mode::train(7).of_part(true), Mode::train(7));
    /// ```
    #[must_use]
    pub fn without_frozen_dropout(self) -> Self {
        match self {
            Self::Train(seed) => Self::Train(Seed { frozen_parts_drop_out: false, ..seed }),
            Self::Evaluate => Self::Evaluate,
        }
    }

    /// The mode of a layer or an embedding part, by whether all of it is frozen.
    #[must_use]
    pub fn of_part(self, frozen: bool) -> Self {
        match self {
            Self::Train(seed) if frozen && !seed.frozen_parts_drop_out => Self::Evaluate,
            other => other,
        }
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
            Self::Train(seed) => {
                let mixed = (seed.number ^ (seed.number >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let number = mixed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                Self::Train(Seed { number, ..seed })
            }
            Self::Evaluate => Self::Evaluate,
        }
    }

    /// The seed of this part's masks, in training.
    pub(crate) fn seed(self) -> Option<u64> {
        match self {
            Self::Train(seed) => Some(seed.number),
            Self::Evaluate => None,
        }
    }
}
