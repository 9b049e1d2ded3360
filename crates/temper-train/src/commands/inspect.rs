use burn::tensor::Device;
use temper_freeze::lora::{LoraSettings, attach};
use temper_freeze::{FreezePlan, Strategy};
use temper_models::{HeadRequest, Model};

use super::backend;
use crate::{LocalModel, SourceOptions, TrainError};

/// Show a model's configuration and parameters, and what a strategy would train
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    /// Name (bert), Hub id (org/name), folder or run of a model
    pub model: String,
    /// What would train: all, head, last:K, embeddings, freeze-embeddings, lora, pattern:REGEX[,REGEX]
    #[arg(long, default_value = "all")]
    pub strategy: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn inspect(args: &InspectArgs) -> Result<(), TrainError> {
    let strategy = args.strategy.parse()?;
    let local = LocalModel::find(&args.sources.hub(args.json), &args.model)?;
    if let Some(notice) = local.resolved.notice() {
        eprintln!("{notice}");
    }
    let device: Device = backend(None)?.device()?;
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
    let model = match strategy {
        Strategy::Lora => attach(loaded.model, &LoraSettings::default(), &loaded.new, 0)?,
        _ => loaded.model,
    };
    let plan = FreezePlan::new(&strategy, &model.parameters(), &loaded.new)?;
    if args.json {
        let value = serde_json::json!({
            "source": local.resolved,
            "config": loaded.config.raw(),
            "new": loaded.new,
            "dropped": loaded.dropped,
            "parameters": plan.rows,
            "total": plan.total(),
            "trainable": plan.trainable(),
        });
        println!("{value}");
        return Ok(());
    }
    println!("{} ({:?})", local.resolved.id, local.resolved.origin);
    for file in &local.resolved.files {
        println!("  {:<28} {:>12} bytes  sha256 {}", file.name, file.bytes, file.sha256);
    }
    println!();
    for (key, value) in loaded.config.raw() {
        println!("{key:<30} {value}");
    }
    println!("\n{plan}");
    if !loaded.new.is_empty() {
        println!("not in the checkpoint, drawn at random: {}", loaded.new.join(", "));
    }
    if !loaded.dropped.is_empty() {
        println!("in the checkpoint, without use here: {}", loaded.dropped.join(", "));
    }
    Ok(())
}
