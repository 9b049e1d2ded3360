//! The tensors of a model: one table for an architecture, which reading and writing share.

use crate::metadata::{Value, of_size};
use crate::order::Order;

/// The map to the vocabulary: absent where it is the token embedding.
const OUTPUT: &str = "output.weight";
/// transformers' name of it.
pub(crate) const STORED_OUTPUT: &str = "lm_head.weight";
/// Its row in every table.
pub(crate) const OUTPUT_ROW: Row = same(OUTPUT, STORED_OUTPUT, &[Size::Vocab, Size::Hidden]);

/// A size of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Vocab,
    Positions,
    Hidden,
    Inner,
    /// All heads of queries.
    Queries,
    /// All heads of keys, or of values.
    Keys,
    /// Queries, keys and values one after the other.
    Fused,
}

/// Whose heads the rows of a matrix are, or its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Same,
    QueryHeads,
    KeyHeads,
    Transposed,
}

/// A tensor by its two names; `{}` stands for a layer's number.
pub(crate) struct Row {
    /// llama.cpp's name.
    ggml: &'static str,
    /// transformers' name.
    stored: &'static str,
    /// A file's shape, the outermost dimension first.
    shape: &'static [Size],
    layout: Layout,
}

/// The tensors of an architecture, in the order of a file.
pub(crate) struct Table {
    /// Before the layers.
    pub input: &'static [Row],
    /// Of each layer.
    pub of_layer: &'static [Row],
    /// After the layers.
    pub output: &'static [Row],
}

/// A row whose numbers are in transformers' order.
pub(crate) const fn same(ggml: &'static str, stored: &'static str, shape: &'static [Size]) -> Row {
    Row { ggml, stored, shape, layout: Layout::Same }
}

/// A matrix with another layout.
pub(crate) const fn laid_out(
    ggml: &'static str,
    stored: &'static str,
    shape: &'static [Size],
    layout: Layout,
) -> Row {
    Row { ggml, stored, shape, layout }
}

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub layers: usize,
    pub vocab: usize,
    pub positions: usize,
    pub hidden: usize,
    pub inner: usize,
    pub heads: usize,
    pub key_heads: usize,
    pub head: usize,
    /// Whether the map to the vocabulary is the token embedding.
    pub is_tied: bool,
}

impl Sizes {
    /// What a file of any architecture says of them, without the architecture's name before the keys.
    pub fn metadata(&self) -> [(&'static str, Value); 5] {
        [
            ("block_count", of_size(self.layers)),
            ("context_length", of_size(self.positions)),
            ("embedding_length", of_size(self.hidden)),
            ("feed_forward_length", of_size(self.inner)),
            ("attention.head_count", of_size(self.heads)),
        ]
    }

    fn of(&self, size: Size) -> usize {
        match size {
            Size::Vocab => self.vocab,
            Size::Positions => self.positions,
            Size::Hidden => self.hidden,
            Size::Inner => self.inner,
            // Sizes of a damaged file may be anything.
            Size::Queries => self.heads.saturating_mul(self.head),
            Size::Keys => self.key_heads.saturating_mul(self.head),
            Size::Fused => self.of(Size::Queries).saturating_add(self.of(Size::Keys).saturating_mul(2)),
        }
    }
}

/// A tensor that a model has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// llama.cpp's name.
    pub ggml: String,
    /// transformers' name.
    pub stored: String,
    /// A file's shape, the outermost dimension first.
    pub shape: Vec<usize>,
    pub order: Order,
}

/// All tensors of a model in a file's order.
pub(crate) fn places(table: &Table, sizes: &Sizes) -> Vec<Place> {
    let of_layers = (0..sizes.layers).flat_map(|layer| table.of_layer.iter().map(move |row| (row, layer)));
    let output = table.output.iter().filter(|row| row.ggml != OUTPUT || !sizes.is_tied);
    let input = table.input.iter().map(|row| (row, 0));
    input
        .chain(of_layers)
        .chain(output.map(|row| (row, 0)))
        .map(|(row, layer)| place(row, sizes, layer))
        .collect()
}

fn place(row: &Row, sizes: &Sizes, layer: usize) -> Place {
    let numbered = |name: &str| name.replace("{}", &layer.to_string());
    Place {
        ggml: numbered(row.ggml),
        stored: numbered(row.stored),
        shape: row.shape.iter().map(|&size| sizes.of(size)).collect(),
        order: match row.layout {
            Layout::Same => Order::Same,
            Layout::QueryHeads => Order::Heads(sizes.heads),
            Layout::KeyHeads => Order::Heads(sizes.key_heads),
            Layout::Transposed => Order::Transposed,
        },
    }
}

/// Whether a file says by its tensors that the map to the vocabulary is the token embedding.
pub(crate) fn is_tied<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    !names.any(|name| name == OUTPUT)
}
