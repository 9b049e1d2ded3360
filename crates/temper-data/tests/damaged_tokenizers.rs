//! A damaged tokenizer file is an error that names it: no panic, no text on stderr, no hang, no absurd amount of memory.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread::ThreadId;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use temper_data::{
    DataError, EncodeSettings, TextTokenizer, Truncation, WhichText, WindowInput, WindowSettings, encode_all,
    encode_windows, load_tokenizer,
};

/// Mutations of each file; TEMPER_MUTATIONS has more for longer trials.
const MUTATIONS: usize = 5_000;
/// What hostile files hold: ids beyond any vocabulary, other types, parts of the syntax.
const PIECES: &[&str] = &[
    "4294967295",
    "4294967296",
    "-1",
    "1e999",
    "0.5",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\ud800",
    "\u{1}",
    "\u{e9}",
    "\u{2581}",
    "\"A\"",
    "\"B\"",
    "\"[CLS]\"",
    "\"type\"",
    "\"Sequence\"",
    "\"Precompiled\"",
    "\"Strip\"",
    "\"BPE\"",
    "\"Unigram\"",
    "\"WordPiece\"",
    "\"ByteFallback\"",
    "\"Split\"",
];

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0.next_u64() as usize % limit.max(1)
    }
}

/// Bytes changed, taken out, doubled or moved, a few times.
fn mutated(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw.below(3) {
        let at = draw.below(bytes.len());
        let until = (at + 1 + draw.below(12)).min(bytes.len());
        match draw.below(6) {
            0 => bytes[at] ^= 1 << draw.below(8),
            1 => drop(bytes.drain(at..until)),
            2 => bytes.truncate(at.max(1)),
            3 => {
                let copy = bytes[at..until].to_vec();
                let to = draw.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            4 => drop(bytes.splice(at..at, PIECES[draw.below(PIECES.len())].bytes())),
            _ => {
                // A whole value for another.
                let end =
                    bytes[at..].iter().position(|byte| b",:]}".contains(byte)).map_or(at, |end| at + end);
                drop(bytes.splice(at..end, PIECES[draw.below(PIECES.len())].bytes()));
            }
        }
        if bytes.is_empty() {
            return bytes;
        }
    }
    bytes
}

/// A file of JSON with some of its values replaced, taken out or put under another key.
fn changed(text: &str, draw: &mut Draw) -> Vec<u8> {
    let mut json: Value = serde_json::from_str(text).unwrap();
    for _ in 0..=draw.below(3) {
        let copy = some_value(&mut json, draw).clone();
        let value = some_value(&mut json, draw);
        let piece = serde_json::from_str(PIECES[draw.below(PIECES.len())]);
        match (draw.below(4), piece) {
            (0, _) => *value = copy,
            (1, _) => match value {
                Value::Object(fields) => {
                    let key = fields.keys().nth(draw.below(fields.len())).cloned();
                    let old = key.and_then(|key| fields.shift_remove(&key));
                    let keys = ["type", "id", "ids", "special_tokens", "pattern", "[PAD]", "normalizers"];
                    fields.extend(old.map(|old| (keys[draw.below(keys.len())].to_owned(), old)));
                }
                Value::Array(items) if !items.is_empty() => {
                    let (from, to) = (draw.below(items.len()), draw.below(items.len()));
                    items.swap(from, to);
                    items.truncate(from.max(1));
                }
                value => *value = Value::Null,
            },
            (_, Ok(piece)) => *value = piece,
            (_, Err(_)) => *value = json!(draw.below(3)),
        }
    }
    json.to_string().into_bytes()
}

/// A value somewhere within; of the vocabulary, which is most of a file, no more often than of the rest.
fn some_value<'a>(json: &'a mut Value, draw: &mut Draw) -> &'a mut Value {
    let stops = draw.below(6) == 0;
    let (count, of) = match &*json {
        Value::Object(fields) => (fields.len(), true),
        Value::Array(items) => (items.len(), false),
        _ => (0, false),
    };
    if stops || count == 0 {
        return json;
    }
    let place = draw.below(count);
    let inner = match json {
        Value::Object(fields) if of => fields.values_mut().nth(place),
        Value::Array(items) => items.get_mut(place),
        _ => None,
    };
    some_value(inner.expect("a place within"), draw)
}

