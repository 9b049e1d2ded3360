//! What belongs to a model's folder besides config.json and weights: its tokenizer, and what programs that use
//! it read.

use std::path::{Component, Path};

use serde_json::Value;

use crate::TrainError;

/// Files that a tokenizer of transformers cannot do without one of.
const VOCABULARIES: [&str; 12] = [
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "source.spm",
    "dict.txt",
    "tekken.json",
    "tiktoken.model",
];

/// The other files of a tokenizer.
const TOKENIZER_PARTS: [&str; 9] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "bpe.codes",
    "target.spm",
    "emoji.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Where transformers keeps chat templates that have a name.
const CHAT_TEMPLATES: &str = "additional_chat_templates";

/// Settings of transformers, sentence-transformers and Temper, and what the model may be used for.
const SETTINGS: [&str; 13] = [
    "temper.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    MODULES,
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
    "NOTICE.txt",
    "USE_POLICY.md",
];

/// What sentence-transformers does with a text, step by step; most steps have a folder.
const MODULES: &str = "modules.json";

/// Whether a folder has a tokenizer, not only settings of one.
pub(crate) fn has_tokenizer(dir: &Path) -> bool {
    VOCABULARIES.iter().any(|name| dir.join(name).is_file())
}

/// Copies a folder's tokenizer, as it is. Files that are there already stay.
///
/// # Errors
/// [`TrainError::File`].
pub(crate) fn copy_tokenizer(from: &Path, to: &Path) -> Result<(), TrainError> {
    for name in VOCABULARIES.iter().chain(&TOKENIZER_PARTS) {
        copy_file(from, to, name)?;
    }
    copy_folder(from, to, Path::new(CHAT_TEMPLATES))
}

/// Copies what else belongs to a model: its settings of generation and of sentence-transformers, with the folders
/// of the latter's steps, and its licence. Files that are there already stay.
///
/// Weights in other formats, model cards and states of training are left out: they are of another model.
///
/// # Errors
/// [`TrainError::File`], also for a modules.json that leads out of the folder.
pub(crate) fn copy_settings(from: &Path, to: &Path) -> Result<(), TrainError> {
    for name in SETTINGS {
        copy_file(from, to, name)?;
    }
    for folder in step_folders(&from.join(MODULES))? {
        copy_folder(from, to, Path::new(&folder))?;
    }
    Ok(())
}

/// The folders that modules.json names, but for the model's own.
fn step_folders(modules: &Path) -> Result<Vec<String>, TrainError> {
    if !modules.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(modules).map_err(|error| TrainError::file(modules, error))?;
    let steps: Vec<Value> =
        serde_json::from_str(&text).map_err(|error| TrainError::content(modules, error))?;
    let paths = steps.iter().filter_map(|step| step.get("path")?.as_str()).filter(|path| !path.is_empty());
    let leads_out = |path: &&str| {
        Path::new(path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
    };
    match paths.clone().find(leads_out) {
        Some(path) => Err(TrainError::content(modules, format!("path {path:?} leads out of the folder"))),
        None => Ok(paths.map(str::to_owned).collect()),
    }
}

fn copy_file(from: &Path, to: &Path, name: impl AsRef<Path>) -> Result<(), TrainError> {
    let (from, to) = (from.join(&name), to.join(&name));
    if !from.is_file() || to.exists() {
        return Ok(());
    }
    // Not `std::fs::copy`: a file of a read-only folder would be read-only here, too.
    let bytes = std::fs::read(&from).map_err(|error| TrainError::file(&from, error))?;
    Ok(temper_files::write(&to, &bytes)?)
}

/// Copies the files of a folder and of those in it.
fn copy_folder(from: &Path, to: &Path, folder: &Path) -> Result<(), TrainError> {
    /// More is no step's folder, but a link that leads in a circle.
    const DEEPEST: usize = 4;
    let path = from.join(folder);
    if !path.is_dir() || folder.components().count() > DEEPEST {
        return Ok(());
    }
    let target = to.join(folder);
    std::fs::create_dir_all(&target).map_err(|error| TrainError::file(&target, error))?;
    let entries = std::fs::read_dir(&path).map_err(|error| TrainError::file(&path, error))?;
    for entry in entries {
        let name = folder.join(entry.map_err(|error| TrainError::file(&path, error))?.file_name());
        match from.join(&name).is_dir() {
            true => copy_folder(from, to, &name)?,
            false => copy_file(from, to, &name)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            match entry.path().is_dir() {
                true => {
                    names.extend(self::names(&entry.path()).iter().map(|inner| format!("{name}/{inner}")))
                }
                false => names.push(name),
            }
        }
        names.sort();
        names
    }

    #[test]
    fn what_belongs_to_a_model_goes_along_and_nothing_else() {
        let modules = r#"[{"idx": 0, "path": ""}, {"idx": 1, "path": "1_Pooling"}, {"path": "2_Normalize"}]"#;
        let from = filled(&[
            ("config.json", "{}"),
            ("model.safetensors", ""),
            ("pytorch_model.bin", ""),
            ("model.safetensors.index.json", ""),
            ("onnx/model.onnx", ""),
            ("model.gguf", ""),
            ("optimizer.pt", ""),
            ("README.md", ""),
            ("tokenizer.json", ""),
            ("tokenizer.model", ""),
            ("tokenizer_config.json", ""),
            ("chat_template.jinja", ""),
            ("additional_chat_templates/tools.jinja", ""),
            ("generation_config.json", ""),
            ("sentence_bert_config.json", ""),
            ("modules.json", modules),
            ("1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": true}"),
            ("LICENSE", ""),
        ]);
        let to = tempfile::tempdir().unwrap();
        assert!(has_tokenizer(from.path()));
        copy_tokenizer(from.path(), to.path()).unwrap();
        assert_eq!(
            names(to.path()),
            [
                "additional_chat_templates/tools.jinja",
                "chat_template.jinja",
                "tokenizer.json",
                "tokenizer.model",
                "tokenizer_config.json"
            ]
        );
        let to = tempfile::tempdir().unwrap();
        copy_settings(from.path(), to.path()).unwrap();
        assert_eq!(
            names(to.path()),
            [
                "1_Pooling/config.json",
                "LICENSE",
                "generation_config.json",
                "modules.json",
                "sentence_bert_config.json"
            ]
        );
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let from = filled(&[("tokenizer.json", "theirs"), ("merges.txt", "theirs")]);
        let to = filled(&[("tokenizer.json", "ours")]);
        copy_tokenizer(from.path(), to.path()).unwrap();
        assert_eq!(std::fs::read_to_string(to.path().join("tokenizer.json")).unwrap(), "ours");
        assert_eq!(names(to.path()), ["merges.txt", "tokenizer.json"]);
    }

    #[test]
    fn steps_outside_the_folder_are_refused() {
        for path in ["../secret", "/etc", "a/../../b"] {
            let text = serde_json::json!([{"path": path}]).to_string();
            let from = filled(&[("modules.json", &text)]);
            let to = tempfile::tempdir().unwrap();
            let error = copy_settings(from.path(), to.path()).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{error}");
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
