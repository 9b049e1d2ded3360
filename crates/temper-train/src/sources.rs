//! Where files come from: models, datasets, tokenizers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use temper_data::RowsRequest;
use temper_hub::{Hub, HubSettings};

use crate::TrainError;
use crate::headings::{DATA, SOURCES};

/// Where files may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct SourceOptions {
    /// A folder with the Hub's layout (models/ORG/NAME/..., datasets/ORG/NAME/...)
    #[arg(long, help_heading = SOURCES, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
    /// Use only what is on this machine already
    #[arg(long, help_heading = SOURCES)]
    #[serde(default)]
    pub offline: bool,
    /// Fail instead of using a stand-in for what cannot be reached
    #[arg(long, help_heading = SOURCES)]
    #[serde(default)]
    pub no_stand_in: bool,
    /// Branch, tag or commit on the Hub
    #[arg(long, help_heading = SOURCES, value_name = "NAME")]
    pub revision: Option<String>,
    /// A folder with dataset cards of your own
    #[arg(long, help_heading = SOURCES, value_name = "DIR")]
    pub cards: Option<PathBuf>,
}

/// Columns by their role, such as text, text_pair, label, tokens, tags, question, context and answers.
pub type Columns = BTreeMap<String, String>;

/// Which columns of a dataset are meant, where its card does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct ColumnOptions {
    /// A column by its role, such as tags=ner; may be given several times. Roles are text, text_pair and label;
    /// tokens and tags, or text and spans; question, context, answers, id and title
    #[arg(long = "column", help_heading = DATA, value_name = "ROLE=NAME")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<NamedColumn>,
    /// Column of the text: the same as --column text=NAME
    #[arg(long, help_heading = DATA, value_name = "NAME")]
    pub text_column: Option<String>,
    /// Column of a second text: the same as --column text_pair=NAME
    #[arg(long, help_heading = DATA, value_name = "NAME")]
    pub text_pair_column: Option<String>,
    /// Column of the label: the same as --column label=NAME
    #[arg(long, help_heading = DATA, value_name = "NAME")]
    pub label_column: Option<String>,
}

impl ColumnOptions {
    /// The columns that are named, by role.
    pub fn by_role(&self) -> Columns {
        let short = [
            ("text", &self.text_column),
            ("text_pair", &self.text_pair_column),
            ("label", &self.label_column),
        ];
        let short = short.into_iter().filter_map(|(role, name)| Some((role.to_owned(), name.clone()?)));
        short.chain(self.named.iter().map(|column| (column.role.clone(), column.name.clone()))).collect()
    }

    /// These, and those of others for roles that have none here.
    pub fn or(self, others: &Self) -> Self {
        let mut columns = others.by_role();
        columns.extend(self.by_role());
        let named = columns.into_iter().map(|(role, name)| NamedColumn { role, name }).collect();
        Self { named, ..Self::default() }
    }
}

/// A column and its role, written as `role=name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamedColumn {
    /// What it is for.
    pub role: String,
    /// What it is called in the files.
    pub name: String,
}

impl FromStr for NamedColumn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, name) = text.split_once('=').ok_or("write it as ROLE=NAME, such as text=review")?;
        // Cards write text_pair, flags have hyphens.
        Ok(Self { role: role.trim().replace('-', "_"), name: name.to_owned() })
    }
}

impl TryFrom<String> for NamedColumn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NamedColumn> for String {
    fn from(column: NamedColumn) -> Self {
        format!("{}={}", column.role, column.name)
    }
}

impl SourceOptions {
    /// The Hub client for these options; the environment fills in what they leave open.
    pub fn hub(&self, quiet: bool) -> Hub {
        let environment = HubSettings::from_environment();
        Hub::new(HubSettings {
            mirror: self.mirror.clone().or(environment.mirror.clone()),
            offline: self.offline || environment.offline,
            stand_ins: !self.no_stand_in,
            revision: self.revision.clone(),
            progress: environment.progress && !quiet,
            ..environment
        })
    }

    /// Where a user's dataset cards are looked for.
    pub fn card_directories(&self) -> Vec<PathBuf> {
        self.cards.iter().cloned().chain([PathBuf::from("datasets")]).collect()
    }

    /// temper's cache folder.
    pub fn cache(&self) -> PathBuf {
        HubSettings::from_environment().cache
    }
}

/// A file of a dataset that is a path, as it was when the run read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFile {
    /// Its path in the dataset's folder; the file's own name where the dataset is a file.
    pub name: String,
    /// Its sha256.
    pub sha256: String,
}

/// The files of a dataset that are paths, in the order in which they are read; none of a card whose files come from a
/// source. Of several, each has the path by which it was asked for.
///
/// # Errors
/// [`TrainError::File`]; [`TrainError::Data`] for a pattern that no file fits.
pub(crate) fn local_files(request: &RowsRequest) -> Result<Vec<ReadFile>, TrainError> {
    let paths = temper_data::local_paths(request)?;
    if let [path] = &paths[..] {
        return files_of(path);
    }
    let mut files = Vec::new();
    for path in paths {
        let name = |file: String| match path.is_dir() {
            true => format!("{}/{file}", path.display()),
            false => path.display().to_string(),
        };
        files.extend(files_of(&path)?.into_iter().map(|file| ReadFile { name: name(file.name), ..file }));
    }
    Ok(files)
}

/// The files below a path, in the order of their names; none where there is no such path. Hidden ones are no data.
fn files_of(path: &Path) -> Result<Vec<ReadFile>, TrainError> {
    if path.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![ReadFile { name, sha256: temper_files::sha256_of(path)? }]);
    }
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, "", &mut files)?;
    }
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<ReadFile>) -> Result<(), TrainError> {
    let failed = |error| TrainError::file(folder, error);
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if path.is_file() {
            files.push(ReadFile { name, sha256: temper_files::sha256_of(&path)? });
        }
    }
    Ok(())
}
