//! Lower case before everything else that a tokenizer does.

use sha2::{Digest, Sha256};
use temper_files::hex;
use tokenizers::NormalizerWrapper;
use tokenizers::normalizers::{Lowercase, Sequence};

use super::{Boundaries, TextTokenizer};
use crate::DataError;

impl TextTokenizer {
    /// The same tokenizer with lower case put before its own normalisation, unless that has it already:
    /// what sentence-transformers 6.2 does for `do_lower_case` of sentence_bert_config.json.
    ///
    /// # Errors
    /// [`DataError::Encode`] when the tokenizer cannot be written any more.
    pub fn lowercasing(mut self) -> Result<Self, DataError> {
        let first = NormalizerWrapper::Lowercase(Lowercase);
        let own = self.inner.get_normalizer().cloned();
        if own.as_ref().is_some_and(has_lowercase) {
            return Ok(self);
        }
        let all = match own {
            Some(own) => NormalizerWrapper::Sequence(Sequence::new(vec![first, own])),
            None => first,
        };
        let failed = |error: tokenizers::Error| DataError::Encode { example: 0, reason: error.to_string() };
        self.inner.with_normalizer(Some(all)).map_err(failed)?;
        self.definition = self.inner.to_string(true).map_err(failed)?;
        self.boundaries = Boundaries::of(&self.inner);
        self.sha256 = hex(&Sha256::digest(&self.definition));
        Ok(self)
    }
}

fn has_lowercase(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::Lowercase(_) => true,
        NormalizerWrapper::BertNormalizer(bert) => bert.lowercase,
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(has_lowercase),
        _ => false,
    }
}
