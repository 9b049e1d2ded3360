//! The book's chapter on loading: a model by name, a tokenizer, `last_hidden_state`.

use anyhow::{Context, Result};
use burn::tensor::Device;
use temper_data::{EncodeSettings, Truncation, collate, encode_all, load_tokenizer};
use temper_hub::{Hub, HubSettings};
use temper_models::{Backbone, HeadRequest, Mode, Model, Rows, TokenBatch};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "minilm".into());
    let text = "This is a test sentence.";
    // ANCHOR: program
    let files = Hub::new(HubSettings::from_environment()).model(&name)?;
    let config = files.file("config.json").context("a model has a config.json")?;
    let dir = config.path.parent().context("a file is in a folder")?;
    let device = Device::flex();
    let loaded = Model::load(dir, &HeadRequest::FromConfig, &device)?;
    let tokenizer = load_tokenizer(dir)?;
    let settings = EncodeSettings { max_length: 128, truncation: Truncation::Head };
    let encoded = encode_all(&tokenizer, &[(text, None)], &settings, None)?;
    let batch = collate(&encoded, &[0]);
    let tokens = TokenBatch::new(&batch.ids, &batch.type_ids, &batch.lengths, &device);
    let last_hidden_state = loaded.model.backbone.forward(&tokens, Rows::All, Mode::Evaluate);
    println!("shape of last_hidden_state: {:?}", last_hidden_state.dims());
    // ANCHOR_END: program
    Ok(())
}
