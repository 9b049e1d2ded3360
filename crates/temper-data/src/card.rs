//! Dataset cards: what a dataset's name means, as TOML in `datasets/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use temper_hub::{Replaced, Source, WantedFile, catalogue, is_inner_path, near_names};

use crate::pattern::files_of;
use crate::{DataError, Format, HeldOut, TaskKind};

/// The cards that are part of the program, by file name.
const EMBEDDED: &[(&str, &str)] = &[
    ("imdb", include_str!("../datasets/imdb.toml")),
    ("movie-snippets", include_str!("../datasets/movie-snippets.toml")),
    ("squad", include_str!("../datasets/squad.toml")),
    ("squad-articles", include_str!("../datasets/squad-articles.toml")),
    ("sst2", include_str!("../datasets/sst2.toml")),
    ("tiny-shakespeare", include_str!("../datasets/tiny-shakespeare.toml")),
    ("tweet-sentiment", include_str!("../datasets/tweet-sentiment.toml")),
    ("wnut17", include_str!("../datasets/wnut17.toml")),
];

/// The largest card that is read; the built-in ones have about 1 KB.
const MOST_BYTES: u64 = 1 << 20;

/// The files of each split, by their names in the dataset's repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFiles {
    /// To train on.
    pub train: Vec<String>,
    /// To choose by; may be held out of train.
    #[serde(default)]
    pub validation: Vec<String>,
    /// To report; may be held out of train.
    #[serde(default)]
    pub test: Vec<String>,
}

/// What happens to rows without a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlabelled {
    /// They are an error.
    #[default]
    Error,
    /// They are left out.
    Drop,
    /// They are questions that their context does not answer, as in SQuAD 2.0; only for question answering.
    Keep,
}

/// A dataset: where its files are, what they hold and what for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetCard {
    /// The name to ask for.
    pub name: String,
    /// A line for people.
    pub title: String,
    /// Where it is described.
    pub homepage: String,
    /// Its licence, or what is known instead.
    pub licence: String,
    /// What it is for.
    pub task: TaskKind,
    /// How its files are written.
    pub format: Format,
    /// Names of the classes 0, 1, ..., where the files do not carry them.
    pub labels: Option<Vec<String>>,
    /// Rows without a label.
    #[serde(default)]
    pub unlabelled: Unlabelled,
    /// The dataset to use, with a notice, when this one cannot be reached.
    pub stand_in: Option<String>,
    /// Where the files come from; without it, the files lie beside the card.
    #[serde(default)]
    pub source: Source,
    /// The files of each split.
    pub splits: SplitFiles,
    /// Columns by role: text, text_pair, label; tokens, tags; text, spans; question, context, answers,
    /// id, title, is_impossible, answer_start.
    pub columns: BTreeMap<String, String>,
    /// Splits that are cut from train by a hash of the text.
    #[serde(default)]
    pub hold_out: HeldOut,
    /// The folder of a card that was read from a file; no key of a card.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// The built-in name whose place this card of the user's takes; no key of a card.
    #[serde(skip)]
    pub replaced: Option<Replaced>,
}

impl DatasetCard {
    /// Reads a card; `origin` is used in messages.
    ///
    /// # Errors
    /// [`DataError::Card`], also for keys that no card has.
    pub fn parse(text: &str, origin: &str) -> Result<Self, DataError> {
        let failed = |reason: String| DataError::Card { origin: origin.to_string(), reason };
        let card: Self = toml::from_str(text).map_err(|error| failed(with_near_names(error.to_string())))?;
        card.check().map_err(failed)?;
        Ok(card)
    }

    /// The folder of the files of a card without a source: that of the card.
    pub fn local_folder(&self) -> Option<PathBuf> {
        self.folder.clone().filter(|_| !self.has_source())
    }

    fn has_source(&self) -> bool {
        self.source.hub.is_some() || self.source.package.is_some()
    }

    /// The files of a card without a source.
    ///
    /// # Errors
    /// [`DataError::NoFile`] and [`DataError::Pattern`] for names on the card that no file has.
    pub fn local_paths(&self) -> Result<Vec<PathBuf>, DataError> {
        let Some(folder) = self.local_folder() else { return Ok(Vec::new()) };
        let mut paths = Vec::new();
        for name in [&self.splits.train, &self.splits.validation, &self.splits.test].into_iter().flatten() {
            paths.extend(files_of(&folder.join(name).to_string_lossy())?);
        }
        Ok(paths)
    }

    /// All files of the card, in the hub's form.
    pub fn wanted(&self) -> Vec<WantedFile> {
        let splits = &self.splits;
        let mut names: Vec<&String> = Vec::new();
        for name in [&splits.train, &splits.validation, &splits.test].into_iter().flatten() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.into_iter().map(|name| WantedFile::Required(name.clone())).collect()
    }

