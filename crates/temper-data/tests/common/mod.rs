//! Tiny checkpoints' tokenizer files.

use std::path::Path;

/// BERT's special tokens, a few words and pieces, and the letters a to z.
pub fn write_bert_vocab(dir: &Path) {
    let mut tokens: Vec<String> = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "film",
        "un",
        "##believ",
        "##able",
        "cafe",
        "\u{4e2d}",
        "\u{56fd}",
        "!",
        ",",
        "Film",
        "caf\u{e9}",
    ]
    .map(String::from)
    .to_vec();
    tokens.extend(('a'..='z').map(String::from));
    std::fs::write(dir.join("vocab.txt"), tokens.join("\n") + "\n").unwrap();
}

/// Id of a letter in that vocabulary.
#[allow(dead_code)] // Not every test file that shares this module needs it.
pub fn letter(letter: char) -> u32 {
    17 + (letter as u32 - 'a' as u32)
}
