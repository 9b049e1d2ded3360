//! `temper fetch`.

use std::path::{Path, PathBuf};

use temper_data::{DataError, Format, RowsRequest, find_card, load_tables};

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
            Ok(card) => load_tables(&hub, &dataset(name, directories), card.task)?.resolved,
            Err(DataError::UnknownDataset { .. }) if Format::of_path(Path::new(name)).is_ok() => {
                let path = PathBuf::from(name);
                return Err(TrainError::Usage(match path.exists() {
                    true => format!(
                        "{name} is a file that is here already; fetch takes names of models and datasets"
                    ),
                    false => DataError::NoFile { path }.to_string(),
                }));
            }
            Err(DataError::UnknownDataset { .. }) => Some(LocalModel::find(&hub, name)?.resolved),
            Err(error) => return Err(error.into()),
        };
        // The files of a card without a source are here.
        let Some(resolved) = resolved else { continue };
        if let Some(notice) = resolved.notice() {
            say(&notice);
        }
        if args.json {
            let text = serde_json::to_string(&resolved);
            print_line(&text.map_err(|error| TrainError::file("stdout", error))?)?;
            continue;
        }
        print_line(&format!("{} (from {})", resolved.id, resolved.origin))?;
        for file in &resolved.files {
            print_line(&format!("  {}  {:>12} bytes  {}", file.sha256, file.bytes, file.path.display()))?;
        }
    }
    Ok(())
}

fn dataset(name: &str, card_directories: Vec<PathBuf>) -> RowsRequest {
    RowsRequest { name_or_path: name.to_owned(), card_directories, ..RowsRequest::default() }
}
