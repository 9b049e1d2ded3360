//! `temper figure`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::Value;
use temper_freeze::FreezePlan;
use temper_models::{Backbone, HeadRequest, Model, ModelConfig};

use super::backend;
use super::compare::split_strategies;
use super::inspect::{head, plan_of};
use super::runs::{last_part, opened};
use crate::figures::architecture::Architecture;
use crate::figures::curves::{Chart, Curve};
use crate::figures::flow::Flow;
use crate::figures::heads::most_changed;
use crate::figures::transfer::{MovedPart, Stage};
use crate::figures::{Language, Word, attention, families, heads, movement, strategies, transfer};
use crate::terminal::{print_exactly, say};
use crate::training::{JournalRow, StepRow, read_journal};
use crate::{LocalModel, RunFolder, SourceOptions, TrainError};

/// Runs that a flow of transfer learning shows at most.
const MOST_STAGES: usize = 4;

/// Draw a figure of a model or of runs, as SVG
#[derive(Clone, Debug, clap::Args)]
pub struct FigureArgs {
    #[command(subcommand)]
    kind: FigureKind,
    /// Language of the words in the figure
    #[arg(long, global = true, value_enum, default_value_t)]
    pub language: Language,
    /// Where to write it; without it, to stdout
    #[arg(long, global = true, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum FigureKind {
    /// The parts of a model, and a text on its way through it: tokens, what attends to what, hidden states
    Architecture {
        /// Name (bert), Hub id (org/name), folder or run of a model
        model: String,
        /// The text
        #[arg(long, default_value = "The film is a quiet triumph.")]
        text: String,
        /// Where files may come from
        #[command(flatten)]
        sources: SourceOptions,
    },
    /// The families of pretrained language models: a time line and a tree
    Families,
    /// What several strategies of fine-tuning train of a model, side by side
    Strategies {
        /// Name (bert), Hub id (org/name), folder or run of a model
        model: String,
        /// Strategies separated by commas, each as for finetune --strategy
        #[arg(long, default_value = "all,last:2,freeze-embeddings,head,gradual,lora")]
        strategies: String,
        /// Labels of the new head
        #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..))]
        num_labels: u16,
        /// Where files may come from
        #[command(flatten)]
        sources: SourceOptions,
    },
    /// What a run, and the runs that it started from, kept, added, dropped and moved
    Transfer {
        /// A run folder
        run: PathBuf,
    },
    /// What one attention head attends to before and after a run: the head that changed most
    Attention {
        /// A run folder
        run: PathBuf,
        /// The text
        #[arg(long, default_value = "The film is a quiet triumph.")]
        text: String,
        /// Where the model of the beginning may come from
        #[command(flatten)]
        sources: SourceOptions,
    },
    /// The training loss of runs
    Loss {
        /// Run folders
        #[arg(required = true)]
        runs: Vec<PathBuf>,
    },
    /// The learning rates of runs
    Rates {
        /// Run folders
        #[arg(required = true)]
        runs: Vec<PathBuf>,
    },
    /// How far each part of a model moved in runs
    Movement {
        /// Run folders
        #[arg(required = true)]
        runs: Vec<PathBuf>,
    },
    /// The scores of temper search-depth against the number of trained layers
    Depth {
        /// The folder that it wrote
        folder: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn figure(args: &FigureArgs) -> Result<(), TrainError> {
    let language = args.language;
    let device: Device = backend(None)?.device()?;
    let svg = match &args.kind {
        FigureKind::Architecture { model, text, sources } => {
            architecture((model, sources), text, language, &device)?
        }
        FigureKind::Families => families::draw(language, &device)?,
        FigureKind::Strategies { model, strategies, num_labels, sources } => {
            side_by_side((model, sources), strategies, *num_labels, (language, &device))?
        }
        FigureKind::Transfer { run } => flow_of(run, language)?,
        FigureKind::Attention { run, text, sources } => {
            before_and_after((run, sources), text, language, &device)?
        }
        FigureKind::Loss { runs } => {
            let curves = curves(runs, |row| row.loss)?;
            over_steps(language.word(Word::Loss), means(curves), runs, language)?
        }
        FigureKind::Rates { runs } => {
            let curves = curves(runs, |row| row.learning_rate)?;
            over_steps(language.word(Word::LearningRate), curves, runs, language)?
        }
        FigureKind::Movement { runs } => moved(runs, language)?,
        FigureKind::Depth { folder } => depth(folder, language)?,
    };
    match &args.output {
        Some(path) => {
            temper_files::write(path, svg.as_bytes())?;
            say(&format!("figure: {}", path.display()));
            Ok(())
        }
        None => print_exactly(&svg),
    }
}

fn found(model: &str, sources: &SourceOptions) -> Result<LocalModel, TrainError> {
    let local = LocalModel::find(&sources.hub(true), model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    Ok(local)
}

fn architecture(
    (model, sources): (&str, &SourceOptions),
    text: &str,
    language: Language,
    device: &Device,
) -> Result<String, TrainError> {
    let local = found(model, sources)?;
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, device)?;
    let tokenizer = local.tokenizer(loaded.config.bounds().vocab_size)?;
    let flow = Flow::of(&loaded.model.backbone, &tokenizer, text, device)?;
    let table = loaded.model.parameters();
    let plan = FreezePlan::new(&temper_freeze::Strategy::All, &table, &[])?;
    let parts = plan.parts().into_iter();
    let parts = parts.map(|(name, rows)| (name, rows.iter().map(|row| row.count).sum())).collect();
    let heads = heads_of(&loaded.config);
    let vocabulary = loaded.model.backbone.token_table().dims();
    let model = &last_part(&local.resolved.id);
    let figure = Architecture { model, heads, table: &table, parts, flow: &flow, vocabulary };
    Ok(figure.draw(language))
}

/// Attention heads of a layer, by the names that configurations have for it.
fn heads_of(config: &ModelConfig) -> Option<u64> {
    let names = ["num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads"];
    names.iter().find_map(|name| config.raw().get(*name)?.as_u64())
}

/// The head that changed most from the model that a run started from to the one that it made.
fn before_and_after(
    (run, sources): (&Path, &SourceOptions),
    text: &str,
    language: Language,
    device: &Device,
) -> Result<String, TrainError> {
    let (record, _) = finished(run)?;
    let heads = |model: &str| {
        let local = found(model, sources)?;
        let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, device)?;
        let tokenizer = local.tokenizer(loaded.config.bounds().vocab_size)?;
        let count = heads_of(&loaded.config).unwrap_or(0) as usize;
        heads::attention(&loaded.model, count, (&tokenizer, text), device)
    };
    let (tokens, before) = heads(&record.request.model)?;
    let (_, after) = heads(&run.display().to_string())?;
    let pair = most_changed(before, after);
    let name = name_of(run);
    let figure = pair.map(|(before, after)| attention::draw(&name, &tokens, (&before, &after), language));
    drawn(figure, &[run.to_path_buf()])
}

fn side_by_side(
    (model, sources): (&str, &SourceOptions),
    list: &str,
    num_labels: u16,
    (language, device): (Language, &Device),
) -> Result<String, TrainError> {
    let named = split_strategies(list)?;
    let local = found(model, sources)?;
    let loaded = Model::load(&local.dir, &head(Some(num_labels)), device)?;
    let plan = |named: &super::compare::NamedStrategy| {
        Ok((named.name.clone(), plan_of(&loaded, &named.strategy.parse()?)?))
    };
    let plans = named.iter().map(plan).collect::<Result<Vec<_>, TrainError>>()?;
    Ok(strategies::draw(&last_part(&local.resolved.id), &plans, language))
}

/// The run, and those that it started from, the first one first.
fn flow_of(run: &Path, language: Language) -> Result<String, TrainError> {
    let (mut stages, mut next, mut pretrained) = (Vec::new(), Some(run.to_path_buf()), String::new());
    while let Some(run) = next.take().filter(|_| stages.len() < MOST_STAGES) {
        let (record, results) = finished(&run)?;
        pretrained.clone_from(&record.request.model);
        stages.push(Stage {
            dataset: last_part(&record.request.dataset),
            strategy: record.request.settings.strategy.clone(),
            score: first_score(&results),
            parts: parts(&results),
            new: record.new_parameters,
            dropped: record.dropped_tensors,
        });
        let before = PathBuf::from(&record.request.model);
        next = before.join("results.json").is_file().then_some(before);
    }
    stages.reverse();
    Ok(transfer::draw(&last_part(&pretrained), &stages, language))
}

/// The record and the results of a run.
fn finished(run: &Path) -> Result<(crate::run::record::ResumedRecord, Value), TrainError> {
    let (record, results) = opened(run)?;
    let results = results.ok_or_else(|| {
        TrainError::Usage(format!(
            "{0} is not finished; continue it: temper finetune --resume {0}",
            run.display()
        ))
    })?;
    Ok((record, results))
}

fn parts(results: &Value) -> Vec<MovedPart> {
    results.get("movement").and_then(|parts| serde_json::from_value(parts.clone()).ok()).unwrap_or_default()
}

fn first_score(results: &Value) -> Option<(String, f64)> {
    let (name, value) = results.pointer("/test/metrics")?.as_object()?.iter().next()?;
    Some((name.clone(), value.as_f64()?))
}

/// The name of a run's folder.
fn name_of(run: &Path) -> String {
    run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned()
}

/// A curve for each run over its optimiser steps.
fn curves(runs: &[PathBuf], value: fn(&StepRow) -> f64) -> Result<Vec<Curve>, TrainError> {
    let curve = |run: &PathBuf| {
        let rows = read_journal(&RunFolder::existing(run).journal())?;
        let points = rows.iter().filter_map(|row| match row {
            JournalRow::Train(row) => Some((row.step as f64, value(row))),
            _ => None,
        });
        Ok(Curve { name: name_of(run), points: points.collect() })
    };
    runs.iter().map(curve).collect()
}

/// Each point as the mean of itself and those before it, a tenth of the curve: losses of single steps jump.
fn means(curves: Vec<Curve>) -> Vec<Curve> {
    let mean = |curve: Curve| {
        let window = curve.points.len().div_ceil(10);
        let at = |last: usize| {
            let part = &curve.points[(last + 1).saturating_sub(window)..=last];
            (curve.points[last].0, part.iter().map(|(_, value)| value).sum::<f64>() / part.len() as f64)
        };
        Curve { points: (0..curve.points.len()).map(at).collect(), name: curve.name }
    };
    curves.into_iter().map(mean).collect()
}

fn over_steps(
    title: &str,
    curves: Vec<Curve>,
    runs: &[PathBuf],
    language: Language,
) -> Result<String, TrainError> {
    let axis = language.word(Word::OptimiserStep);
    drawn(Chart { title, axis, curves, marked: false }.draw(language), runs)
}

fn moved(runs: &[PathBuf], language: Language) -> Result<String, TrainError> {
    let run = |run: &PathBuf| {
        let (_, results) = finished(run)?;
        Ok((name_of(run), parts(&results)))
    };
    let moved = runs.iter().map(run).collect::<Result<Vec<_>, TrainError>>()?;
    drawn(movement::draw(&moved, language), runs)
}

/// Validation and test scores of depth.json, each the mean over seeds.
fn depth(folder: &Path, language: Language) -> Result<String, TrainError> {
    let path = folder.join("depth.json");
    let text = std::fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
    let search: Value = serde_json::from_str(&text).map_err(|error| TrainError::content(&path, error))?;
    let rows = search.get("depths").and_then(Value::as_array).cloned().unwrap_or_default();
    let curve = |key: &str, word: Word| {
        let point = |row: &Value| Some((row.get("depth")?.as_f64()?, row.get(key)?.get("mean")?.as_f64()?));
        Curve { name: language.word(word).into(), points: rows.iter().filter_map(point).collect() }
    };
    let chart = Chart {
        title: language.word(Word::Depth),
        axis: language.word(Word::TrainedLayers),
        curves: vec![curve("validation", Word::ValidationScore), curve("test", Word::TestScore)],
        marked: true,
    };
    drawn(chart.draw(language), &[folder.to_path_buf()])
}

/// A figure, or an error where there is nothing to draw.
fn drawn(figure: Option<String>, runs: &[PathBuf]) -> Result<String, TrainError> {
    figure.ok_or_else(|| {
        let names: Vec<String> = runs.iter().map(|run| run.display().to_string()).collect();
        TrainError::Usage(format!("{}: nothing was recorded that this figure shows", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_means_of_a_tenth_of_the_run() {
        let points: Vec<(f64, f64)> = (0..20).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        let [curve] = &means(vec![Curve { name: "a".into(), points }])[..] else { panic!("one curve") };
        assert_eq!(curve.points[0], (0.0, 0.0));
        assert!(curve.points[1..].iter().all(|(_, value)| *value == 0.5), "{curve:?}");
    }
}
