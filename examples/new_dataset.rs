//! A file of your own to encoded batches: splits, labels, lengths. No tensors.

use anyhow::{Context, Result};
use temper_data::{
    BatchSettings, ColumnChoice, EncodeSettings, LabelRequest, RowsRequest, Truncation, collate, encode_all,
    load_text_classification, load_tokenizer, plan_epoch,
};
use temper_hub::{Hub, HubSettings};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("give a csv, tsv, jsonl or parquet file, or a folder")?;
    let hub = Hub::new(HubSettings::from_environment());
    let names = ["text", "label"].into_iter().zip(arguments.by_ref().take(2));
    let asked = names.map(|(role, name)| (role.to_owned(), name)).collect();
    let columns = ColumnChoice { asked, ..ColumnChoice::default() };
    let request = RowsRequest { name_or_path: path, columns, ..RowsRequest::default() };
    let data = load_text_classification(&hub, &LabelRequest { rows: request, ..LabelRequest::default() })?;
    println!("labels {:?}; {} rows to train on", data.label_names, data.rows.train.len());

    let files = hub.model(&arguments.next().unwrap_or_else(|| "minilm".into()))?;
    let config = files.file("config.json").context("a model has a config.json")?;
    let tokenizer = load_tokenizer(config.path.parent().context("a file stands in a folder")?)?;
    let texts: Vec<_> = data.rows.train.iter().map(|row| row.input()).collect();
    let settings = EncodeSettings { max_length: 128, truncation: Truncation::HeadTail };
    let encoded = encode_all(&tokenizer, &texts, &settings, None)?;
    println!("{} texts were cut, {} tokens lost", encoded.truncated_examples, encoded.tokens_lost);

    let steps = plan_epoch(&encoded.lengths(), &BatchSettings::default(), 42, 0);
    println!("{} steps an epoch", steps.len());
    if let Some(indices) = steps.first().and_then(|step| step.batches.first()) {
        let batch = collate(&encoded, indices);
        println!("the first batch has {} examples, {} tokens together", batch.lengths.len(), batch.tokens());
    }
    Ok(())
}
