//! `temper models`.

use serde::Serialize;
use temper_hub::{CatalogueEntry, catalogue};
use temper_models::{HeadTask, KnownFamily, families};

use crate::TrainError;
use crate::terminal::print;

/// List the supported families and the models that have a short name
#[derive(Clone, Debug, clap::Args)]
pub struct ModelsArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A family and its models.
#[derive(Serialize)]
struct ListedFamily {
    model_type: String,
    /// Class and task of each head; none where this version does not know the family.
    heads: Vec<ListedHead>,
    models: Vec<ListedModel>,
}

#[derive(Serialize)]
struct ListedHead {
    architecture: &'static str,
    task: &'static str,
}

#[derive(Serialize)]
struct ListedModel {
    #[serde(flatten)]
    entry: &'static CatalogueEntry,
    /// Where its weights come from, in the order of asking.
    sources: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// [`TrainError::File`] where stdout cannot be written.
pub fn models(args: &ModelsArgs) -> Result<(), TrainError> {
    let families = list();
    if args.json {
        return print(&format!("{}\n", serde_json::json!({ "families": families })));
    }
    let blocks: String = families.iter().map(|family| block(family) + "\n").collect();
    print(&(blocks + "Any other model of these families is given by its Hub id (org/name) or folder.\n"))
}

/// The registry's families with the catalogue's models, then families that only the catalogue has.
fn list() -> Vec<ListedFamily> {
    let models_of = |model_type: &str| {
        let entries = catalogue().models.iter().filter(|entry| entry.family == model_type);
        entries.map(|entry| ListedModel { entry, sources: sources(entry) }).collect()
    };
    let known = families();
    let mut listed: Vec<ListedFamily> = known
        .iter()
        .map(|KnownFamily { model_type, heads }| ListedFamily {
            model_type: (*model_type).into(),
            heads: heads
                .iter()
                .map(|&(architecture, task)| ListedHead { architecture, task: name(task) })
                .collect(),
            models: models_of(model_type),
        })
        .collect();
    for entry in &catalogue().models {
        if listed.iter().all(|family| family.model_type != entry.family) {
            let models = models_of(&entry.family);
            listed.push(ListedFamily { model_type: entry.family.clone(), heads: Vec::new(), models });
        }
    }
    listed
}

/// The task's name on the Hub.
fn name(task: HeadTask) -> &'static str {
    match task {
        HeadTask::SequenceClassification => "text-classification",
        HeadTask::TokenClassification => "token-classification",
        HeadTask::QuestionAnswering => "question-answering",
        HeadTask::CausalLm => "text-generation",
        HeadTask::MaskedLm => "fill-mask",
        HeadTask::Pretraining => "pretraining",
        HeadTask::Seq2SeqLm => "text2text-generation",
    }
}

fn sources(entry: &CatalogueEntry) -> Vec<String> {
    let hub = if entry.gated { "Hub (after accepting its terms)" } else { "Hub" };
    let package = entry.package.as_ref().map(|package| format!("Python package {}", package.name));
    let stand_in = entry.stand_in.as_ref().map(|name| format!("stand-in {name}"));
    [hub.to_owned()].into_iter().chain(package).chain(stand_in).collect()
}

/// One line per family and two per model.
fn block(family: &ListedFamily) -> String {
    let tasks: Vec<&str> = family.heads.iter().map(|head| head.task).collect();
    let tasks = if tasks.is_empty() { "not in this version".into() } else { tasks.join(", ") };
    let mut block = format!("{}: {tasks}\n", family.model_type);
    for ListedModel { entry, sources } in &family.models {
        let CatalogueEntry { name, hub, licence, .. } = entry;
        let (size, sources) = (millions(entry.parameters), sources.join(", else "));
        block += &format!("  {name:<14} {hub:<42} {size:>6}  {licence:<26} {sources}\n");
        block += &format!("  {:<14} {}\n", "", entry.tasks.join(", "));
    }
    block
}

fn millions(parameters: u64) -> String {
    match parameters {
        0..1_000_000_000 => format!("{:.0}M", parameters as f64 / 1e6),
        _ => format!("{:.1}B", parameters as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_and_every_family_is_listed_once() {
        let listed = list();
        let models: usize = listed.iter().map(|family| family.models.len()).sum();
        assert_eq!(models, catalogue().models.len());
        for family in families() {
            assert_eq!(listed.iter().filter(|other| other.model_type == family.model_type).count(), 1);
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(millions(22_713_216), "23M");
        assert_eq!(millions(1_100_048_384), "1.1B");
    }
}
