//! Chats as texts: a tokenizer's own template, rendered as transformers renders it.

mod template;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::template::ChatTemplate;

/// The role whose messages a model learns.
const ASSISTANT: &str = "assistant";

/// A message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// system, user, assistant, or what the template knows besides.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// A chat as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedChat {
    /// The whole chat.
    pub text: String,
    /// What the assistant says, with what ends it, in bytes.
    pub answers: Vec<Range<usize>>,
}

impl ChatTemplate {
    /// Renders a chat and says where the assistant speaks: after what the template puts before an answer, up to where it
    /// continues.
    ///
    /// # Errors
    /// What the template refuses; a template that writes a chat otherwise when it grows, so that answers have no place of
    /// their own.
    pub fn render_answers(&self, messages: &[ChatMessage]) -> Result<RenderedChat, String> {
        let text = self.render(messages, false)?;
        let mut answers = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            if message.role != ASSISTANT {
                continue;
            }
            let before = self.render(&messages[..place], true)?;
            let after = self.render(&messages[..=place], false)?;
            if !after.starts_with(&before) || !text.starts_with(&after) {
                return Err(format!(
                    "the template renders the messages before message {} differently when the chat continues: what the \
                     assistant says has no place of its own",
                    place + 1
                ));
            }
            answers.push(before.len()..after.len());
        }
        Ok(RenderedChat { text, answers })
    }
}
