//! The book's chapter on transfer: everything frozen but the last layer, and a list of what trains.

use anyhow::{Context, Result};
use burn::tensor::Device;
use temper_freeze::{FreezePlan, Strategy};
use temper_hub::{Hub, HubSettings};
use temper_models::{HeadRequest, Model};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "minilm".into());
    let files = Hub::new(HubSettings::from_environment()).model(&name)?;
    let config = files.file("config.json").context("a model has a config.json")?;
    let dir = config.path.parent().context("a file is in a folder")?;
    // ANCHOR: program
    let loaded = Model::load(dir, &HeadRequest::None, &Device::flex().autodiff())?;
    let strategy: Strategy = "last:1".parse()?;
    let plan = FreezePlan::new(&strategy, &loaded.model.parameters(), &loaded.new)?;
    let model = plan.apply(loaded.model);
    for parameter in model.parameters().parameters {
        println!("{}: {}", parameter.path, if parameter.trains { "trains" } else { "frozen" });
    }
    // ANCHOR_END: program
    Ok(())
}