    /// What serde cannot see.
    fn check(&self) -> Result<(), String> {
        if !self.has_source() && self.stand_in.is_some() {
            return Err("`stand_in` is for a card with a [source]".into());
        }
        if self.splits.train.is_empty() {
            return Err("[splits] needs at least one file for `train`".into());
        }
        self.check_names()?;
        let HeldOut { test, validation } = self.hold_out;
        if !(0.0..1.0).contains(&test) || !(0.0..1.0).contains(&validation) || test + validation >= 1.0 {
            return Err("[hold_out] shares must be at least 0 and together below 1".into());
        }
        for (split, share, files) in
            [("test", test, &self.splits.test), ("validation", validation, &self.splits.validation)]
        {
            if share > 0.0 && !files.is_empty() {
                return Err(format!("`{split}` has its own files and a share in [hold_out]"));
            }
        }
        if self.unlabelled == Unlabelled::Keep && self.task != TaskKind::QuestionAnswering {
            return Err("`unlabelled = \"keep\"` is for question-answering".into());
        }
        let (roles, task) = (self.task.roles(), self.task.name());
        let required = roles.nearest(&self.columns);
        if let Some(role) = required.iter().find(|role| !self.columns.contains_key(**role)) {
            return Err(format!("[columns] needs `{role}` for {task}"));
        }
        let used = [required, roles.optional].concat();
        match self.columns.keys().find(|role| !used.contains(&role.as_str())) {
            Some(role) => {
                Err(format!("[columns] has `{role}`, which {task} does not use; it uses {}", used.join(", ")))
            }
            None => Ok(()),
        }
    }
}

impl DatasetCard {
    /// Names become paths, and texts come to the terminal.
    fn check_names(&self) -> Result<(), String> {
        if self.has_source() {
            self.source.check().map_err(|reason| format!("[source]: {reason}"))?;
        }
        let splits = &self.splits;
        let files = [&splits.train, &splits.validation, &splits.test].into_iter().flatten();
        let mut names = files.chain([&self.name]).chain(&self.stand_in);
        if let Some(name) = names.find(|name| !is_inner_path(name)) {
            return Err(format!("the name {name:?} leads out of its folder, or cannot be written"));
        }
        let texts = [&self.title, &self.homepage, &self.licence].into_iter();
        let mut texts = texts.chain(self.labels.iter().flatten()).chain(self.columns.values());
        match texts.find(|text| text.contains(char::is_control)) {
            Some(text) => Err(format!("{text:?} has control characters")),
            None => Ok(()),
        }
    }

    /// Reads a user's card, and notes whether it takes the place of something built in.
    fn read(path: &Path, name: &str) -> Result<Self, DataError> {
        let origin = path.display().to_string();
        let failed = |source| DataError::io(path, source);
        if std::fs::metadata(path).map_err(failed)?.len() > MOST_BYTES {
            return Err(DataError::Card { origin, reason: format!("it has more than {MOST_BYTES} bytes") });
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| DataError::Card {
            origin: origin.clone(),
            reason: format!("not UTF-8 text ({error})"),
        })?;
        let mut card = Self::parse(text, &origin)?;
        // A copy of a built-in card, as in this project's own folder, replaces nothing.
        let is_copy = EMBEDDED.iter().any(|(_, embedded)| *embedded == text);
        let built_in = [name, &card.name].into_iter().find(|name| !is_copy && is_built_in(name));
        card.folder = Some(path.parent().unwrap_or(Path::new("")).to_path_buf());
        card.replaced = built_in.map(|name| Replaced { built_in: name.to_string(), by: path.to_path_buf() });
        Ok(card)
    }
}

/// True if the program itself has a card or a model of that name.
fn is_built_in(name: &str) -> bool {
    let is_card = |card: &DatasetCard| card.name == name || card.source.hub.as_deref() == Some(name);
    catalogue().find(name).is_some() || cards().is_ok_and(|known| known.iter().any(is_card))
}

/// Adds the known keys that look like an unknown one to serde's message, which lists both.
fn with_near_names(message: String) -> String {
    let names = message.split_once("unknown field `").map(|(_, rest)| rest.split('`').step_by(2));
    let Some(mut names) = names else { return message };
    let near = names.next().map(|unknown| near_names(unknown, names)).unwrap_or_default();
    match near.first() {
        Some(known) => format!("{}\ndid you mean `{known}`?", message.trim_end()),
        None => message,
    }
}

/// The cards that are part of the program, by name.
///
/// # Errors
/// [`DataError::Card`] if one of them were damaged.
pub fn cards() -> Result<Vec<DatasetCard>, DataError> {
    EMBEDDED.iter().map(|(name, text)| DatasetCard::parse(text, name)).collect()
}

