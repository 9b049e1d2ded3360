//! `temper manual`, which writes pages for `man`.

use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::TrainError;

/// Write pages for man, one for each command: temper.1, temper-finetune.1, ...
#[derive(Clone, Debug, clap::Args)]
pub struct ManualArgs {
    /// Where they are written
    folder: PathBuf,
}

/// Writes the pages of `program` and of all its commands.
///
/// # Errors
/// [`TrainError::File`].
pub fn manual(args: &ManualArgs, mut program: clap::Command) -> Result<(), TrainError> {
    // Names and global flags reach the commands only now.
    program.build();
    write_page(&args.folder, program)
}

/// A page for a command, and pages for those below it.
fn write_page(folder: &Path, command: clap::Command) -> Result<(), TrainError> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        // `help` repeats what the pages say.
        if inner.get_name() != "help" {
            write_page(folder, inner.clone())?;
        }
    }
    // `temper-runs-show` of `temper runs show`.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| TrainError::file(&path, error))?;
    Ok(temper_files::write(&path, &page)?)
}
