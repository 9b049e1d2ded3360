//! The commands of the book, run, and what they print compared with what the book shows.
//!
//! A file of docs/book/outputs is what a reader sees of a terminal: lines that begin with `$ ` are commands, what follows
//! is what they print. RECORD_BOOK=1 writes what is printed now. Otherwise it is compared: words and whole numbers
//! are the same, numbers with a decimal point differ by a tenth or 0.05 at most, since sums are rounded otherwise on other
//! processors; times, sizes and addresses are masked.
#![allow(dead_code)] // Each test file uses its own part.

use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// Temper's exit code where the source of a model or of data cannot be reached.
const UNREACHABLE: i32 = 4;

/// A command with what it prints.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    /// As it is written, without the prompt.
    command: String,
    output: String,
}

/// Where the book is.
pub fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|dir| dir.join("docs/book"))
        .find(|dir| dir.is_dir())
        .expect("docs/book")
}

/// The names of the recorded terminals with a prefix, in their order.
pub fn recorded(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(book().join("outputs")).expect("docs/book/outputs");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with(prefix) && name.ends_with(".console")).collect();
    names.sort();
    names
}

/// A folder in which the commands of the book run, and the folders of the programs that they name.
pub struct Terminal {
    dir: tempfile::TempDir,
    path: std::ffi::OsString,
    mirror: Option<PathBuf>,
}

impl Terminal {
    /// `programs` are binaries; their folders come before the user's.
    pub fn new(programs: &[&str], mirror: Option<PathBuf>) -> Self {
        let own = programs.iter().map(|program| Path::new(program).parent().expect("a folder").to_path_buf());
        let users = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.chain(std::env::split_paths(&users))).expect("a path");
        Self { dir: tempfile::tempdir().expect("a folder"), path, mirror }
    }

    /// Fetches what the book reads, so that no terminal shows a download; `false` where it cannot be reached here.
    pub fn fetch(&self, names: &str) -> bool {
        let (code, printed) = self.printed(&format!("temper fetch {names}"));
        assert!([Some(0), Some(UNREACHABLE)].contains(&code), "{printed}");
        code == Some(0)
    }

    /// Runs a recorded terminal; `false` where a source cannot be reached here.
    pub fn run(&self, name: &str) -> bool {
        let file = book().join("outputs").join(name);
        let text = std::fs::read_to_string(&file).expect(name);
        let mut steps = steps(&text);
        for step in &mut steps {
            let (code, printed) = self.printed(&step.command);
            if code == Some(UNREACHABLE) {
                return false;
            }
            assert_eq!(code, Some(0), "{name}: {}\n{printed}", step.command);
            if !is_recording() {
                let difference = difference(&step.output, &printed);
                assert!(
                    difference.is_none(),
                    "{name}: {}\n{}\nprinted:\n{printed}",
                    step.command,
                    difference.unwrap()
                );
            }
            step.output = printed;
        }
        if is_recording() {
            let text: String =
                steps.iter().map(|step| format!("$ {}\n{}", step.command, step.output)).collect();
            std::fs::write(file, text).expect("written");
        }
        true
    }

    /// The exit code of a command, and what it prints on both streams, as the book shows it.
    fn printed(&self, command: &str) -> (Option<i32>, String) {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.dir.path())
            .env("PATH", &self.path);
        // Models and data come from packages and from the mirror, which are the same everywhere.
        shell.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HOME", self.dir.path().join("hf"));
        shell.env_remove("TEMPER_MIRROR");
        if let Some(mirror) = &self.mirror {
            shell.env("TEMPER_MIRROR", mirror);
        }
        let output = shell.output().expect("sh");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(mirror) = &self.mirror {
            text = text.replace(&mirror.display().to_string(), "mirror");
        }
        (output.status.code(), masked(&text))
    }
}

pub fn is_recording() -> bool {
    std::env::var_os("RECORD_BOOK").is_some()
}

/// The commands of a recorded terminal; one that ends in a backslash goes on in the next line.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (_, Some(step)) if goes_on => step.command += &format!("\n{line}"),
            (Some(command), _) => steps.push(Step { command: command.into(), output: String::new() }),
            (None, Some(step)) => step.output += &format!("{line}\n"),
            (None, None) => panic!("a recorded terminal begins with a command, not with: {line}"),
        }
        goes_on = line.ends_with('\\') && steps.last().is_some_and(|step| step.output.is_empty());
    }
    steps
}

/// What differs between machines and runs, as three dots; without what only terminals show.
fn masked(text: &str) -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    let text = if home.is_empty() { text.to_owned() } else { text.replace(&home, "~") };
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    // A mirror is where the reader put it; the Hub cannot be reached in the test.
    lines.retain(|line| !line.contains("127.0.0.1"));
    // What bf16 saves is said on some processors only.
    lines.retain(|line| !line.starts_with("precision f32:") && !line.contains(" with --precision bf16: "));
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let times = r"\b\d+(\.\d+)?(\u{a0}| )?(ms|s|min|h)\b|\b\d+(\.\d+)? tokens/s|\b\d+(\.\d+)?(\u{a0}| )?(KB|MB|GB|KiB|MiB|GiB)\b|/\S*/tmp\S*|/tmp\S*";
    let times = Regex::new(times).expect("a pattern");
    times.replace_all(&text, "…").into_owned()
}

/// The first line that differs, if one does.
fn difference(expected: &str, printed: &str) -> Option<String> {
    let (expected, printed): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), printed.lines().collect());
    let differs = |(line, printed): (&&str, &&str)| !is_alike(line, printed);
    let first = expected.iter().zip(&printed).position(|pair| differs((pair.0, pair.1)));
    match first {
        Some(line) => Some(format!("the book has: {}\nprinted is:   {}", expected[line], printed[line])),
        None if expected.len() != printed.len() => {
            Some(format!("the book has {} lines, {} are printed", expected.len(), printed.len()))
        }
        None => None,
    }
}

fn is_alike(expected: &str, printed: &str) -> bool {
    let number = Regex::new(r"-?\d+\.\d+(e-?\d+)?|-?\d+(\.\d+)?e-\d+").expect("a pattern");
    let words = |line: &str| {
        let line = number.replace_all(line, "#").into_owned();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let numbers = |line: &str| -> Vec<f64> {
        number.find_iter(line).filter_map(|found| found.as_str().parse().ok()).collect()
    };
    let close = |(one, other): (&f64, &f64)| (one - other).abs() <= 0.05f64.max(0.1 * one.abs());
    let (ours, theirs) = (numbers(expected), numbers(printed));
    words(expected) == words(printed) && ours.len() == theirs.len() && ours.iter().zip(&theirs).all(close)
}

#[test]
fn terminals_are_compared_by_their_words_and_about_by_their_numbers() {
    let text = "$ one \\\n  two\nloss 0.50\n$ three\n";
    let [first, second] = &steps(text)[..] else { panic!("two steps") };
    assert_eq!((first.command.as_str(), first.output.as_str()), ("one \\\n  two", "loss 0.50\n"));
    assert_eq!((second.command.as_str(), second.output.as_str()), ("three", ""));
    assert!(is_alike("loss 0.50 of 12", "loss 0.51  of 12") && !is_alike("loss 0.50", "loss 0.60"));
    assert!(!is_alike("step 12", "step 13") && !is_alike("frozen", "trains"));
    assert!(difference("a\nb\n", "a\n").is_some() && difference("a\n", "a\n").is_none());
    assert_eq!(masked("took 12.5 s at 300 tokens/s "), "took … at …\n");
}
