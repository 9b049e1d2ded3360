//! A location that may hold the files of a repository, and how the wanted ones are taken from it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use temper_files::sha256_of;

use crate::error::HubError;
use crate::resolved::ResolvedFile;
use crate::rules::is_inner_path;
use crate::source::WantedFile;

/// The largest index of shards that is read. Those of the largest models have some 10 MB.
const MOST_JSON: u64 = 64 << 20;

/// One source of one repository.
pub(crate) trait Location {
    /// What to call it in messages.
    fn id(&self) -> String;

    /// The file on this machine, hashed and checked; `None` when the location does not have it.
    fn get(&self, file: &str) -> Result<Option<ResolvedFile>, HubError>;

    /// A file of sharded weights that it has, where its files can be listed.
    fn shard(&self) -> Option<String> {
        None
    }
}

/// Takes the wanted files, and the shards of any index among them.
pub(crate) fn collect(location: &dyn Location, wanted: &[WantedFile]) -> Result<Vec<ResolvedFile>, HubError> {
    let mut files = Vec::new();
    for wish in wanted {
        let found = match wish {
            WantedFile::Required(name) => Some(first_of(location, std::slice::from_ref(name))?),
            WantedFile::FirstOf(names) => Some(first_of(location, names)?),
            WantedFile::Optional(name) => get_inside(location, name)?,
            WantedFile::AnyOf(names) => {
                names.iter().find_map(|name| get_inside(location, name).transpose()).transpose()?
            }
        };
        let Some(found) = found else { continue };
        let shards = shards_of(&found)?;
        let index = found.name.clone();
        files.push(found);
        for shard in shards {
            let missing =
                || HubError::MissingShard { id: location.id(), index: index.clone(), shard: shard.clone() };
            files.push(get_inside(location, &shard)?.ok_or_else(missing)?);
        }
    }
    Ok(files)
}

fn first_of(location: &dyn Location, names: &[String]) -> Result<ResolvedFile, HubError> {
    for name in names {
        if let Some(file) = get_inside(location, name)? {
            return Ok(file);
        }
    }
    let takes_shards = names.iter().any(|name| name.ends_with(".index.json"));
    let shard = if takes_shards { location.shard() } else { None };
    let tried = shard.map(|shard| {
        format!("it has {shard}, a part of sharded weights, but not their index; fetch it, too")
    });
    Err(HubError::NotFound {
        id: location.id(),
        file: names.join(" or "),
        tried: tried.into_iter().collect(),
    })
}

/// Whether a file is a part of sharded weights, such as `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    let stem = name.strip_suffix(".safetensors").or(name.strip_suffix(".bin")).unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = stem.rsplit_once("-of-").and_then(|(start, of)| Some((start.rsplit_once('-')?.1, of)));
    parts.is_some_and(|(part, of)| is_number(part) && is_number(of))
}

fn get_inside(location: &dyn Location, name: &str) -> Result<Option<ResolvedFile>, HubError> {
    if !is_inner_path(name) {
        return Err(HubError::Card {
            name: location.id(),
            reason: format!("the file name {name:?} leads out of the repository, or cannot be written"),
        });
    }
    location.get(name)
}

/// The files among which an index divides the weights; none for any other file.
fn shards_of(file: &ResolvedFile) -> Result<Vec<String>, HubError> {
    let is_index = file.name.ends_with(".safetensors.index.json") || file.name.ends_with(".bin.index.json");
    if !is_index {
        return Ok(Vec::new());
    }
    let wrong = |reason: String| HubError::Format { what: file.path.display().to_string(), reason };
    let text = read_text(&file.path)?;
    let index: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let map = index
        .get("weight_map")
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
        .ok_or_else(|| wrong("it has no `weight_map` with entries".into()))?;
    let folder = file.name.rsplit_once('/').map(|(folder, _)| folder);
    let mut shards = BTreeSet::new();
    for (tensor, shard) in map {
        let shard =
            shard.as_str().ok_or_else(|| wrong(format!("the entry of {tensor:?} is not a file name")))?;
        shards.insert(match folder {
            Some(folder) => format!("{folder}/{shard}"),
            None => shard.to_string(),
        });
    }
    Ok(shards.into_iter().collect())
}

/// The text of a small JSON file.
///
/// # Errors
/// [`HubError::Format`] where it has more than [`MOST_JSON`] bytes or is no UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, HubError> {
    let failed = |error| HubError::io(path, error);
    let wrong = |reason: String| HubError::Format { what: path.display().to_string(), reason };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST_JSON + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_JSON {
        return Err(wrong(format!("it has more than {MOST_JSON} bytes, too many for such a file")));
    }
    String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))
}

/// Hashes and measures a file that is on this machine.
pub(crate) fn measured(name: &str, path: PathBuf) -> Result<ResolvedFile, HubError> {
    let bytes = fs::metadata(&path).map_err(|error| HubError::io(&path, error))?.len();
    let sha256 = sha256_of(&path)?;
    Ok(ResolvedFile { name: name.to_string(), path, sha256, bytes })
}

/// A folder on this machine: one that the user names, or one of the mirror.
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
    /// The mirror, which others may fill: no link leads out of it. A folder that the user names may
    /// consist of links, as those of the Hub's cache do.
    pub(crate) mirror: Option<&'a Path>,
}

