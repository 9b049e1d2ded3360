//! The heads that transformers has for many families alike, with their usual stored names.

use crate::heads::{ClassifierConfig, LanguageModelConfig, TransformConfig};
use crate::weights::{Row, linear};
use crate::{Activation, HeadFacts, HeadKind};

/// Labels of sequences in a decoder: one map without bias over the last token that is not padding.
pub(super) fn sequence_labels(architecture: &'static str, pad: Option<u32>) -> HeadFacts {
    let kind = HeadKind::SequenceClassification(ClassifierConfig::last_token(pad));
    HeadFacts::new(architecture, kind, SCORE)
}

/// Labels of tokens: dropout and one map.
pub(super) fn token_labels(architecture: &'static str, dropout: f64) -> HeadFacts {
    HeadFacts::new(architecture, HeadKind::TokenClassification { dropout, transform: None }, CLASSIFIER)
}

/// The same as LLaMA and its descendants store it.
pub(super) fn token_scores(architecture: &'static str, dropout: f64) -> HeadFacts {
    HeadFacts { rows: SCORE, ..token_labels(architecture, dropout) }
}

/// Start and end of a span: one map.
pub(super) fn span(architecture: &'static str) -> HeadFacts {
    span_after(architecture, 0.0)
}

/// The same after dropout.
pub(super) fn span_after(architecture: &'static str, dropout: f64) -> HeadFacts {
    HeadFacts::new(architecture, HeadKind::QuestionAnswering { dropout, transform: None }, SPAN)
}

/// A classifier of the first token with a square map of its own, dropout before and after it.
pub(super) fn dense_classifier(activation: Activation, dropout: f64) -> HeadKind {
    HeadKind::SequenceClassification(ClassifierConfig {
        transform: Some(TransformConfig::plain(activation)),
        input_dropout: dropout,
        ..ClassifierConfig::first_token(dropout)
    })
}

/// The names of [`dense_classifier`] in RoBERTa and what follows it.
pub(super) const DENSE_CLASSIFIER: &[Row] =
    &[linear("classifier.dense", "head.dense"), linear("classifier.out_proj", "head.output")];

/// The next token: one map without bias, the token embedding if `tied`.
pub(super) fn next_token(architecture: &'static str, vocab_size: usize, tied: bool) -> HeadFacts {
    let kind = HeadKind::CausalLm(LanguageModelConfig::plain(vocab_size, tied));
    HeadFacts::new(architecture, kind, OUTPUT)
}

const SCORE: &[Row] = &[linear("score", "head.output")];
pub(super) const CLASSIFIER: &[Row] = &[linear("classifier", "head.output")];
const SPAN: &[Row] = &[linear("qa_outputs", "head.output")];
const OUTPUT: &[Row] = &[linear("lm_head", "head.output")];
