//! Loads a pretrained model by name and reads its last hidden state.

use anyhow::{Context, Result};
use burn::tensor::Device;
use temper_data::{EncodeSettings, Truncation, collate, encode_all, load_tokenizer};
use temper_hub::{Hub, HubSettings};
use temper_models::{Backbone, HeadRequest, Mode, Model, Rows, TokenBatch};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "minilm".into());
    let text = arguments.next().unwrap_or_else(|| "A quiet triumph.".into());

    // Names to files.
    let files = Hub::new(HubSettings::from_environment()).model(&name)?;
    if let Some(notice) = files.notice() {
        eprintln!("{notice}");
    }
    let config = files.file("config.json").context("a model has a config.json")?;
    let dir = config.path.parent().context("a file stands in a folder")?;

    // Files to a model and its tokenizer.
    let device = Device::flex();
    let loaded = Model::load(dir, &HeadRequest::FromConfig, &device)?;
    let tokenizer = load_tokenizer(dir)?;

    // Text to ids to vectors.
    let settings = EncodeSettings { max_length: 128, truncation: Truncation::Head };
    let encoded = encode_all(&tokenizer, &[(&text, None)], &settings, None)?;
    let batch = collate(&encoded, &[0]);
    let tokens = TokenBatch::new(&batch.ids, &batch.type_ids, &batch.lengths, &device);
    let last_hidden_state = loaded.model.backbone.forward(&tokens, Rows::All, Mode::Evaluate);

    println!("{} parameters", loaded.model.parameters().total());
    for (position, &id) in batch.ids.iter().enumerate() {
        let token = tokenizer.token(id).unwrap_or_default();
        let vector = last_hidden_state.clone().narrow(0, position, 1).narrow(1, 0, 4);
        let first: Vec<f32> = vector.into_data().iter::<f32>().collect();
        println!("{token:<12} {first:>8.4?} ...");
    }
    Ok(())
}
