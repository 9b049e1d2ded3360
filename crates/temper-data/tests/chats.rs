//! Chats against transformers, by templates in the manner of ten models.

mod common;

use std::path::Path;

use serde_json::{Value, json};
use temper_data::{ChatMessage, ChatTemplate, load_tokenizer};

/// The template of a tokenizer with these settings.
fn template(template: &str, tokens: &Value) -> ChatTemplate {
    let folder = tempfile::tempdir().unwrap();
    common::write_bert_vocab(folder.path());
    let mut config = json!({ "chat_template": template });
    // The others have to be in the vocabulary, and no template writes them.
    for token in ["bos_token", "eos_token"] {
        config[token] = tokens[token].clone();
    }
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    load_tokenizer(folder.path()).unwrap().chat_template().unwrap().unwrap()
}

#[test]
fn chats_are_written_as_by_transformers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chats/chats.json");
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut refused = 0;
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let template = template(fixture["templates"][name].as_str().unwrap(), &fixture["tokens"]);
        let messages: Vec<ChatMessage> = serde_json::from_value(case["messages"].clone()).unwrap();
        let prompted = case["prompted"].as_bool().unwrap();
        let found = template.render(&messages, prompted);
        match case["text"].as_str() {
            Some(text) => {
                assert_eq!(found.as_deref(), Ok(text), "{name}: {messages:?}, prompted: {prompted}")
            }
            None => {
                let words = case["refused"].as_str().unwrap();
                assert!(
                    found.as_ref().is_err_and(|error| error.contains(words)),
                    "{name}: {found:?}, not {words}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && fixture["templates"].as_object().unwrap().len() == 10);
}

#[test]
fn answers_have_their_places_or_are_refused() {
    let tokens = json!({});
    let message = |role: &str, content: &str| ChatMessage { role: role.into(), content: content.into() };
    let chat =
        [message("user", "a"), message("assistant", "b"), message("user", "c"), message("assistant", "d")];
    let source = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}";
    let rendered = template(source, &tokens).render_answers(&chat).unwrap();
    let answers: Vec<&str> = rendered.answers.iter().map(|range| &rendered.text[range.clone()]).collect();
    assert_eq!((rendered.text.as_str(), answers), ("u:a;a:b;u:c;a:d;", vec!["b;", "d;"]));
    // It numbers the messages from the end.
    let backwards = "{% for m in messages %}{{ messages | length - loop.index }}{{ m.content }}{% endfor %}";
    let error = template(backwards, &tokens).render_answers(&chat).unwrap_err();
    assert!(error.contains("message 2"), "{error}");
}
