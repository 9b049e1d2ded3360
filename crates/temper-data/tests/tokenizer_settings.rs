//! Tokenizers give transformers' ids whatever the files next to them say, or are refused by name; what is saved gives
//! the same ids. `xtask/reference/tokenizer_settings.py` writes the cases with transformers' ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use temper_data::{DataError, EncodeSettings, TextTokenizer, Truncation, encode_all, load_tokenizer};

#[derive(Deserialize)]
struct Family {
    model: String,
    /// Where the files are that are not listed.
    dir: Option<PathBuf>,
    files: Files,
    texts: Vec<String>,
    pairs: Vec<(String, String)>,
    ids: Vec<Vec<u32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// Files that are other than the family's; null where there is none.
    files: Files,
    /// Ids that are other than the family's, by the place of their text.
    #[serde(default)]
    changed: BTreeMap<String, Vec<u32>>,
    /// Whether transformers refuses the folder.
    #[serde(default)]
    refused: bool,
}

/// Names with their content, text or JSON.
type Files = BTreeMap<String, Value>;

fn write(dir: &Path, files: &Files) {
    for (name, content) in files {
        let path = dir.join(name);
        // A link into a mirror is replaced, not written through.
        let _ = std::fs::remove_file(&path);
        match content {
            Value::Null => {}
            Value::String(text) => std::fs::write(path, text).unwrap(),
            Value::Object(bytes) if bytes.contains_key("base64") => {
                let text = bytes["base64"].as_str().unwrap();
                std::fs::write(path, STANDARD.decode(text).unwrap()).unwrap();
            }
            json => std::fs::write(path, json.to_string()).unwrap(),
        }
    }
}

fn folder(family: &Family, case: &Case) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in family.dir.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()) {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    write(dir.path(), &family.files);
    write(dir.path(), &case.files);
    dir
}

fn ids(tokenizer: &TextTokenizer, family: &Family) -> Vec<Vec<u32>> {
    let texts = family.texts.iter().map(|text| (text.as_str(), None));
    let pairs = family.pairs.iter().map(|(first, second)| (first.as_str(), Some(second.as_str())));
    let inputs: Vec<_> = texts.chain(pairs).collect();
    let settings = EncodeSettings { max_length: 100_000, truncation: Truncation::Head };
    let encoded = encode_all(tokenizer, &inputs, &settings, None).expect("encoded");
    encoded.items.into_iter().map(|item| item.ids).collect()
}

fn expected(family: &Family, case: &Case) -> Vec<Vec<u32>> {
    let mut ids = family.ids.clone();
    for (place, changed) in &case.changed {
        ids[place.parse::<usize>().unwrap()] = changed.clone();
    }
    ids
}

/// An empty text without special tokens would leave a model nothing to read: one filler id.
fn same(ours: &[Vec<u32>], theirs: &[Vec<u32>]) -> bool {
    ours.iter().zip(theirs).all(|(ours, theirs)| ours == theirs || (theirs.is_empty() && ours.len() == 1))
}

/// How many cases gave ids, and how many were refused though transformers takes them.
fn check(family: &Family, saved: Option<&Path>) -> (usize, usize) {
    let (mut given, mut refused, mut wrong) = (0, 0, Vec::new());
    for (number, case) in family.cases.iter().enumerate() {
        let dir = folder(family, case);
        let what = format!("{} case {number} {:?}", family.model, case.files);
        let tokenizer = match load_tokenizer(dir.path()) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                let DataError::TokenizerSetting { key, .. } = &error else {
                    assert!(case.refused, "{what}: {error}");
                    continue;
                };
                assert!(error.to_string().contains(key.as_str()), "{error}");
                if !case.refused {
                    println!("refused: {error}");
                    refused += 1;
                }
                continue;
            }
        };
        if case.refused {
            continue;
        }
        given += 1;
        let (ours, theirs) = (ids(&tokenizer, family), expected(family, case));
        if !same(&ours, &theirs) {
            let place = (0..ours.len()).find(|&place| ours[place] != theirs[place]).unwrap();
            wrong.push(format!("{what}: text {place}\n  {:?}\n  {:?}", ours[place], theirs[place]));
            continue;
        }
        tokenizer.save(dir.path(), &EncodeSettings { max_length: 64, truncation: Truncation::Head }).unwrap();
        for file in ["special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"]
        {
            let _ = std::fs::remove_file(dir.path().join(file));
        }
        let again = load_tokenizer(dir.path()).unwrap_or_else(|error| panic!("{what}: saved: {error}"));
        if ids(&again, family) != ours {
            wrong.push(format!("{what}: saved"));
        }
        assert_eq!(again.special(), tokenizer.special(), "{what}: saved");
        if let Some(saved) = saved {
            let target = saved.join(format!("{}-{number}", family.model.replace('/', "-")));
            keep(dir.path(), &target, &theirs);
        }
    }
    assert!(wrong.is_empty(), "{} of {given} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    (given, refused)
}

/// Keeps a saved folder, with the ids that it should give.
fn keep(dir: &Path, target: &Path, ids: &[Vec<u32>]) {
    std::fs::create_dir_all(target).unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json", "config.json"] {
        if dir.join(file).exists() {
            std::fs::copy(dir.join(file), target.join(file)).unwrap();
        }
    }
    std::fs::write(target.join("expected.json"), serde_json::to_string(ids).unwrap()).unwrap();
}

fn families(folder: &Path) -> Vec<Family> {
    let files = std::fs::read_dir(folder).expect("a folder of families");
    let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"));
    texts.map(|text| serde_json::from_str(&text).expect("JSON")).collect()
}

#[test]
fn settings_beside_a_tokenizer_give_transformers_ids_or_are_refused() {
    let families = families(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer_settings"));
    assert_eq!(families.len(), 14);
    for family in families {
        let (given, refused) = check(&family, None);
        println!("{}: {given} give transformers' ids, {refused} are refused", family.model);
        assert!(given > 80 && refused < given / 3, "{}: {given} and {refused}", family.model);
    }
}

/// For longer comparisons: cases of TEMPER_TOKENIZER_CASES; TEMPER_TOKENIZER_SAVED is where folders are saved for
/// `tokenizer_settings.py --check`.
#[test]
#[ignore = "needs cases that tokenizer_settings.py wrote"]
fn settings_of_a_folder_of_cases() {
    let cases = std::env::var_os("TEMPER_TOKENIZER_CASES").expect("TEMPER_TOKENIZER_CASES names a folder");
    let saved = std::env::var_os("TEMPER_TOKENIZER_SAVED").map(PathBuf::from);
    let mut failed = 0;
    for family in families(Path::new(&cases)) {
        // A family that fails has said why.
        match std::panic::catch_unwind(|| check(&family, saved.as_deref())) {
            Ok((given, refused)) => {
                println!("{}: {given} give transformers' ids, {refused} are refused", family.model)
            }
            Err(_) => failed += 1,
        }
    }
    assert_eq!(failed, 0, "families with other ids");
}
