//! Templates in Jinja, as transformers 5.23 (`utils/chat_template_utils.py`) sets it up.

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::{Map, Value as Json};

use super::ChatMessage;

const NAME: &str = "chat_template";

/// What writes a chat as the text that a model was trained on.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    /// The special tokens, by their parts: bos_token and so on.
    tokens: Map<String, Json>,
}

impl ChatTemplate {
    /// The template of a tokenizer_config.json; none where it has none.
    ///
    /// # Errors
    /// A template that cannot be parsed, with the line.
    pub(crate) fn of(config: &Map<String, Json>) -> Result<Option<Self>, String> {
        let source = match config.get(NAME) {
            Some(Json::String(source)) => source.clone(),
            // Several by name: transformers takes the one called default.
            Some(Json::Array(named)) => {
                let default = named.iter().find(|entry| entry["name"] == "default");
                match default.and_then(|entry| entry["template"].as_str()) {
                    Some(source) => source.to_owned(),
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let tokens = config.iter().filter(|(key, _)| key.ends_with("_token"));
        let text = |value: &Json| value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned);
        let tokens = tokens.filter_map(|(key, value)| Some((key.clone(), text(value)?.into()))).collect();
        let template = Self { source, tokens };
        template.environment().map_err(|error| in_words(&error))?;
        Ok(Some(template))
    }

    fn environment(&self) -> Result<Environment<'_>, Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", to_json);
        environment.add_template(NAME, &self.source)?;
        Ok(environment)
    }

    /// A chat as a text, with what precedes an answer after it where one is to be written.
    ///
    /// # Errors
    /// What the template refuses, in words.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, String> {
        let mut context = self.tokens.clone();
        let messages = serde_json::to_value(messages).map_err(|error| error.to_string())?;
        context.insert("messages".into(), messages);
        context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        let environment = self.environment().map_err(|error| in_words(&error))?;
        let template = environment.get_template(NAME).map_err(|error| in_words(&error))?;
        template.render(Value::from_serialize(&context)).map_err(|error| in_words(&error))
    }
}

/// As Python's `json.dumps`, with a space after commas and colons, and characters as they are.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let value = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    let mut text = String::new();
    write_json(&value, indent.map(|indent| (indent, 0)), &mut text);
    Ok(Value::from_safe_string(text))
}

fn write_json(value: &Json, indent: Option<(usize, usize)>, text: &mut String) {
    let inner = indent.map(|(width, depth)| (width, depth + 1));
    let line = |at: Option<(usize, usize)>, text: &mut String| {
        if let Some((width, depth)) = at {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value {
        Json::Array(items) if !items.is_empty() => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place > 0 { comma } else { "" });
                line(inner, text);
                write_json(item, inner, text);
            }
            line(indent, text);
            text.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            text.push('{');
            for (place, (key, item)) in fields.iter().enumerate() {
                text.push_str(if place > 0 { comma } else { "" });
                line(inner, text);
                text.push_str(&format!("{}: ", Json::from(key.as_str())));
                write_json(item, inner, text);
            }
            line(indent, text);
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn in_words(error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("line {line} of the chat template: {detail}"),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(source: &str) -> ChatTemplate {
        let config = json!({"chat_template": source, "bos_token": "<s>", "eos_token": {"content": "</s>"}});
        ChatTemplate::of(config.as_object().unwrap()).unwrap().unwrap()
    }

    fn message(role: &str, content: &str) -> ChatMessage {
        ChatMessage { role: role.into(), content: content.into() }
    }

    #[test]
    fn lines_of_blocks_leave_nothing_and_methods_of_python_are_known() {
        let template = template(
            "{{ bos_token }}{% for message in messages %}\n    {% if message['role'] == 'user' %}\n[INST] {{ \
             message['content'].strip() }} [/INST]\n    {% else %}\n{{ message.content | trim }}{{ eos_token }}\n    \
             {% endif %}\n{% endfor %}",
        );
        let chat = [message("user", "  Hi \n"), message("assistant", "Hello")];
        assert_eq!(template.render(&chat, false).unwrap(), "<s>[INST] Hi [/INST]\nHello</s>\n");
    }

    #[test]
    fn what_a_template_refuses_is_said_in_its_words() {
        let template =
            template("{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}");
        assert!(template.render(&[message("assistant", "x")], false).unwrap_err().contains("user first"));
        let config = json!({"chat_template": "{% if %}"});
        let error = ChatTemplate::of(config.as_object().unwrap()).unwrap_err();
        assert!(error.starts_with("line 1 of the chat template"), "{error}");
    }

    #[test]
    fn json_is_written_as_by_python() {
        let template = template("{{ messages | tojson }} {{ messages | tojson(indent=2) }}");
        let found = template.render(&[message("user", "é\"")], false).unwrap();
        let lines = "[\n  {\n    \"role\": \"user\",\n    \"content\": \"é\\\"\"\n  }\n]";
        assert_eq!(found, format!("[{{\"role\": \"user\", \"content\": \"é\\\"\"}}] {lines}"));
    }

    #[test]
    fn answers_lie_behind_what_precedes_them() {
        let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if \
                      add_generation_prompt %}<assistant>{% endif %}";
        let chat = [
            message("user", "1+1?"),
            message("assistant", "2"),
            message("user", "2+2?"),
            message("assistant", "4"),
        ];
        let rendered = template(source).render_answers(&chat).unwrap();
        let answers: Vec<&str> = rendered.answers.iter().map(|range| &rendered.text[range.clone()]).collect();
        assert_eq!(answers, ["2</>", "4</>"]);
    }
}
