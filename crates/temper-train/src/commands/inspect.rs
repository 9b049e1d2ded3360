//! `temper inspect`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use temper_freeze::lora::{LoraSettings, attach};
use temper_freeze::{FreezePlan, Strategy, comparison_figure, plan_figure};
use temper_models::{HeadRequest, HeadTask, Loaded, Model};

use super::backend;
use crate::terminal::{print, print_line, say};
use crate::{LocalModel, Settings, SourceOptions, TrainError};

/// Show a model's configuration and parameters, and what a strategy would train
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    /// Name (bert), Hub id (org/name), folder or run of a model
    pub model: String,
    #[allow(rustdoc::broken_intra_doc_links)] // Help on a command line: the brackets are no links.
    /// What would train: all, head, last:K, layers:A-B, embeddings, freeze-embeddings, norms+head, biases+head,
    /// lora, gradual[:STEPS], pattern:REGEX[,REGEX] or a TOML file; several times to compare strategies
    #[arg(long = "strategy", value_name = "STRATEGY", default_value = "all")]
    pub strategies: Vec<String>,
    /// Use a new head with this many labels, as at the start of fine-tuning; otherwise the model's own head
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
    pub num_labels: Option<u16>,
    /// Ratio of each layer's learning rate to that of the layer above it
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub layer_decay: f64,
    /// Write a figure of what would train; several strategies are shown side by side
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
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
    // A strategy that cannot be read is refused before a model is looked for.
    let strategies = args.strategies.iter().map(|given| Strategy::from_name_or_file(given));
    let strategies = strategies.collect::<Result<Vec<_>, _>>()?;
    let local = LocalModel::find(&args.sources.hub(args.json), &args.model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let device: Device = backend(None)?.device()?;
    let loaded = Model::load(&local.dir, &head(args.num_labels), &device)?;
    let plan = |(name, strategy): (&String, &Strategy)| -> Result<(String, FreezePlan), TrainError> {
        Ok((name.clone(), plan_of(&loaded, strategy)?.with_layer_decay(args.layer_decay)?))
    };
    let plans = args.strategies.iter().zip(&strategies).map(plan).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &args.svg {
        write_figure(path, &local.resolved.id, &plans)?;
    }
    if args.json {
        return print_line(&json(&local, &loaded, &plans).to_string());
    }
    print(&shown(&local, &loaded, &plans))?;
    if let Some(path) = &args.svg {
        say(&format!("figure: {}", path.display()));
    }
    Ok(())
}

/// What a strategy trains of a model, which gets its adapters first.
pub(super) fn plan_of(loaded: &Loaded, strategy: &Strategy) -> Result<FreezePlan, TrainError> {
    let model = match strategy {
        Strategy::Lora => attach(loaded.model.clone(), &LoraSettings::default(), &loaded.new, 0)?,
        _ => loaded.model.clone(),
    };
    Ok(FreezePlan::new(strategy, &model.parameters(), &loaded.new)?)
}

/// The model's own head, or a new one for so many labels.
pub(super) fn head(num_labels: Option<u16>) -> HeadRequest {
    let Some(count) = num_labels else { return HeadRequest::FromConfig };
    let Settings { pooling, seed, .. } = Settings::default();
    // transformers' names for labels without one.
    let labels = (0..count).map(|label| format!("LABEL_{label}")).collect();
    HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels,
        pooling,
        seed,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    }
}

/// One plan with the parts of every layer, or several side by side.
fn write_figure(path: &Path, model: &str, plans: &[(String, FreezePlan)]) -> Result<(), TrainError> {
    let svg = match plans {
        [(name, plan)] => plan_figure(plan, model, name),
        _ => {
            let columns: Vec<(String, &FreezePlan)> =
                plans.iter().map(|(name, plan)| (name.clone(), plan)).collect();
            comparison_figure(model, &columns)
        }
    };
    Ok(temper_files::write(path, svg.as_bytes())?)
}

/// One plan is a field next to the others; several are a list.
fn json(local: &LocalModel, loaded: &Loaded, plans: &[(String, FreezePlan)]) -> serde_json::Value {
    let mut value = serde_json::json!({
        "source": local.resolved,
        "config": loaded.config.raw(),
        "new": loaded.new,
        "dropped": loaded.dropped,
    });
    let described = |(name, plan): &(String, FreezePlan)| {
        serde_json::json!({
            "strategy": name,
            "parameters": plan.rows,
            "total": plan.total(),
            "trainable": plan.trainable(),
        })
    };
    match plans {
        [plan] => {
            if let (Some(value), serde_json::Value::Object(plan)) = (value.as_object_mut(), described(plan)) {
                value.extend(plan);
            }
        }
        _ => value["strategies"] = plans.iter().map(described).collect(),
    }
    value
}

fn shown(local: &LocalModel, loaded: &Loaded, plans: &[(String, FreezePlan)]) -> String {
    let mut lines = vec![format!("{} (from {})", local.resolved.id, local.resolved.origin)];
    let files = local.resolved.files.iter();
    lines.extend(
        files.map(|file| format!("  {:<28} {:>12} bytes  sha256 {}", file.name, file.bytes, file.sha256)),
    );
    lines.push(String::new());
    lines.extend(loaded.config.raw().iter().map(|(key, value)| format!("{key:<30} {value}")));
    lines.push(match plans {
        [(_, plan)] => format!("\n{plan}"),
        _ => format!("\n{}", totals(plans)),
    });
    if !loaded.new.is_empty() {
        lines.push(format!("not in the checkpoint, initialised randomly: {}", loaded.new.join(", ")));
    }
    if !loaded.dropped.is_empty() {
        lines.push(format!("in the checkpoint, but not used: {}", loaded.dropped.join(", ")));
    }
    lines.join("\n") + "\n"
}

/// One line per strategy.
fn totals(plans: &[(String, FreezePlan)]) -> String {
    let width = plans.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("strategy".len());
    let mut lines = vec![format!("{:width$}  {:>12}  {:>12}  {:>8}", "strategy", "trains", "of", "%")];
    lines.extend(plans.iter().map(|(name, plan)| {
        let (trainable, total) = (plan.trainable(), plan.total());
        let percent = 100.0 * trainable as f64 / total.max(1) as f64;
        format!("{name:width$}  {trainable:>12}  {total:>12}  {percent:>8.3}")
    }));
    lines.join("\n")
}
