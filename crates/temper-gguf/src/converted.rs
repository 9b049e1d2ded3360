//! What was converted, in a few words.

use std::collections::BTreeSet;

use crate::blocks::BlockType;

/// What was converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// How its numbers were packed, in the order of their names in ggml; f32 throughout is nothing lost.
    pub packed: Vec<BlockType>,
    /// Numbers of all tensors.
    pub parameters: usize,
}

impl Converted {
    /// Of tensors with these packings and shapes.
    pub(crate) fn of<'a>(tensors: impl Iterator<Item = (BlockType, &'a [usize])>) -> Self {
        let (mut packed, mut parameters) = (BTreeSet::new(), 0);
        for (kind, shape) in tensors {
            packed.insert(kind);
            parameters += shape.iter().product::<usize>();
        }
        Self { packed: packed.into_iter().collect(), parameters }
    }

    /// The packings in words.
    pub fn in_words(&self) -> String {
        self.packed.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
    }
}
