//! What holds for windows of any text: no token is lost, neighbours share what they should, places slice the text; and
//! what is refused.

mod common;

use std::path::Path;

use common::{letter, write_bert_vocab};
use proptest::prelude::*;
use serde_json::{Value, json};
use temper_data::{
    DataError, Encoded, EncodedSet, TextTokenizer, TokenPlace, WhichText, Window, WindowError, WindowInput,
    WindowSettings, best_windows, collate, encode_windows, load_tokenizer,
};

const CLS: u32 = 2;
const SEP: u32 = 3;

fn bert() -> TextTokenizer {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    load_tokenizer(dir.path()).unwrap()
}

/// The files of a family of `tokenizer_settings.py`.
fn files(model: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer_settings");
    let text = std::fs::read_to_string(folder.join(format!("{model}.json"))).unwrap();
    let mut family: Value = serde_json::from_str(&text).unwrap();
    let mut files = family["files"].take();
    files["tokenizer.json"] = serde_json::from_str(files["tokenizer.json"].as_str().unwrap()).unwrap();
    files
}

fn load(files: &Value) -> TextTokenizer {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files.as_object().unwrap() {
        std::fs::write(dir.path().join(name), content.to_string()).unwrap();
    }
    load_tokenizer(dir.path()).unwrap()
}

const FAMILIES: [&str; 7] = ["bert", "gpt2", "roberta", "llama", "t5", "xlm-roberta", "openai-gpt"];

fn settings(max_length: usize, stride: usize, spread: WhichText) -> WindowSettings {
    WindowSettings { max_length, stride, spread }
}