/// Loads and, where that goes well, uses the tokenizer.
fn attempt(dir: &Path, is_saved: bool) -> Result<(), DataError> {
    let tokenizer = load_tokenizer(dir)?;
    let settings =
        EncodeSettings { max_length: 64 + tokenizer.special_count(true), truncation: Truncation::Tail };
    let texts = [("the Movie, 電影 <s>[MASK] \u{e9}\u{301}", None), ("", Some("unaffable 😀"))];
    let set = encode_all(&tokenizer, &texts, &settings, None)?;
    for item in &set.items {
        assert!(item.ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size().max(1)), "an id is unknown");
        assert!(item.type_ids.iter().all(|&id| id < 2), "a segment is unknown");
        // A decoder may refuse ids.
        let _ = tokenizer.decode(&item.ids);
    }
    if is_saved {
        tokenizer
            .save(&dir.join("saved"), &EncodeSettings { max_length: 64, truncation: Truncation::Head })?;
    }
    attempt_windows(&tokenizer)
}

/// Windows of a text, a pair and words, with places that slice them.
fn attempt_windows(tokenizer: &TextTokenizer) -> Result<(), DataError> {
    let (first, second) = ("the Movie, 電影 <s>[MASK] \u{e9}\u{301}", "unaffable 😀");
    let words = ["the", "", "電影", "[MASK]😀"].map(String::from);
    let inputs = [WindowInput::Pair { first, second }, WindowInput::Text(first), WindowInput::Words(&words)];
    let max_length = 8 + tokenizer.special_count(true).max(tokenizer.special_count(false));
    for input in inputs {
        let settings = WindowSettings { max_length, stride: 2, spread: WhichText::First };
        let windows = match encode_windows(tokenizer, &[input], &settings) {
            Ok(windows) => windows,
            // The second text may have any number of tokens.
            Err(DataError::Window(_)) => continue,
            Err(error) => return Err(error),
        };
        for window in &windows {
            assert!(window.ids.len() <= max_length, "a window is too long");
            assert!(window.type_ids.iter().all(|&id| id < 2), "a segment is unknown");
            for place in window.places.iter().flatten() {
                let text = match (input, place.text) {
                    (WindowInput::Words(words), _) => &words[place.word as usize],
                    (_, WhichText::First) => first,
                    (_, WhichText::Second) => second,
                };
                assert!(text.get(place.range()).is_some(), "{place:?} is not in its text");
            }
        }
    }
    Ok(())
}

/// A file next to a tokenizer that says much.
const CONFIG: &str = r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false, "strip_accents": null,
    "add_prefix_space": true, "model_input_names": ["input_ids"], "mask_token": {"__type": "AddedToken",
    "content": "[MASK]", "lstrip": true, "normalized": false, "rstrip": false, "single_word": false},
    "additional_special_tokens": ["<new>"], "image_token": "<image>", "split_special_tokens": false,
    "added_tokens_decoder": {"0": {"content": "[PAD]", "special": true}, "3": {"content": "[SEP]"}}}"#;

/// Files to damage, with those that stay next to them: three tiny tokenizers (WordPiece, BPE and Unigram), and the
/// settings of the first.
fn files() -> Vec<(&'static str, &'static str, String, Option<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer_settings");
    let read = |model: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{model}.json"))).unwrap();
        let family: serde_json::Value = serde_json::from_str(&text).unwrap();
        family["files"]["tokenizer.json"].as_str().unwrap().to_owned()
    };
    let definition = "tokenizer.json";
    let mut files: Vec<_> =
        ["bert", "llama", "t5"].into_iter().map(|model| (model, definition, read(model), None)).collect();
    files.push(("settings", "tokenizer_config.json", CONFIG.to_owned(), Some(read("bert"))));
    files
}

/// Panics that are printed, with their threads.
static HEARD: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());

