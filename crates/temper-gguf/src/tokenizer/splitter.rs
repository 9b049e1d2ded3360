//! How a text is split before bytes are paired: llama.cpp's names, and the steps of tokenizer.json.

use serde_json::{Value as Json, json};

/// The names that are written, and the steps of each. Reading knows some more names of the same steps.
const WRITTEN: [&str; 4] = ["gpt-2", "smollm", "llama-bpe", "qwen2"];

/// Of LLaMA 3; that of Qwen 2 has digits one by one.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a text is split before bytes are paired.
pub(super) struct Splitter {
    /// `pre_tokenizer`
    pub steps: Json,
    /// Whether a word that is a token is taken without pairing.
    pub takes_whole_words: bool,
}

/// The splitter of a name in `tokenizer.ggml.pre`, as the tokenizers of these models have it.
///
/// # Errors
/// That the name is not known.
pub(super) fn splitter(name: &str) -> Result<Splitter, String> {
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let split = |pattern: String| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let all = |steps: Vec<Json>| json!({"type": "Sequence", "pretokenizers": steps});
    let (steps, takes_whole_words) = match name {
        "gpt-2" | "gpt2" | "default" => (bytes(true), false),
        "smollm" => (all(vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)]), false),
        "llama-bpe" | "llama3" => (all(vec![split(LLAMA_3.into()), bytes(false)]), true),
        "qwen2" => (all(vec![split(LLAMA_3.replace("{1,3}", "")), bytes(false)]), false),
        other => return Err(format!("its tokenizer splits texts as `{other}` does, which is not known")),
    };
    Ok(Splitter { steps, takes_whole_words })
}

/// llama.cpp's name of a tokenizer's splitter.
///
/// # Errors
/// The steps, where they have no name here.
pub(super) fn name_of(steps: &Json, takes_whole_words: bool) -> Result<&'static str, String> {
    let steps = comparable(steps);
    let found = WRITTEN.into_iter().find(|name| {
        let known = splitter(name);
        known.is_ok_and(|known| {
            comparable(&known.steps) == steps && known.takes_whole_words == takes_whole_words
        })
    });
    found.ok_or_else(|| {
        let known = WRITTEN.join(", ");
        format!("its tokenizer splits texts by {steps} (ignore_merges: {takes_whole_words}), and the splitters that are written are {known}")
    })
}

/// Steps without what only offsets depend on.
fn comparable(steps: &Json) -> Json {
    match steps {
        Json::Object(object) => {
            let kept = object.iter().filter(|(key, _)| *key != "trim_offsets");
            Json::Object(kept.map(|(key, value)| (key.clone(), comparable(value))).collect())
        }
        Json::Array(list) => Json::Array(list.iter().map(comparable).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_steps() {
        for name in WRITTEN {
            let known = splitter(name).unwrap();
            assert_eq!(name_of(&known.steps, known.takes_whole_words).unwrap(), name);
            assert!(name_of(&known.steps, !known.takes_whole_words).is_err());
        }
        assert!(name_of(&json!({"type": "Whitespace"}), false).unwrap_err().contains("Whitespace"));
    }
}
