use std::sync::Arc;

use temper_data::{
    DataReport, EncodeSettings, EncodedSet, LabelledText, TextClassificationData, TextTokenizer, encode_all,
    load_text_classification,
};
use temper_hub::Hub;

use crate::tasks::TextClassification;
use crate::training::Examples;
use crate::{RunRequest, Settings, TrainError};

/// A split's texts and their encoded examples.
#[derive(Clone, Debug)]
pub struct SplitSet {
    /// As read.
    pub texts: Vec<LabelledText>,
    /// As the model takes them.
    pub examples: Examples<TextClassification>,
}

/// A dataset for text classification, encoded.
#[derive(Clone, Debug)]
pub struct TextClassificationSplits {
    /// Names, sources and counts; its rows have moved into the splits.
    pub data: TextClassificationData,
    /// To train on.
    pub train: SplitSet,
    /// To choose by.
    pub validation: SplitSet,
    /// To report.
    pub test: SplitSet,
    /// Tokens of the whole training split, before any limit, estimated from the part that was
    /// encoded.
    pub full_train_tokens: usize,
}

/// Loads, encodes and cuts a dataset as a request says.
///
/// # Errors
/// [`TrainError::Data`].
pub fn load_splits(
    hub: &Hub,
    request: &RunRequest,
    tokenizer: &TextTokenizer,
) -> Result<TextClassificationSplits, TrainError> {
    let data = load_text_classification(hub, &request.dataset_request())?;
    let settings = &request.settings;
    let encode = EncodeSettings { max_length: settings.max_seq_length, truncation: settings.truncation };
    let cache = request.sources.cache().join("encoded");
    let encoded = |rows: &[LabelledText]| {
        let texts: Vec<_> = rows.iter().map(|row| (row.text.as_str(), row.pair.as_deref())).collect();
        encode_all(tokenizer, &texts, &encode, Some(&cache))
    };
    let (train, validation, test) = (encoded(&data.train)?, encoded(&data.validation)?, encoded(&data.test)?);
    let mean = train.lengths().iter().map(|&length| length as usize).sum::<usize>() as f64
        / train.items.len().max(1) as f64;
    let full_train_tokens = (mean * data.full_train_rows as f64) as usize;
    let (texts, train) = within_budget(data.train.clone(), train, settings);
    let pad_id = tokenizer.pad_id();
    Ok(TextClassificationSplits {
        train: split(texts, train, pad_id),
        validation: split(data.validation.clone(), validation, pad_id),
        test: split(data.test.clone(), test, pad_id),
        data,
        full_train_tokens,
    })
}

/// Takes examples in the file's order until the token budget is used up.
///
/// Rows were chosen by hash before, so that an early stop in a file sorted by label would still
/// leave one label out; every k-th row is taken instead, over the whole file.
fn within_budget(
    texts: Vec<LabelledText>,
    encoded: EncodedSet,
    settings: &Settings,
) -> (Vec<LabelledText>, EncodedSet) {
    let total: usize = encoded.lengths().iter().map(|&length| length as usize).sum();
    let Some(budget) = settings.max_train_tokens.filter(|&budget| budget < total) else {
        return (texts, encoded);
    };
    let share = budget as f64 / total as f64;
    // Row i is taken where the running count of i * share reaches a new whole number.
    let taken = |row: usize| ((row + 1) as f64 * share) as usize > (row as f64 * share) as usize;
    let rows = texts.into_iter().zip(encoded.items).enumerate();
    let (texts, items) = rows.filter(|(row, _)| taken(*row)).map(|(_, pair)| pair).unzip();
    (texts, EncodedSet::new(items, encoded.from_cache))
}

fn split(texts: Vec<LabelledText>, encoded: EncodedSet, pad_id: u32) -> SplitSet {
    let targets = texts.iter().map(|row| row.label).collect();
    SplitSet { texts, examples: Examples { encoded: Arc::new(encoded), targets: Arc::new(targets), pad_id } }
}

impl TextClassificationSplits {
    /// What the run sees of the dataset.
    pub fn report(&self, padding_percent: f64) -> DataReport {
        let mut data = self.data.clone();
        data.train = self.train.texts.clone();
        let sets = [&self.train, &self.validation, &self.test].map(|split| &*split.examples.encoded);
        DataReport::new(&data, sets, padding_percent)
    }
}

#[cfg(test)]
mod tests {
    use temper_data::Encoded;

    use super::*;

    #[test]
    fn a_token_budget_thins_out_the_whole_file() {
        let texts: Vec<LabelledText> = (0..100)
            .map(|row| LabelledText { text: row.to_string(), pair: None, label: row / 50, row })
            .collect();
        let items = vec![Encoded { ids: vec![1; 10], type_ids: vec![0; 10], tokens_lost: 0 }; 100];
        let settings = Settings { max_train_tokens: Some(200), ..Settings::default() };
        let (kept, encoded) = within_budget(texts, EncodedSet::new(items, false), &settings);
        assert_eq!((kept.len(), encoded.items.len()), (20, 20));
        assert_eq!(kept.iter().filter(|row| row.label == 0).count(), 10);
    }
}
