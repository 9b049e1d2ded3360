//! Datasets to batches, on the host and without tensors: cards and readers, splits that every
//! machine agrees on, tokenizers, encoded examples, and packed batches cut by a budget of
//! tokens.
//!
//! Data flow: [`load_text_classification`] -> [`encode_all`] -> [`plan_epoch`] ->
//! [`collate`]. What every task shares of the first step is [`load_rows`]. Texts that are spread over windows, with
//! the place of each token: [`encode_windows`].

mod answers;
mod batch;
mod card;
mod chat;
mod classification;
mod columns;
mod dataset;
mod encode;
mod error;
mod examine;
mod labels;
mod language;
mod local;
mod messages;
mod panics;
mod pattern;
pub mod readers;
mod report;
mod request;
mod rows;
mod saved;
mod split;
mod split_choice;
mod table;
mod task_kind;
mod task_of_files;
mod text_to_text;
mod token_labels;
mod tokenizer;
mod unlabelled;

pub use answers::{
    Answer, AnswerError, Question, QuestionAnsweringData, QuestionRequest, examine_question_answering,
    load_question_answering,
};
pub use batch::{Batch, BatchSettings, Step, collate, plan_epoch, plan_evaluation};
pub use card::{DatasetCard, SplitFiles, Unlabelled, card_names, cards, find_card};
pub use chat::{ChatMessage, ChatTemplate, RenderedChat};
pub use classification::{
    LabelKind, LabelRequest, LabelledText, TextClassificationData, TextLabel, examine_text_classification,
    load_text_classification,
};
pub use columns::ColumnChoice;
pub use dataset::{DatasetTables, check_dataset, load_tables, local_paths};
pub use encode::{
    EncodeSettings, Encoded, EncodedSet, TextInput, TokenPlace, Truncation, WhichText, Window, WindowError,
    WindowInput, WindowSettings, best_windows, encode_all, encode_windows,
};
pub use error::DataError;
pub use examine::{Diagnosis, Finding, FindingKind, Lengths, Measure, Severity, SplitOutline, Spot};
pub use labels::LabelError;
pub use language::{
    Document, LanguageData, LanguageRequest, LanguageSequence, LanguageSettings, SentencePair, SentencePairs,
    encode_documents, examine_language, load_language, sentence_pairs,
};
pub use local::{SplitTables, read_local};
pub use readers::{FileReport, Format, split_tag};
pub use report::{DataReport, SplitContent, SplitReport};
pub use request::RowsRequest;
pub use rows::{DatasetRows, Doubt, DoubtKind, Record, TableReader, TableRows, UnreadableRow, load_rows};
pub use split::{HeldOut, RowSplit, unit_hash};
pub use split_choice::{SplitChoice, SplitOrigin, SplitSource};
pub use table::{Column, Table, Value};
pub use task_kind::TaskKind;
pub use task_of_files::task_of_files;
pub use text_to_text::{TextPair, examine_text_to_text, load_text_to_text};
pub use token_labels::{
    TagError, TagRequest, TagScheme, TaggedText, TokenClassificationData, examine_token_classification,
    load_token_classification, split_words,
};
pub use tokenizer::{DeclaredCut, SpecialTokens, TextStream, TextTokenizer, declared_cut, load_tokenizer};
pub use unlabelled::{UnlabelledText, UnlabelledTexts, read_unlabelled, stream_unlabelled};
