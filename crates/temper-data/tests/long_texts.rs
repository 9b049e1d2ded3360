//! Of a long text no more is tokenized than is kept, and the ids are those of the text tokenized whole.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use temper_data::{EncodeSettings, TextInput, TextTokenizer, Truncation, encode_all, load_tokenizer};
use tokenizers::{Encoding, TruncationDirection, TruncationParams};

/// Texts from here on are long.
const LONG: usize = 1 << 16;

const SNIPPETS: &[&str] = &[
    " ",
    " the",
    " movie was",
    " great",
    "  two",
    "\n",
    " \n\n\n ",
    "\n\nnew",
    "\t\r\n",
    ".",
    "!?\n",
    " don't",
    "'s 'll ' s",
    " 12345",
    "7",
    "中国",
    "电影。",
    "日",
    " e\u{301}",
    "\u{301}",
    " \u{301}\u{308}x",
    " Ångström",
    "😀",
    " 👩‍👩‍👧",
    "\u{0}",
    " \u{7} ",
    "\u{200b}",
    "\u{a0}",
    "\u{3000}",
    "\u{85}",
    " [MASK] ",
    "[SEP]",
    "<s> ",
    "</s>",
    " <mask>",
    "<mask> x",
    "<|endoftext|>",
    "▁",
    "Ġ",
    "ﬁ ½ ´",
    "unaffableunaffable",
];

/// A text of snippets; some are repeated many times, and words between them are common or rare.
fn text(seed: u64, bytes: usize) -> String {
    let mut state = seed | 1;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (of, repeats) = (2 + draw(SNIPPETS.len() - 1), [1, 3, 40, 900][draw(4)]);
    let first = draw(SNIPPETS.len());
    let mut text = String::new();
    while text.len() < bytes {
        let snippet = SNIPPETS[(first + draw(of)) % SNIPPETS.len()];
        if snippet.contains("<mask>") && draw(20) > 0 {
            // Before a token that takes the space in front of it the library searches all of the text.
            continue;
        }
        let times = if draw(30) == 0 { 1 + draw(repeats) } else { 1 };
        text.extend(std::iter::repeat_n(snippet, times));
    }
    text
}

fn tokenizers() -> Vec<(String, TextTokenizer)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer_settings");
    let families = std::fs::read_dir(folder).unwrap().map(|file| {
        let family: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for name in ["tokenizer.json", "config.json"] {
            let content = &family["files"][name];
            let content = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        (family["model"].as_str().unwrap().to_owned(), load_tokenizer(dir.path()).unwrap())
    });
    let families = families.chain([("marked spaces".to_owned(), marked_spaces())]);
    // TEMPER_TOKENIZERS: folders of other tokenizers, for longer trials.
    let others = std::env::var_os("TEMPER_TOKENIZERS");
    let others: Vec<PathBuf> = others.iter().flat_map(std::env::split_paths).collect();
    let others = others.iter().map(|dir| (dir.display().to_string(), load_tokenizer(dir).unwrap()));
    families.chain(others).collect()
}

/// LLaMA's kind, whose merges stop at the mark of a space.
fn marked_spaces() -> TextTokenizer {
    let mut vocab: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    vocab.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let merges = [
        ("t", "h"),
        ("th", "e"),
        ("▁", "the"),
        ("▁", "▁"),
        ("▁▁", "▁▁"),
        ("▁", "m"),
        ("o", "v"),
        ("a", "s"),
        ("\n", "\n"),
    ];
    vocab.extend(
        ["▁", "t", "h", "e", "m", "o", "v", "i", "w", "a", "s", "g", "r", "u", "n", "\n"].map(String::from),
    );
    vocab.extend(merges.map(|(first, second)| format!("{first}{second}")));
    let vocab: serde_json::Map<_, _> =
        vocab.into_iter().enumerate().map(|(id, token)| (token, serde_json::json!(id))).collect();
    let normalizers = serde_json::json!([
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]);
    let special = |id: usize, content: &str| {
        serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let definition = serde_json::json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
            "merges": merges},
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), definition.to_string()).unwrap();
    load_tokenizer(dir.path()).unwrap()
}

