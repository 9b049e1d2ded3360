//! `temper datasets`.

use serde::Serialize;
use temper_data::{DatasetCard, card_names, find_card};
use temper_hub::RepoKind;

use crate::terminal::print;
use crate::{SourceOptions, TrainError};

/// List the datasets that have a short name, with their task, and whether they are on this machine
#[derive(Clone, Debug, clap::Args)]
pub struct DatasetsArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

#[derive(Serialize)]
struct ListedDataset {
    name: String,
    task: &'static str,
    title: String,
    licence: String,
    /// Where its files come from, in the order of asking.
    sources: Vec<String>,
    /// True if all its files are in the mirror or the cache.
    is_here: bool,
}

/// Runs the command.
///
/// # Errors
/// [`TrainError::Data`] for a card of the user's that cannot be read; [`TrainError::File`] where stdout cannot be
/// written.
pub fn datasets(args: &DatasetsArgs) -> Result<(), TrainError> {
    let directories = args.sources.card_directories();
    let list = |name: String| Ok(listed(&name, &find_card(&name, &directories)?, &args.sources));
    let listed: Vec<ListedDataset> =
        card_names(&directories).into_iter().map(list).collect::<Result<_, TrainError>>()?;
    if args.json {
        return print(&format!("{}\n", serde_json::json!({ "datasets": listed })));
    }
    let blocks: String = listed.iter().map(block).collect();
    print(
        &(blocks
            + "A dataset can also be a path: csv, tsv, jsonl, parquet, CoNLL or text files, or a folder of them.\n"),
    )
}

/// `name` is the name by which a card is found: that of its file.
fn listed(name: &str, card: &DatasetCard, sources: &SourceOptions) -> ListedDataset {
    let hub = SourceOptions { offline: true, no_stand_in: true, ..sources.clone() }.hub(true);
    let is_here = match card.local_folder() {
        Some(_) => card.local_paths().is_ok(),
        None => hub.fetch(RepoKind::Dataset, &card.name, &card.source, &card.wanted()).is_ok(),
    };
    let local = card.local_folder().map(|folder| format!("files in {}", folder.display()));
    let of_hub = card.source.hub.as_ref().map(|id| format!("Hub {id}"));
    let package = card.source.package.as_ref().map(|package| format!("Python package {}", package.name));
    let stand_in = card.stand_in.as_ref().map(|name| format!("stand-in {name}"));
    ListedDataset {
        name: name.to_owned(),
        task: card.task.name(),
        title: card.title.clone(),
        licence: card.licence.clone(),
        sources: local.into_iter().chain(of_hub).chain(package).chain(stand_in).collect(),
        is_here,
    }
}

/// Two lines per dataset.
fn block(ListedDataset { name, task, title, sources, is_here, .. }: &ListedDataset) -> String {
    let place = if *is_here { "on this machine".into() } else { sources.join(", else ") };
    format!("{name:<18} {task:<22} {place}\n{:<18} {title}\n", "")
}
