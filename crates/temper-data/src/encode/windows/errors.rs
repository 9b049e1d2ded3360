//! What leaves no room for windows.

use thiserror::Error;

/// Why a text cannot be spread over windows. Lengths are in tokens.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WindowError {
    /// A window would get no further than the one before it, whatever the text.
    #[error(
        "windows of {max_length} tokens, {special} of them special tokens, cannot share {stride} tokens \
         with the next one; lower the stride below {}, or raise the maximum length above {}",
        max_length - special, special + stride
    )]
    Stride {
        /// Tokens of a window at most.
        max_length: usize,
        /// Special tokens of a window.
        special: usize,
        /// Tokens that neighbouring windows share.
        stride: usize,
    },

    /// An input whose other text takes the room.
    #[error(
        "input {input}: in windows of {max_length} tokens, {special} special tokens and the {other} of the text that \
         is whole in each leave {} for the other text, which has {length}, and neighbouring windows share \
         {stride}; raise the maximum length above {}{}, or shorten the text that is whole in each",
        max_length.saturating_sub(special + other), special + other + stride, lower_stride(*max_length, special + other)
    )]
    NoRoom {
        /// Position of the input, from 0.
        input: usize,
        /// Tokens of a window at most.
        max_length: usize,
        /// Special tokens of a window.
        special: usize,
        /// Tokens of the text that is whole in each window.
        other: usize,
        /// Tokens of the text that is spread.
        length: usize,
        /// Tokens that neighbouring windows share.
        stride: usize,
    },
}

/// The advice to share fewer tokens, where that helps.
fn lower_stride(max_length: usize, taken: usize) -> String {
    match max_length.saturating_sub(taken) {
        0 => String::new(),
        room => format!(", lower the stride below {room}"),
    }
}