fn place(text: WhichText, word: u32, start: u32, end: u32) -> Option<TokenPlace> {
    Some(TokenPlace { text, word, start, end })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn refused(inputs: &[WindowInput<'_>], settings: WindowSettings) -> DataError {
    encode_windows(&bert(), inputs, &settings).unwrap_err()
}

#[test]
fn a_question_stands_in_each_window_of_its_text() {
    use WhichText::{First, Second};
    let input = WindowInput::Pair { first: "a b", second: "caf\u{e9}, c d" };
    let windows = encode_windows(&bert(), &[input], &settings(8, 1, Second)).unwrap();
    let (a, b, c, d) = (letter('a'), letter('b'), letter('c'), letter('d'));
    let (cafe, comma) = (10, 14);
    assert_eq!(windows.len(), 2);
    assert_eq!(windows[0].ids, [CLS, a, b, SEP, cafe, comma, c, SEP]);
    assert_eq!(windows[0].type_ids, [0, 0, 0, 0, 1, 1, 1, 1]);
    let question = [None, place(First, 0, 0, 1), place(First, 1, 2, 3), None];
    // `é` has two bytes.
    let text = [place(Second, 0, 0, 5), place(Second, 1, 5, 6), place(Second, 2, 7, 8), None];
    assert_eq!(windows[0].places, [question, text].concat());
    assert_eq!((windows[0].spread.clone(), windows[0].from), (4..7, 0));
    assert_eq!(windows[1].ids, [CLS, a, b, SEP, c, d, SEP]);
    let text = [place(Second, 2, 7, 8), place(Second, 3, 9, 10), None];
    assert_eq!(windows[1].places, [&question[..], &text].concat());
    assert_eq!((windows[1].spread.clone(), windows[1].from), (4..6, 2));
    // `c` is at an end of both; the first window is longer.
    let best = best_windows(&windows);
    assert_eq!(best[0], [false, false, false, false, true, true, true, false]);
    assert_eq!(best[1], [false, false, false, false, false, true, false]);
}

#[test]
fn words_have_their_own_places() {
    use WhichText::First;
    let words = owned(&["unbelievable", "", "the", "\u{7}", "caf\u{e9}!"]);
    let windows =
        encode_windows(&bert(), &[WindowInput::Words(&words)], &settings(16, 0, WhichText::Second)).unwrap();
    let places = [
        None,
        place(First, 0, 0, 2),
        place(First, 0, 2, 8),
        place(First, 0, 8, 12),
        place(First, 2, 0, 3),
        place(First, 4, 0, 5),
        place(First, 4, 5, 6),
        None,
    ];
    assert_eq!(windows[0].places, places);
}

#[test]
fn windows_become_batches() {
    let inputs = [WindowInput::Text("a b c"), WindowInput::Text(""), WindowInput::Text("d")];
    let windows = encode_windows(&bert(), &inputs, &settings(4, 1, WhichText::First)).unwrap();
    assert_eq!(windows.iter().map(|window| window.input).collect::<Vec<_>>(), [0, 0, 1, 2]);
    let set = EncodedSet::new(windows.iter().map(Encoded::from).collect(), false);
    assert_eq!((set.tokens_lost, set.truncated_examples, set.lost_is_estimate), (0, 0, false));
    let batch = collate(&set, &[3, 1]);
    assert_eq!(batch.ids, [CLS, letter('d'), SEP, CLS, letter('b'), letter('c'), SEP]);
    assert_eq!(batch.lengths, [3, 4]);
}

#[test]
fn no_inputs_have_no_windows() {
    assert_eq!(encode_windows(&bert(), &[], &settings(0, 9, WhichText::First)).unwrap(), []);
    assert!(best_windows(&[]).is_empty());
}

#[test]
fn an_empty_text_without_special_tokens_still_has_a_position() {
    let gpt2 = load(&files("gpt2"));
    let words = owned(&["", ""]);
    let inputs = [
        WindowInput::Text(""),
        WindowInput::Words(&words),
        WindowInput::Pair { first: "", second: "" },
        WindowInput::Words(&[]),
    ];
    let windows = encode_windows(&gpt2, &inputs, &settings(4, 0, WhichText::First)).unwrap();
    assert_eq!(windows.len(), 4);
    let end = gpt2.added_token_id("<|endoftext|>").unwrap();
    for window in &windows {
        assert_eq!((&window.ids[..], &window.type_ids[..]), (&[end][..], &[0][..]));
        assert_eq!((&window.places[..], &window.spread), (&[None][..], &(0..0)));
    }
    assert_eq!(best_windows(&windows), vec![vec![false]; 4]);
}

#[test]
fn settings_without_room_are_refused() {
    let text = [WindowInput::Text("a")];
    let error = refused(&text, settings(2, 0, WhichText::First));
    assert!(matches!(error, DataError::MaxLengthTooSmall { max_length: 2, special: 2 }), "{error}");
    for stride in [6, 9] {
        let error = refused(&text, settings(8, stride, WhichText::First)).to_string();
        assert!(error.contains("lower the stride below 6"), "{error}");
        assert!(error.contains(&format!("raise the maximum length above {}", stride + 2)), "{error}");
    }
    assert!(encode_windows(&bert(), &text, &settings(8, 5, WhichText::First)).is_ok());
}

#[test]
fn an_input_without_room_is_named() {
    let short = WindowInput::Pair { first: "a b", second: "c d e" };
    let long = WindowInput::Pair { first: "a b c d", second: "c d e" };
    let error = refused(&[short, long, long], settings(8, 2, WhichText::Second));
    let DataError::Window(window) = &error else { panic!("{error}") };
    let expected =
        WindowError::NoRoom { input: 1, max_length: 8, special: 3, other: 4, length: 3, stride: 2 };
    assert_eq!(*window, expected);
    let error = error.to_string();
    for part in ["input 1:", "leave 1 for", "above 9", "lower the stride below 1"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = refused(&[long], settings(7, 0, WhichText::Second)).to_string();
    assert!(error.contains("above 7") && !error.contains("lower"), "{error}");
    // Nothing has to be spread where all fits.
    assert_eq!(encode_windows(&bert(), &[long], &settings(10, 6, WhichText::Second)).unwrap().len(), 1);
}

#[test]
fn words_are_read_as_behind_a_space() {
    for model in FAMILIES.into_iter().chain(["gemma"]) {
        let mut files = files(model);
        if model == "gemma" {
            // The tiny one has merges across spaces, a real one has none.
            files["tokenizer.json"]["model"]["merges"] = json!([]);
        }
        let tokenizer = load(&files);
        let words = owned(&["the", "movie", "was", "great"]);
        let inputs = [WindowInput::Words(&words), WindowInput::Text("the the movie was great")];
        let windows = encode_windows(&tokenizer, &inputs, &settings(512, 0, WhichText::First)).unwrap();
        let ids = |window: &Window| window.ids[window.spread.clone()].to_vec();
        let (alone, within) = (ids(&windows[0]), ids(&windows[1]));
        // So has the tiny one of LLaMA's kind.
        assert_eq!(within.ends_with(&alone), model != "llama", "{model}: {alone:?} {within:?}");
    }
}

#[test]
fn a_tokenizer_that_reads_single_words_otherwise_is_refused() {
    // A space becomes something that nothing puts before a text.
    let mut files = files("llama");
    files["tokenizer.json"]["normalizer"] =
        json!({"type": "Replace", "pattern": {"String": " "}, "content": "x"});
    let tokenizer = load(&files);
    let words = owned(&["the", "movie"]);
    let inputs = [WindowInput::Text("the movie"), WindowInput::Words(&words)];
    let settings = settings(512, 0, WhichText::First);
    let error = encode_windows(&tokenizer, &inputs, &settings).unwrap_err();
    assert!(matches!(error, DataError::Encode { example: 1, .. }), "{error}");
    assert!(error.to_string().contains("encode texts, not words"), "{error}");
    assert!(encode_windows(&tokenizer, &inputs[..1], &settings).is_ok());
}

#[test]
fn a_layout_that_repeats_or_drops_a_text_is_refused() {
    let sequence = |text: &str| json!({"Sequence": {"id": text, "type_id": 0}});
    let text = WindowInput::Text("the movie");
    let pair = WindowInput::Pair { first: "the movie", second: "was" };
    for (template, pieces, input) in [
        ("single", vec!["A", "A"], text),
        ("single", vec![], text),
        ("pair", vec!["A"], pair),
        ("pair", vec!["A", "B", "A"], pair),
    ] {
        let mut files = files("llama");
        files["tokenizer.json"]["post_processor"][template] = pieces.into_iter().map(sequence).collect();
        let tokenizer = load(&files);
        for spread in [WhichText::First, WhichText::Second] {
            let error = encode_windows(&tokenizer, &[input], &settings(16, 2, spread)).unwrap_err();
            assert!(error.to_string().contains("each text once"), "{template}: {error}");
        }
    }
}

/// Windows of an input cover the tokens of `whole`, which is its only window where there is room.
fn check(windows: &[Window], whole: &Window, settings: &WindowSettings) -> Result<(), TestCaseError> {
    let spread = |window: &Window| window.ids[window.spread.clone()].to_vec();
    let mut ids: Vec<u32> = Vec::new();
    for (index, window) in windows.iter().enumerate() {
        prop_assert!(window.ids.len() <= settings.max_length);
        prop_assert_eq!(window.ids.len(), window.places.len());
        prop_assert_eq!(window.ids.len(), window.type_ids.len());
        let shared = if index == 0 { 0 } else { settings.stride };
        prop_assert_eq!(window.from + shared, ids.len());
        prop_assert!(index == 0 || window.spread.len() > shared);
        ids.extend(&spread(window)[shared..]);
        if index + 1 < windows.len() {
            prop_assert_eq!(window.ids.len(), settings.max_length);
        }
        let text = if whole.spread == (0..0) { None } else { whole.places[whole.spread.start] };
        let is_spread =
            |place: &Option<TokenPlace>| place.map(|place| place.text) == text.map(|text| text.text);
        prop_assert!(window.places[window.spread.clone()].iter().all(is_spread));
    }
    prop_assert_eq!(ids, spread(whole));
    let best = best_windows(windows);
    for token in 0..whole.spread.len() {
        let decides = best.iter().zip(windows).filter(|(best, window)| {
            let place = token.checked_sub(window.from).filter(|place| *place < window.spread.len());
            place.is_some_and(|place| best[window.spread.start + place])
        });
        prop_assert_eq!(decides.count(), 1);
    }
    Ok(())
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "the",
        " movie",
        " was",
        "great",
        " ",
        "\n",
        "\t",
        "  ",
        "e\u{301}",
        "\u{c5}",
        "中国",
        "😀",
        "👩‍👩‍👧",
        "\u{200b}",
        "\u{a0}",
        "\u{3000}",
        "[SEP]",
        "</s>",
        " <mask>",
        "\u{3000}<mask>",
        "<|endoftext|>",
        "ﬁ",
        "İ",
        "\u{0}",
        "▁",
        ",",
        "unaffable",
        "שָׁ",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_hold_every_token_and_share_the_stride(
        text in texts(), question in texts(), words in prop::collection::vec(texts(), 0..5),
        room in 1usize..30, stride in 0usize..30, is_second in any::<bool>(),
    ) {
        let stride = stride % room;
        let spread = if is_second { WhichText::Second } else { WhichText::First };
        let pair = if is_second { (&question, &text) } else { (&text, &question) };
        let inputs = [
            WindowInput::Text(&text),
            WindowInput::Words(&words),
            WindowInput::Pair { first: pair.0, second: pair.1 },
        ];
        for model in FAMILIES {
            let tokenizer = load(&files(model));
            for input in inputs {
                let whole = encode_windows(&tokenizer, &[input], &settings(100_000, 0, spread)).unwrap();
                prop_assert_eq!(whole.len(), 1);
                let whole = &whole[0];
                for place in whole.places.iter().flatten() {
                    let text = match (input, place.text) {
                        (WindowInput::Words(words), _) => words[place.word as usize].as_str(),
                        (WindowInput::Text(first) | WindowInput::Pair { first, .. }, WhichText::First) => first,
                        (WindowInput::Pair { second, .. }, _) => second,
                        (WindowInput::Text(_), _) => panic!("a second text"),
                    };
                    prop_assert!(text.get(place.range()).is_some(), "{} {:?}", model, place);
                }
                // Everything but the text that is spread, and so much room for it.
                let max_length = whole.ids.len() - whole.spread.len() + room;
                let settings = settings(max_length, stride, spread);
                let windows = encode_windows(&tokenizer, &[input], &settings).unwrap();
                check(&windows, whole, &settings)?;
            }
        }
    }
}
