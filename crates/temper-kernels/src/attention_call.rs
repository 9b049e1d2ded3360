//! What attention is called with, but for its tensors.

use std::sync::Arc;
#[cfg(feature = "gpu")]
use std::sync::OnceLock;

#[cfg(feature = "gpu")]
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::composed::Rectangle;
use crate::cpu::{AttentionHeads, AttentionPattern, Dropout};
use crate::{Precision, Sequences};

/// Where the queries and the keys of each sequence are.
#[derive(Clone, Debug)]
pub struct AttentionLayout {
    /// Rows of the queries.
    pub queries: Sequences,
    /// Rows of keys and values, as many sequences.
    pub keys: Sequences,
    /// Position of the first query of each sequence among its keys; the others follow it.
    pub offsets: Arc<[usize]>,
    /// Whether queries may be anywhere instead: they have to see all keys alike.
    pub(crate) is_scattered: bool,
    /// What the composed form derives from it, once for all layers of a pass.
    pub(crate) rectangle: Arc<Rectangle>,
    #[cfg(feature = "gpu")]
    pub(crate) places: Arc<Places>,
}

impl AttentionLayout {
    /// Sequences of queries with as many of keys.
    pub fn new(queries: Sequences, keys: Sequences, offsets: impl Into<Arc<[usize]>>) -> Self {
        Self {
            queries,
            keys,
            offsets: offsets.into(),
            is_scattered: false,
            rectangle: Arc::default(),
            #[cfg(feature = "gpu")]
            places: Arc::default(),
        }
    }

    /// Queries of any tokens of their sequences, for attention in which their position does not matter: without a causal
    /// mask and without biases of the distance.
    pub fn scattered(queries: Sequences, keys: Sequences) -> Self {
        let offsets = vec![0; keys.count()];
        Self { is_scattered: true, ..Self::new(queries, keys, offsets) }
    }

    /// Whether queries are any tokens of their sequences.
    pub fn is_scattered(&self) -> bool {
        self.is_scattered
    }

    /// Self-attention over whole sequences.
    pub fn full(sequences: Sequences) -> Self {
        let offsets = vec![0; sequences.count()];
        Self::new(sequences.clone(), sequences, offsets)
    }
}

/// How one use of attention works.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Numbers of heads and their width.
    pub heads: AttentionHeads,
    /// Which keys a query sees, and what is added to its scores.
    pub pattern: AttentionPattern,
    /// Where the sequences are.
    pub layout: AttentionLayout,
    /// On the weights.
    pub dropout: Option<Dropout>,
    /// Of both products.
    pub precision: Precision,
}

#[cfg(feature = "gpu")]
/// A layout and slopes on the device, for all layers of a pass.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Bounds of queries and of keys, `[sequences + 1]`, and offsets, `[sequences]`.
    lists: OnceLock<[Tensor<1, Int>; 3]>,
    slopes: OnceLock<Tensor<1>>,
}

#[cfg(feature = "gpu")]
impl Places {
    pub(crate) fn lists(&self, layout: &AttentionLayout, device: &Device) -> [Tensor<1, Int>; 3] {
        let list = |values: &[usize]| {
            let numbers: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            Tensor::from_data(TensorData::new(numbers, [values.len()]), &device.clone().inner())
        };
        let make = || [layout.queries.bounds(), layout.keys.bounds(), &layout.offsets].map(list);
        self.lists.get_or_init(make).clone()
    }

    pub(crate) fn slopes(&self, slopes: &[f32], device: &Device) -> Tensor<1> {
        let data = || TensorData::new(slopes.to_vec(), [slopes.len()]);
        self.slopes.get_or_init(|| Tensor::from_data(data(), &device.clone().inner())).clone()
    }
}