/// Hears panics. Each test of this file calls it first: the crate puts a hook of its own before the one that it finds,
/// once, and this has to be that one.
fn hear_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // The lock is free again when a failed assertion comes here.
            if let Ok(mut heard) = HEARD.try_lock() {
                heard.push((std::thread::current().id(), panic.to_string()));
            }
            usual(panic);
        }));
    });
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    hear_panics();
    let this_test = std::thread::current().id();
    let printed = || {
        HEARD.lock().unwrap().iter().filter(|(thread, _)| *thread == this_test).cloned().collect::<Vec<_>>()
    };
    let mutations =
        std::env::var("TEMPER_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(MUTATIONS);
    let seed = std::env::var("TEMPER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (good, bad) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for (model, name, text, definition) in files() {
        let dir = tempfile::tempdir().unwrap();
        if let Some(definition) = definition {
            std::fs::write(dir.path().join("tokenizer.json"), definition).unwrap();
        }
        std::fs::create_dir(dir.path().join("saved")).unwrap();
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        for number in 0..mutations {
            let bytes = match number % 2 {
                0 => mutated(text.as_bytes(), &mut draw),
                _ => changed(&text, &mut draw),
            };
            std::fs::write(dir.path().join(name), &bytes).unwrap();
            // To write through to the disk takes longer than all else.
            match attempt(dir.path(), number % 50 < 2) {
                Ok(()) => good.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    let message = error.to_string();
                    let is_named = message.contains(name) || matches!(error, DataError::Encode { .. });
                    let is_kind = is_named || matches!(error, DataError::TokenizerSetting { .. });
                    if !is_kind || message.len() >= 1_000 {
                        panic!("{model} {number}: {message}");
                    }
                    bad.fetch_add(1, Ordering::Relaxed)
                }
            };
            let heard = printed();
            assert!(heard.is_empty(), "{model} {number}: {heard:?}");
        }
    }
    let (good, bad) = (good.into_inner(), bad.into_inner());
    println!("{bad} refused, {good} still a tokenizer");
    assert!(bad > mutations && good > mutations / 100, "{bad} {good}");
}

#[test]
fn what_the_library_panics_on_is_damage() {
    hear_panics();
    let (_, _, text, _) = files().swap_remove(0);
    let decoder = r#""decoder":{"type":"WordPiece""#;
    assert!(text.contains(decoder));
    for (what, with) in [
        ("a control character", "\"decoder\":{\"type\":\"Word\u{1}Piece\""),
        ("a key that is not text", r#""decoder":{5"#),
        ("no comma", r#""decoder":{"type" "WordPiece""#),
        (
            "a table that is none",
            r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"*"},"decoder":{"type":"WordPiece""#,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), text.replace(decoder, with)).unwrap();
        let error = load_tokenizer(dir.path()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, DataError::BadTokenizer { .. }), "{what}: {message}");
        assert!(message.contains("tokenizer.json: this file is damaged"), "{what}: {message}");
    }
}

#[test]
fn added_tokens_have_ids_of_their_own() {
    hear_panics();
    let dir = tempfile::tempdir().unwrap();
    let load = |lines: &[&str]| {
        std::fs::write(dir.path().join("vocab.txt"), lines.join("\n")).unwrap();
        load_tokenizer(dir.path())
    };
    // [SEP] and [MASK] are added after the vocabulary.
    let tokenizer = load(&["[PAD]", "[UNK]", "[CLS]", "the"]).unwrap();
    assert_eq!((tokenizer.added_token_id("[SEP]"), tokenizer.added_token_id("[MASK]")), (Some(4), Some(5)));
    // The last line of a token counts: four tokens, with ids up to 4.
    let error = load(&["[PAD]", "[UNK]", "[CLS]", "the", "[PAD]"]).unwrap_err().to_string();
    assert!(error.contains("`[SEP]` gets the id 4, which the vocabulary gives to `[PAD]`"), "{error}");
    // With nothing to add, a repeated line does no harm.
    assert!(load(&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "the"]).is_ok());
}

#[test]
fn ids_beyond_the_vocabulary_are_refused_before_use() {
    hear_panics();
    let (_, _, text, _) = files().swap_remove(0);
    let good: Value = serde_json::from_str(&text).unwrap();
    for (place, value, part) in [
        ("/model/vocab/the", json!(4_000_000_000_u32), "`the` the id 4000000000"),
        ("/added_tokens/0/id", json!(4_294_967_295_u32), "4294967295"),
        ("/added_tokens/0/id", json!(3), "with the id 3, which is 0"),
        ("/post_processor/special_tokens/[CLS]/ids/0", json!(4_000_000_000_u32), "adds the id 4000000000"),
        ("/post_processor/special_tokens/[SEP]/ids", json!([]), "does not give"),
        ("/post_processor/single/0/SpecialToken/type_id", json!(9), "segment 9"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), bad.to_string()).unwrap();
        let message = load_tokenizer(dir.path()).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json") && message.contains(part), "{place}: {message}");
    }
}