/// The ids as the library cuts what it tokenized whole.
fn reference(tokenizer: &TextTokenizer, (text, pair): TextInput<'_>, settings: &EncodeSettings) -> Vec<u32> {
    let mut inner = tokenizer.inner().clone();
    if settings.truncation == Truncation::HeadTail {
        assert_eq!(pair, None);
        let ids = inner.encode_fast(text, false).unwrap().get_ids().to_vec();
        let room = settings.max_length - tokenizer.special_count(false);
        if ids.len() <= room {
            return ids;
        }
        let head = room.div_ceil(4);
        return [&ids[..head], &ids[ids.len() - (room - head)..]].concat();
    }
    let direction = match settings.truncation {
        Truncation::Head => TruncationDirection::Right,
        _ => TruncationDirection::Left,
    };
    let cut = TruncationParams { direction, max_length: settings.max_length, ..TruncationParams::default() };
    let Some(pair) = pair else {
        inner.with_truncation(Some(cut)).unwrap();
        return inner.encode_fast(text, true).unwrap().get_ids().to_vec();
    };
    // The library would keep what it cuts off of each text in all combinations.
    let room = settings.max_length - tokenizer.special_count(true);
    let whole = [text, pair].map(|text| inner.encode_fast(text, false).unwrap());
    inner.with_truncation(Some(cut)).unwrap();
    let reached = [text, pair].map(|text| {
        let encoding = inner.encode_fast(text, false).unwrap();
        encoding.len() + encoding.get_overflowing().iter().map(Encoding::len).sum::<usize>()
    });
    let shares = longest_first(reached, room);
    let [first, second] = [0, 1].map(|place| {
        let mut encoding = whole[place].clone();
        encoding.truncate(shares[place], 0, direction);
        encoding.take_overflowing();
        encoding
    });
    inner.with_truncation(None).unwrap();
    inner.post_process(first, Some(second), true).unwrap().get_ids().to_vec()
}

/// What each text of a pair keeps, as the library's `LongestFirst` computes it.
fn longest_first([first, second]: [usize; 2], room: usize) -> [usize; 2] {
    if first + second <= room {
        return [first, second];
    }
    let (mut shorter, is_swapped) = (first.min(second), first > second);
    let mut longer = if shorter > room { shorter } else { shorter.max(room - shorter) };
    if shorter + longer > room {
        shorter = room / 2;
        longer = shorter + room % 2;
    }
    if is_swapped { [longer, shorter] } else { [shorter, longer] }
}

fn check(tokenizer: &TextTokenizer, input: TextInput<'_>, settings: EncodeSettings) -> Result<(), String> {
    let set = encode_all(tokenizer, &[input], &settings, None).map_err(|error| error.to_string())?;
    let (ours, whole) = (&set.items[0].ids, reference(tokenizer, input, &settings));
    let is_same = match settings.truncation {
        // A text without tokens has one that fills its place.
        _ if whole.is_empty() => ours.len() == tokenizer.special_count(input.1.is_some()).max(1),
        Truncation::HeadTail => ours.windows(whole.len()).any(|ids| ids == whole),
        _ => *ours == whole,
    };
    if is_same {
        return Ok(());
    }
    let place = ours.iter().zip(&whole).position(|(ours, whole)| ours != whole);
    let lengths = (ours.len(), whole.len(), input.0.len(), input.1.map(str::len));
    Err(format!("{settings:?}: lengths {lengths:?}, first at {place:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn ids_are_those_of_the_whole_text(
        seed in any::<u64>(), bytes in LONG + 1..2 * LONG, max_length in 6usize..700,
    ) {
        let long = text(seed, bytes);
        let other = text(seed.wrapping_add(1), LONG + 1);
        let short = text(seed.wrapping_add(2), max_length * (seed % 9) as usize);
        let tokenizers = tokenizers();
        let some = tokenizers.len().min(3);
        for (name, tokenizer) in tokenizers.into_iter().cycle().skip(seed as usize % 97).take(some) {
            for truncation in [Truncation::Head, Truncation::Tail, Truncation::HeadTail] {
                let settings = EncodeSettings { max_length, truncation };
                let single = check(&tokenizer, (&long, None), settings);
                prop_assert_eq!(single, Ok(()), "{} seed {}", &name, seed);
                if truncation == Truncation::HeadTail {
                    continue;
                }
                for pair in [(&long, &short), (&short, &long), (&long, &other)] {
                    let pair = check(&tokenizer, (pair.0, Some(pair.1)), settings);
                    prop_assert_eq!(pair, Ok(()), "{} seed {} pair", &name, seed);
                }
            }
        }
    }
}

#[test]
fn what_a_long_text_loses_is_an_estimate() {
    let settings = EncodeSettings { max_length: 16, truncation: Truncation::HeadTail };
    let words = "the movie was great ".repeat(10_000);
    for (name, tokenizer) in tokenizers() {
        let whole = tokenizer.inner().encode_fast(words.as_str(), false).unwrap().len();
        let short = encode_all(&tokenizer, &[(&words[..40_000], None)], &settings, None).unwrap();
        assert!(!short.lost_is_estimate && short.tokens_lost > 1_000, "{name}");
        let set = encode_all(&tokenizer, &[(&words, None), ("the", None)], &settings, None).unwrap();
        let kept = settings.max_length - tokenizer.special_count(false);
        let off = set.tokens_lost.abs_diff(whole - kept);
        assert_eq!(set.truncated_examples, 1, "{name}");
        // The tiny ones of LLaMA's and Gemma's kind have merges across spaces, and ALBERT and DeBERTa replace texts first:
        // they must read a text as a whole.
        let reads_whole = ["albert", "deberta-v2", "gemma", "llama"].contains(&name.as_str());
        assert_eq!(set.lost_is_estimate, !reads_whole, "{name}");
        assert!(off * 50 < whole, "{name}: {} of {whole}", set.tokens_lost);
    }
}
