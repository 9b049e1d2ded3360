//! What a family consists of: configuration, backbone, names of weights, heads.

use burn::tensor::Device;
use serde::de::DeserializeOwned;

use crate::heads::HeadKind;
use crate::weights::{Row, WeightMap};
use crate::{BackboneModule, Bounds, DropoutKeys, ModelError};

/// A family: its configuration, as it is in config.json, and what is made from it.
///
/// The registry knows the families of this crate. A crate of its own adds one by implementing this trait;
/// see `ModelConfig::of_family`.
pub trait Family: DeserializeOwned + Clone + Send + Sync + 'static {
    /// The model without a task.
    type Backbone: BackboneModule;

    /// Where its configuration keeps its rates of dropout; `--dropout` and `--attention-dropout` change them.
    const DROPOUT: DropoutKeys = DropoutKeys { hidden: &[], attention: &[] };
    /// Fields, as JSON, without which a configuration is refused whose other fields have their defaults.
    const NEEDED: &'static [(&'static str, &'static str)] = &[];

    /// The same, where variants of the family differ.
    fn dropout_keys(&self) -> DropoutKeys {
        Self::DROPOUT
    }

    /// Refuses values that this implementation would silently compute otherwise.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a switch, [`ModelError::Config`] for sizes that contradict
    /// each other.
    fn validate(&self) -> Result<(), ModelError>;

    /// The model with zero weights, to be loaded.
    fn init(&self, parts: Parts, device: &Device) -> Self::Backbone;

    /// What the family's heads and checkpoints look like.
    fn facts(&self) -> FamilyFacts;
}

/// The parts of a backbone that not every head uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// BERT's layer over `[CLS]`.
    pub pooler: bool,
    /// The decoder of an encoder-decoder model.
    pub decoder: bool,
}

impl Parts {
    /// Everything that the family has.
    pub const ALL: Self = Self { pooler: true, decoder: true };
    /// No pooler.
    pub const NO_POOLER: Self = Self { pooler: false, decoder: true };
    /// The encoder of an encoder-decoder model.
    pub const ENCODER: Self = Self { pooler: true, decoder: false };
}

/// What a family's heads and checkpoints look like.
#[derive(Clone, Debug)]
pub struct FamilyFacts {
    /// The stored names of the backbone.
    pub weights: WeightMap,
    /// The heads that transformers has for the family.
    pub heads: Vec<HeadFacts>,
    /// Stored names that belong to none of these heads and may be left out.
    pub foreign: &'static [Row],
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// The same of weights that a family draws otherwise, by how their path ends; the first one counts.
    pub initial: Vec<(&'static str, f64)>,
    /// New weights lie within so many standard deviations, where the family cuts them off.
    pub cutoff: Option<f64>,
    /// The sizes that data must respect.
    pub bounds: Bounds,
}

/// A head of a family, as transformers has it.
#[derive(Clone, Debug)]
pub struct HeadFacts {
    /// Its class, which `architectures` in config.json names.
    pub architecture: &'static str,
    /// What it computes.
    pub kind: HeadKind,
    /// Its stored names.
    pub rows: &'static [Row],
    /// The backbone's prefix under this head, where it is not the family's.
    pub prefix: Option<&'static str>,
    /// The parts of the backbone that it uses.
    pub parts: Parts,
    /// A field of config.json that it cannot be used without and that is not there.
    pub missing: Option<&'static str>,
    /// Standard deviation of its newly initialised output map, where it is not that of the family.
    pub deviation: Option<f64>,
}

impl HeadFacts {
    /// A head over the whole backbone under the family's prefix.
    pub fn new(architecture: &'static str, kind: HeadKind, rows: &'static [Row]) -> Self {
        Self { architecture, kind, rows, prefix: None, parts: Parts::ALL, missing: None, deviation: None }
    }

    /// The same under another prefix.
    #[must_use]
    pub fn under(self, prefix: &'static str) -> Self {
        Self { prefix: Some(prefix), ..self }
    }

    /// The same, not to be used: config.json lacks this field.
    #[must_use]
    pub fn without(self, field: &'static str) -> Self {
        Self { missing: Some(field), ..self }
    }

    /// The same with an output map that is drawn with this standard deviation.
    #[must_use]
    pub fn drawn_with(self, deviation: f64) -> Self {
        Self { deviation: Some(deviation), ..self }
    }

    /// The same over a part of the backbone.
    #[must_use]
    pub fn over(self, parts: Parts) -> Self {
        Self { parts, ..self }
    }
}