/// The card `name`: `<name>.toml` in the first of `directories` that has one, else an embedded
/// card of that name or Hub id. A card of the user's under a built-in name says so
/// ([`DatasetCard::replaced`]).
///
/// # Errors
/// [`DataError::UnknownDataset`] with similar names; [`DataError::Card`].
pub fn find_card(name: &str, directories: &[PathBuf]) -> Result<DatasetCard, DataError> {
    for directory in directories {
        let path = directory.join(format!("{name}.toml"));
        if is_inner_path(name) && path.is_file() {
            return DatasetCard::read(&path, name);
        }
    }
    let known = cards()?;
    let by_name = known.iter().find(|card| card.name == name);
    let by_id = || known.iter().find(|card| card.source.hub.as_deref() == Some(name));
    by_name.or_else(by_id).cloned().ok_or_else(|| {
        let known = card_names(directories);
        let near = near_names(name, known.iter().map(String::as_str));
        DataError::UnknownDataset { name: name.to_string(), near, known }
    })
}

/// Names of all cards: those that are part of the program, then those in the user's folders. Folders that cannot be
/// read have none.
pub fn card_names(directories: &[PathBuf]) -> Vec<String> {
    let mut own: Vec<String> = directories
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .filter(|name| EMBEDDED.iter().all(|(embedded, _)| embedded != name))
        .collect();
    own.sort();
    own.dedup();
    EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"
        name = "reviews"
        title = "Reviews"
        homepage = "none"
        licence = "CC0"
        task = "text-classification"
        format = "csv"
        [source]
        hub = "me/reviews"
        [splits]
        train = ["train.csv"]
        [columns]
        text = "review"
        label = "stars"
        [hold_out]
        test = 0.2
        validation = 0.1
    "#;

    fn parse_with(old: &str, new: &str) -> Result<DatasetCard, DataError> {
        assert!(CARD.contains(old));
        DatasetCard::parse(&CARD.replace(old, new), "reviews.toml")
    }

    fn refused(old: &str, new: &str, parts: &[&str]) {
        let message = parse_with(old, new).unwrap_err().to_string();
        for part in parts.iter().chain(&["reviews.toml"]) {
            assert!(message.contains(part), "{part} not in: {message}");
        }
    }

    #[test]
    fn every_embedded_card_parses_and_is_called_what_its_file_is() {
        let cards = cards().unwrap();
        let names: Vec<_> = cards.iter().map(|card| card.name.as_str()).collect();
        let files: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, files);
    }

    #[test]
    fn every_stand_in_is_a_card_of_the_same_task() {
        for card in cards().unwrap() {
            if let Some(stand_in) = &card.stand_in {
                assert_eq!(find_card(stand_in, &[]).unwrap().task, card.task);
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        refused("licence =", "license =", &["license", "did you mean `licence`?"]);
        refused("hub =", "hubb =", &["hubb"]);
        refused("train =", "trian =", &["trian"]);
        refused("test = 0.2", "tests = 0.2", &["tests"]);
        refused("text =", "txt =", &["`text`"]);
        refused("stars\"", "stars\"\nid = \"id\"", &["`id`", "text, label, text_pair"]);
        refused("\"text-classification\"", "\"regression\"", &["regression"]);
    }

    #[test]
    fn shares_that_leave_nothing_to_train_on_are_refused() {
        refused("test = 0.2", "test = 0.9", &["below 1"]);
        refused("test = 0.2", "test = -0.2", &["at least 0"]);
        refused("[columns]", "test = [\"t.csv\"]\n[columns]", &["`test` has its own files"]);
    }

    #[test]
    fn the_users_card_comes_before_the_embedded_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = CARD.replace("\"reviews\"", "\"imdb\"");
        std::fs::write(folder.path().join("imdb.toml"), text).unwrap();
        let own = find_card("imdb", &[folder.path().to_path_buf()]).unwrap();
        assert_eq!(own.source.hub.as_deref(), Some("me/reviews"));
        let by = folder.path().join("imdb.toml");
        assert_eq!(own.replaced, Some(Replaced { built_in: "imdb".into(), by }));
        let embedded = find_card("imdb", &[]).unwrap();
        assert_eq!(embedded.source.hub.as_deref(), Some("stanfordnlp/imdb"));
        assert_eq!(embedded.replaced, None);
    }

    #[test]
    fn a_hub_id_finds_its_card() {
        assert_eq!(find_card("stanfordnlp/imdb", &[]).unwrap().name, "imdb");
    }

    #[test]
    fn an_unknown_name_is_answered_with_similar_ones_and_what_to_do() {
        let message = find_card("imbd", &[]).unwrap_err().to_string();
        for part in ["`imbd`", "did you mean `imdb`", "datasets/imbd.toml", "`sst2`"] {
            assert!(message.contains(part), "{part} not in: {message}");
        }
    }
}
