//! `temper fetch`.

use temper_data::{ColumnChoice, DataError, find_card, load_tables};

use crate::terminal::{print_line, say};
use crate::{LocalModel, SourceOptions, TrainError};

/// Download a model or a dataset and print its files
#[derive(Clone, Debug, clap::Args)]
pub struct FetchArgs {
    /// Names of models or datasets
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Print only errors on stderr
    #[arg(long)]
    pub quiet: bool,
    /// Print one JSON object per name
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
pub fn fetch(args: &FetchArgs) -> Result<(), TrainError> {
    let hub = args.sources.hub(args.quiet);
    for name in &args.names {
        let directories = args.sources.card_directories();
        let resolved = match find_card(name, &directories) {
            Ok(card) => load_tables(&hub, name, &directories, card.task, &ColumnChoice::default())?.resolved,
            Err(DataError::UnknownDataset { .. }) => Some(LocalModel::find(&hub, name)?.resolved),
            Err(error) => return Err(error.into()),
        };
        // A card always resolves to files.
        let Some(resolved) = resolved else { continue };
        if let Some(notice) = resolved.notice() {
            say(&notice);
        }
        if args.json {
            let text = serde_json::to_string(&resolved);
            print_line(&text.map_err(|error| TrainError::file("stdout", error))?)?;
            continue;
        }
        print_line(&format!("{} ({:?})", resolved.id, resolved.origin))?;
        for file in &resolved.files {
            print_line(&format!("  {}  {:>12} bytes  {}", file.sha256, file.bytes, file.path.display()))?;
        }
    }
    Ok(())
}
