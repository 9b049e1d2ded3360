//! Encoded texts: lengths, truncation, pairs and the cache.

mod common;

use std::path::{Path, PathBuf};

use common::{letter, write_bert_vocab};
use proptest::prelude::*;
use temper_data::{
    DataError, EncodeSettings, EncodedSet, TextInput, TextTokenizer, Truncation, encode_all, load_tokenizer,
};

const CLS: u32 = 2;
const SEP: u32 = 3;

fn bert() -> TextTokenizer {
    let dir = tempfile::tempdir().unwrap();
    write_bert_vocab(dir.path());
    load_tokenizer(dir.path()).unwrap()
}

fn settings(max_length: usize, truncation: Truncation) -> EncodeSettings {
    EncodeSettings { max_length, truncation }
}

fn encode(texts: &[TextInput<'_>], max_length: usize, truncation: Truncation) -> EncodedSet {
    encode_all(&bert(), texts, &settings(max_length, truncation), None).unwrap()
}

const ALPHABET: &str = "a b c d e f g h i j k l m n o p q r s t u v w x y z";

fn letters(text: &str) -> Vec<u32> {
    text.chars().map(letter).collect()
}

#[test]
fn each_truncation_keeps_what_it_promises() {
    for (truncation, kept) in [
        (Truncation::Head, "abcdefghij"),
        (Truncation::Tail, "qrstuvwxyz"),
        (Truncation::HeadTail, "abctuvwxyz"),
    ] {
        let set = encode(&[(ALPHABET, None)], 12, truncation);
        let expected = [&[CLS][..], &letters(kept), &[SEP]].concat();
        assert_eq!(set.items[0].ids, expected, "{truncation:?}");
        assert_eq!(set.items[0].tokens_lost, 16);
    }
}

#[test]
fn head_and_tail_of_512_are_128_and_382() {
    let text = ["a"; 300].iter().chain(&["z"; 300]).copied().collect::<Vec<_>>();
    let set = encode(&[(&text.join(" "), None)], 512, Truncation::HeadTail);
    let ids = &set.items[0].ids;
    // From the front 128 words are kept, from the end 382, of which 300 are z.
    assert_eq!(ids.len(), 512);
    assert_eq!(ids.iter().filter(|id| **id == letter('z')).count(), 300);
    assert_eq!(ids.iter().filter(|id| **id == letter('a')).count(), 128 + 82);
}

#[test]
fn short_texts_are_left_alone_and_counted() {
    let set = encode(&[("a b", None), (ALPHABET, None), ("", None)], 12, Truncation::Head);
    assert_eq!(set.items[0].ids, [CLS, letter('a'), letter('b'), SEP]);
    assert_eq!(set.items[2].ids, [CLS, SEP]);
    assert_eq!(set.lengths(), [4, 12, 2]);
    assert_eq!((set.truncated_examples, set.tokens_lost, set.tokens_total), (1, 16, 18));
    assert!(!set.from_cache);
}

#[test]
fn a_pair_has_two_segments_and_its_longer_text_gives_first() {
    let set = encode(&[("a b", Some("c"))], 10, Truncation::Head);
    let ids = [CLS, letter('a'), letter('b'), SEP, letter('c'), SEP];
    assert_eq!(set.items[0].ids, ids);
    assert_eq!(set.items[0].type_ids, [0, 0, 0, 0, 1, 1]);

    let set = encode(&[("a b", Some(ALPHABET))], 9, Truncation::Tail);
    let expected = [&[CLS][..], &letters("ab"), &[SEP], &letters("wxyz"), &[SEP]].concat();
    assert_eq!(set.items[0].ids, expected);
    assert_eq!(set.items[0].tokens_lost, 22);
}

#[test]
fn an_empty_text_without_special_tokens_still_has_a_position() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.json"), "{\"a\": 0, \"<|endoftext|>\": 1}").unwrap();
    std::fs::write(dir.path().join("merges.txt"), "").unwrap();
    let gpt2 = load_tokenizer(dir.path()).unwrap();
    let set = encode_all(&gpt2, &[("", None)], &settings(4, Truncation::Head), None).unwrap();
    assert_eq!(set.items[0].ids, [1]);
    assert_eq!(set.items[0].type_ids, [0]);
}

#[test]
fn a_length_without_room_for_text_is_refused() {
    let refused = |texts: &[TextInput<'_>], max_length| {
        let settings = settings(max_length, Truncation::Head);
        let error = encode_all(&bert(), texts, &settings, None).unwrap_err();
        assert!(matches!(error, DataError::MaxLengthTooSmall { .. }), "{error}");
    };
    refused(&[("a", None)], 2);
    refused(&[("a", None)], 0);
    refused(&[("a", Some("b"))], 3);
    assert_eq!(encode(&[("a b", None)], 3, Truncation::Tail).items[0].ids[1], letter('b'));
}

