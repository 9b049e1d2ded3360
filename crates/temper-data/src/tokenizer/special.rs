//! The tokens that a model's layout depends on.

use tokenizers::Tokenizer;

use super::tokens::{FileToken, FileTokens};

/// Ids of the special tokens that a tokenizer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpecialTokens {
    /// Begins a sequence; its output represents the sequence in classification.
    pub cls: Option<u32>,
    /// Separates the texts of a pair.
    pub sep: Option<u32>,
    /// Fills rows up where batches are padded, as in transformers.
    pub pad: Option<u32>,
    /// Stands for what the vocabulary cannot write.
    pub unk: Option<u32>,
    /// Stands for a hidden word.
    pub mask: Option<u32>,
    /// Opens a text.
    pub bos: Option<u32>,
    /// Closes a text.
    pub eos: Option<u32>,
}

impl SpecialTokens {
    /// Names as Hugging Face's tokenizer_config.json writes them, with the ids.
    pub fn named(&self) -> [(&'static str, Option<u32>); 7] {
        [
            ("cls_token", self.cls),
            ("sep_token", self.sep),
            ("pad_token", self.pad),
            ("unk_token", self.unk),
            ("mask_token", self.mask),
            ("bos_token", self.bos),
            ("eos_token", self.eos),
        ]
    }

    /// Finds the tokens: as the files name them or their class does, else by the names that the families use.
    pub(super) fn find(tokenizer: &Tokenizer, tokens: &FileTokens) -> Self {
        let named =
            |part: &str| tokens.part(part).map(FileToken::text).and_then(|text| tokenizer.token_to_id(text));
        let added = tokenizer.get_added_tokens_decoder();
        let added = |tokens: &[&str]| {
            tokens.iter().filter_map(|token| tokenizer.token_to_id(token)).find(|id| added.contains_key(id))
        };
        // RoBERTa and BART open with <s> and separate with </s>; in LLaMA and T5 the same names
        // only open and close a text. The mask tells them apart.
        let like_roberta = added(&["<s>"]).is_some() && added(&["<mask>"]).is_some();
        let roberta = |token: &str| if like_roberta { added(&[token]) } else { None };
        Self {
            cls: named("cls_token").or(added(&["[CLS]"])).or(roberta("<s>")),
            sep: named("sep_token").or(added(&["[SEP]"])).or(roberta("</s>")),
            pad: named("pad_token").or(added(&["[PAD]", "<pad>"])),
            unk: named("unk_token").or(added(&["[UNK]", "<unk>"])),
            mask: named("mask_token").or(added(&["[MASK]", "<mask>"])),
            bos: named("bos_token").or(added(&["<s>", "<|endoftext|>"])),
            eos: named("eos_token").or(added(&["</s>", "<|endoftext|>"])),
        }
    }
}
