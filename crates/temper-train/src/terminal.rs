//! Everything that is written on stdout and stderr.
//!
//! Names, labels and messages come from files that anybody may have made. Control characters in them would move the
//! cursor, rename the window or forge lines, so they are written as escapes. A reader of stderr that is gone, or a full
//! disk under a log, must not end a training run, so errors of stderr are ignored. A reader of stdout that has seen
//! enough, such as `head`, ends the command without an error.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write};

use crate::TrainError;

/// Writes a line on stderr.
pub(crate) fn say(text: &str) {
    let line = format!("{}\n", clean(text));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Writes text on stdout, as it is but for control characters.
///
/// # Errors
/// [`TrainError::ReaderGone`] if the reader of the output has closed it; [`TrainError::File`].
pub(crate) fn print(text: &str) -> Result<(), TrainError> {
    let mut stdout = std::io::stdout().lock();
    written(stdout.write_all(clean(text).as_bytes()).and_then(|()| stdout.flush()))
}

fn written(result: std::io::Result<()>) -> Result<(), TrainError> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(TrainError::ReaderGone),
        Err(error) => Err(TrainError::file("stdout", error)),
        Ok(()) => Ok(()),
    }
}

/// Writes data on stdout whose format has no escapes: exactly as it is, unless a terminal reads it.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_exactly(text: &str) -> Result<(), TrainError> {
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        drop(stdout);
        return print(text);
    }
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Writes a line on stdout.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_line(text: &str) -> Result<(), TrainError> {
    print(&format!("{text}\n"))
}

/// Text as one field of a line: line breaks and tabs are escapes, too.
pub(crate) fn field(text: &str) -> Cow<'_, str> {
    escaped(text, |character| is_control(character) || matches!(character, '\n' | '\t'))
}

/// The same text with escapes in the place of control characters; line breaks and tabs stay. Within JSON the escapes
/// mean the same characters.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' if is_escaped('\n') => written.push_str("\\n"),
            '\t' if is_escaped('\t') => written.push_str("\\t"),
            character if is_escaped(character) => {
                // Writing to a string does not fail.
                let _ = write!(written, "\\u{:04x}", u32::from(character));
            }
            character => written.push(character),
        }
    }
    Cow::Owned(written)
}

/// C0 and C1 controls but line break and tab, and the marks that change the direction of text (Unicode TR 36, 3.2).
fn is_control(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => true,
        character => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_escapes() {
        assert_eq!(clean("plain text, Grüße, 你好\n\tmore"), "plain text, Grüße, 你好\n\tmore");
        assert_eq!(
            clean("\u{1b}[2Jx\u{7}\r\u{9b}31m\u{202e}\u{7f}"),
            "\\u001b[2Jx\\u0007\\u000d\\u009b31m\\u202e\\u007f"
        );
        assert_eq!(field("a\tb\nc\u{1b}"), "a\\tb\\nc\\u001b");
    }

    #[test]
    fn an_escape_in_json_is_the_character() {
        let text = serde_json::to_string("\u{9b}x\u{7f}").unwrap();
        assert!(text.contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<String>(&clean(&text)).unwrap(), "\u{9b}x\u{7f}");
    }
}
