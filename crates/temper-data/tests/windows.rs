//! Windows are transformers', and the one that decides a token BERT's, for tiny tokenizers of ten families.
//! `xtask/reference/windows_fixture.py` writes them.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use temper_data::{
    DataError, TextTokenizer, TokenPlace, WhichText, Window, WindowError, WindowInput, WindowSettings,
    best_windows, encode_windows, load_tokenizer,
};

/// What the script writes of a family.
#[derive(Deserialize)]
struct Family {
    model: String,
    /// Tokens of a window at most, and those that neighbours share.
    settings: Vec<(usize, usize)>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    first: Option<String>,
    second: Option<String>,
    spread: Option<String>,
    words: Option<Vec<String>>,
    /// For each setting the windows as runs of tokens; none where transformers raises.
    windows: Vec<Option<Vec<Vec<Run>>>>,
    /// For each setting the window that decides each token of the text, as runs.
    decides: Vec<Option<Vec<Run>>>,
    tokens: Vec<Token>,
}

/// The first, and how many.
type Run = (usize, usize);

/// Id, segment, text, word, and place in characters.
type Token = (u32, u32, Option<usize>, Option<u32>, usize, usize);

impl Case {
    fn input(&self) -> WindowInput<'_> {
        match (&self.words, &self.first, &self.second) {
            (Some(words), ..) => WindowInput::Words(words),
            (_, Some(first), Some(second)) => WindowInput::Pair { first, second },
            (_, Some(first), None) => WindowInput::Text(first),
            _ => panic!("a case without an input"),
        }
    }

    fn spread(&self) -> WhichText {
        if self.spread.as_deref() == Some("second") { WhichText::Second } else { WhichText::First }
    }

    /// The text that a token's place is in.
    fn text(&self, place: &TokenPlace) -> &str {
        match (&self.words, place.text) {
            (Some(words), _) => &words[place.word as usize],
            (None, WhichText::First) => self.first.as_deref().unwrap(),
            (None, WhichText::Second) => self.second.as_deref().unwrap(),
        }
    }

    fn expected(&self, setting: usize) -> Option<Vec<Vec<Token>>> {
        let of = |runs: &Vec<Run>| {
            runs.iter().flat_map(|(start, count)| &self.tokens[*start..start + count]).copied().collect()
        };
        Some(self.windows[setting].as_ref()?.iter().map(of).collect())
    }

    /// A window as the fixture writes one.
    fn tokens(&self, window: &Window) -> Vec<Token> {
        let ids = window.ids.iter().zip(&window.type_ids).zip(&window.places);
        ids.map(|((id, segment), place)| match place {
            None => (*id, *segment, None, None, 0, 0),
            Some(place) => {
                let text = self.text(place);
                let count = |end: u32| text[..end as usize].chars().count();
                let (start, end) = (count(place.start), count(place.end));
                (*id, *segment, Some(place.text as usize), Some(place.word), start, end)
            }
        })
        .collect()
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn family_tokenizer(model: &str) -> TextTokenizer {
    let text = std::fs::read_to_string(folder().join(format!("tokenizer_settings/{model}.json"))).unwrap();
    let family: Value = serde_json::from_str(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in family["files"].as_object().unwrap() {
        let content = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    load_tokenizer(dir.path()).unwrap()
}

#[test]
fn windows_are_transformers() {
    let files = std::fs::read_dir(folder().join("windows")).unwrap();
    let mut families = 0;
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let family: Family = serde_json::from_str(&text).unwrap();
        families += 1;
        let (compared, raised) = check(&family);
        println!("{}: {compared} windows are transformers', {raised} inputs are refused", family.model);
        assert!(compared > 150 && raised > 0, "{}: {compared} and {raised}", family.model);
    }
    assert_eq!(families, 14);
}

fn check(family: &Family) -> (usize, usize) {
    let tokenizer = family_tokenizer(&family.model);
    let (mut compared, mut raised, mut wrong) = (0, 0, Vec::new());
    for case in &family.cases {
        for (setting, &(max_length, stride)) in family.settings.iter().enumerate() {
            let settings = WindowSettings { max_length, stride, spread: case.spread() };
            let what = format!("{} {:?} {settings:?}", family.model, case.input());
            let ours = encode_windows(&tokenizer, &[case.input()], &settings);
            let Some(theirs) = case.expected(setting) else {
                raised += 1;
                let is_refused = matches!(ours, Err(DataError::Window(WindowError::NoRoom { .. })));
                assert!(is_refused, "{what}: {ours:?}");
                continue;
            };
            let ours = ours.unwrap_or_else(|error| panic!("{what}: {error}"));
            compared += ours.len();
            let given: Vec<Vec<Token>> = ours.iter().map(|window| case.tokens(window)).collect();
            // A window without tokens would leave a model nothing to read: one filler id.
            let is_filled = theirs == [vec![]] && given.len() == 1 && given[0].len() == 1;
            if given != theirs && !is_filled {
                wrong.push(format!("{what}:\n  {given:?}\n  {theirs:?}"));
            }
            let runs = case.decides[setting].as_deref().unwrap();
            let expected: Vec<usize> = runs.iter().flat_map(|&(window, count)| vec![window; count]).collect();
            assert_eq!(deciding(&ours), expected, "{what}");
        }
    }
    assert!(wrong.is_empty(), "{} are wrong, the first:\n{}", wrong.len(), wrong[0]);
    (compared, raised)
}

/// The window that decides each token of the text that is spread.
fn deciding(windows: &[Window]) -> Vec<usize> {
    let best = best_windows(windows);
    let tokens = windows.last().map_or(0, |window| window.from + window.spread.len());
    let mut found = vec![None; tokens];
    for (index, (window, best)) in windows.iter().zip(&best).enumerate() {
        assert_eq!(best.len(), window.ids.len());
        for (place, _) in best.iter().enumerate().filter(|(_, is_best)| **is_best) {
            assert!(window.spread.contains(&place));
            let token = window.from + place - window.spread.start;
            assert_eq!(found[token].replace(index), None, "two windows decide token {token}");
        }
    }
    found.into_iter().map(|window| window.expect("a window decides each token")).collect()
}