impl Folder<'_> {
    fn check_links(&self, path: &Path) -> Result<(), HubError> {
        let Some(mirror) = self.mirror else {
            return Ok(());
        };
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| HubError::io(path, error));
        if real(path)?.starts_with(real(mirror)?) {
            return Ok(());
        }
        Err(HubError::Format {
            what: path.display().to_string(),
            reason: format!(
                "it is a link out of the mirror {}. Copy the file, or name its folder itself",
                mirror.display()
            ),
        })
    }
}

impl Location for Folder<'_> {
    fn id(&self) -> String {
        self.path.display().to_string()
    }

    fn get(&self, file: &str) -> Result<Option<ResolvedFile>, HubError> {
        let path = self.path.join(file);
        if !path.is_file() {
            return Ok(None);
        }
        self.check_links(&path)?;
        measured(file, path).map(Some)
    }

    fn shard(&self) -> Option<String> {
        let names =
            fs::read_dir(self.path).ok()?.flatten().filter_map(|file| file.file_name().into_string().ok());
        names.filter(|name| is_shard(name)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn collected(folder: &Path, wanted: &[WantedFile]) -> Result<Vec<String>, HubError> {
        let files = collect(&Folder { path: folder, mirror: None }, wanted)?;
        Ok(files.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn an_index_brings_its_shards_once_each() {
        let folder = folder_with(&[
            ("sub/a.safetensors.index.json", r#"{"weight_map": {"x": "2", "y": "1", "z": "2"}}"#),
            ("sub/1", ""),
            ("sub/2", ""),
        ]);
        let wanted = [WantedFile::Required("sub/a.safetensors.index.json".into())];
        assert_eq!(
            collected(folder.path(), &wanted).unwrap(),
            ["sub/a.safetensors.index.json", "sub/1", "sub/2"]
        );
        fs::remove_file(folder.path().join("sub/1")).unwrap();
        let error = collected(folder.path(), &wanted).unwrap_err();
        assert!(matches!(error, HubError::MissingShard { shard, .. } if shard == "sub/1"));
    }

    #[test]
    fn a_bad_index_is_an_error_and_reads_nothing_outside() {
        for text in ["", "[]", r#"{"weight_map": {}}"#, r#"{"weight_map": {"x": 1}}"#] {
            let folder = folder_with(&[("m.bin.index.json", text)]);
            let wanted = [WantedFile::Required("m.bin.index.json".into())];
            let error = collected(folder.path(), &wanted).unwrap_err();
            assert!(matches!(error, HubError::Format { .. }), "{text}: {error}");
        }
        let folder = folder_with(&[("m.bin.index.json", r#"{"weight_map": {"x": "../secret"}}"#)]);
        let wanted = [WantedFile::Required("m.bin.index.json".into())];
        let error = collected(folder.path(), &wanted).unwrap_err();
        assert!(matches!(error, HubError::Card { .. }), "{error}");
    }

    #[test]
    fn names_in_an_index_are_printable_and_an_index_has_an_end() {
        for shard in ["a\\u001b[2J", "a\\nb", "/etc/passwd", "a/../../b"] {
            let text = format!(r#"{{"weight_map": {{"x": "{shard}"}}}}"#);
            let folder = folder_with(&[("m.bin.index.json", &text)]);
            let error =
                collected(folder.path(), &[WantedFile::Required("m.bin.index.json".into())]).unwrap_err();
            assert!(matches!(error, HubError::Card { .. }), "{shard}: {error}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        let folder = folder_with(&[("m.bin.index.json", "")]);
        let index = File::options().write(true).open(folder.path().join("m.bin.index.json")).unwrap();
        index.set_len(MOST_JSON + 1).unwrap();
        let error = collected(folder.path(), &[WantedFile::Required("m.bin.index.json".into())]).unwrap_err();
        assert!(matches!(&error, HubError::Format { reason, .. } if reason.contains("more than")), "{error}");
    }

    #[test]
    fn parts_without_their_index_are_named() {
        let wanted =
            [WantedFile::FirstOf(vec!["model.safetensors".into(), "model.safetensors.index.json".into()])];
        let folder = folder_with(&[
            ("model-00002-of-00002.safetensors", ""),
            ("model-00001-of-00002.safetensors", ""),
        ]);
        let error = collected(folder.path(), &wanted).unwrap_err().to_string();
        assert!(error.contains("model-00001-of-00002.safetensors, a part of sharded weights"), "{error}");
        let folder = folder_with(&[("model-of-mine.safetensors", ""), ("a-b-of-c.bin", "")]);
        let error = collected(folder.path(), &wanted).unwrap_err().to_string();
        assert!(!error.contains("sharded"), "{error}");
    }

    #[test]
    fn the_first_alternative_wins_and_optional_files_may_lack() {
        let folder = folder_with(&[("b", ""), ("c", "")]);
        let wanted =
            [WantedFile::Optional("z".into()), WantedFile::FirstOf(vec!["a".into(), "b".into(), "c".into()])];
        assert_eq!(collected(folder.path(), &wanted).unwrap(), ["b"]);
        let any =
            |names: [&str; 2]| collected(folder.path(), &[WantedFile::AnyOf(names.map(String::from).into())]);
        assert_eq!(any(["c", "b"]).unwrap(), ["c"]);
        assert!(any(["x", "y"]).unwrap().is_empty());
        let none = [WantedFile::FirstOf(vec!["x".into(), "y".into()])];
        let error = collected(folder.path(), &none).unwrap_err();
        assert!(matches!(error, HubError::NotFound { file, .. } if file == "x or y"));
    }
}