fn cache_file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap();
    files.next().unwrap().unwrap().path()
}

#[test]
fn the_second_time_comes_from_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let tokenizer = bert();
    let run = |texts: &[TextInput<'_>], max_length, truncation| {
        let settings = settings(max_length, truncation);
        encode_all(&tokenizer, texts, &settings, Some(cache.path())).unwrap()
    };
    let texts = [("a b", None), (ALPHABET, None)];
    let first = run(&texts, 12, Truncation::Head);
    let second = run(&texts, 12, Truncation::Head);
    assert!(!first.from_cache && second.from_cache);
    assert_eq!(first.items, second.items);
    assert_eq!(first.tokens_lost, second.tokens_lost);

    // Whatever the ids depend on makes another set.
    assert!(!run(&texts, 13, Truncation::Head).from_cache);
    assert!(!run(&texts, 12, Truncation::Tail).from_cache);
    assert!(!run(&[("a b", None)], 12, Truncation::Head).from_cache);
    assert!(!run(&[("a", Some("b"))], 12, Truncation::Head).from_cache);
    assert!(!run(&[("a", None), ("b", None)], 12, Truncation::Head).from_cache);
    assert!(run(&texts, 12, Truncation::Head).from_cache);
}

#[test]
fn a_damaged_cache_file_is_encoded_anew_and_written_again() {
    let cache = tempfile::tempdir().unwrap();
    let tokenizer = bert();
    let run = || {
        let texts = [("a b", None), ("c", Some("d"))];
        encode_all(&tokenizer, &texts, &settings(12, Truncation::Head), Some(cache.path())).unwrap()
    };
    let good = run();
    let path = cache_file(cache.path());
    let bytes = std::fs::read(&path).unwrap();
    let flipped = |position: usize| {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1;
        bytes
    };
    let mut damages: Vec<Vec<u8>> = (0..bytes.len()).map(flipped).collect();
    damages.extend([0, 10, 60, bytes.len() - 1].map(|length| bytes[..length].to_vec()));
    damages.push([&bytes[..], b"more"].concat());
    for damage in damages {
        std::fs::write(&path, damage).unwrap();
        let set = run();
        assert!(!set.from_cache);
        assert_eq!(set.items, good.items);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    assert!(run().from_cache);
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let settings = settings(12, Truncation::Head);
    let set = encode_all(&bert(), &[("a", None)], &settings, Some(&file)).unwrap();
    assert_eq!(set.items.len(), 1);
}

fn truncations() -> impl Strategy<Value = Truncation> {
    prop_oneof![Just(Truncation::Head), Just(Truncation::Tail), Just(Truncation::HeadTail)]
}

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-z]", 0..40).prop_map(|words| words.join(" "))
}

fn length_of(text: &str) -> usize {
    text.split_whitespace().count()
}

proptest! {
    #[test]
    fn no_example_is_too_long_and_no_token_goes_uncounted(
        texts in prop::collection::vec((words(), prop::option::of(words())), 1..5),
        max_length in 4usize..40,
        truncation in truncations(),
    ) {
        let inputs: Vec<TextInput<'_>> =
            texts.iter().map(|(text, pair)| (text.as_str(), pair.as_deref())).collect();
        let set = encode(&inputs, max_length, truncation);
        for (item, (text, pair)) in set.items.iter().zip(&inputs) {
            prop_assert!(item.ids.len() <= max_length);
            prop_assert_eq!(item.ids.len(), item.type_ids.len());
            prop_assert_eq!(item.ids.first(), Some(&CLS));
            prop_assert_eq!(item.ids.last(), Some(&SEP));
            let special = 2 + usize::from(pair.is_some());
            let whole = length_of(text) + pair.map_or(0, length_of) + special;
            prop_assert_eq!(item.ids.len() + item.tokens_lost as usize, whole);
            prop_assert!(item.tokens_lost == 0 || item.ids.len() == max_length);
        }
    }

    #[test]
    fn head_and_tail_keep_the_first_and_the_last_word(
        words in prop::collection::vec("[a-z]", 2..60), max_length in 4usize..40,
    ) {
        let set = encode(&[(&words.join(" "), None)], max_length, Truncation::HeadTail);
        let ids = &set.items[0].ids;
        let id = |word: &String| word.chars().next().map(letter);
        prop_assert_eq!(ids.get(1).copied(), words.first().and_then(id));
        prop_assert_eq!(ids.get(ids.len() - 2).copied(), words.last().and_then(id));
    }
}
