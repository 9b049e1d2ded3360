//! Texts are answered as they come.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};

/// Long enough for a slow machine; no test waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(120);

struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Conversation {
    fn new(bench: &Bench, arguments: &[&str]) -> Self {
        let mut command = bench.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { input: child.stdin.take(), child, answers }
    }

    fn say(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn answer(&self) -> String {
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    fn end(mut self) -> Option<i32> {
        self.input = None;
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_line_is_answered_before_the_next_one_comes() {
    let bench = Bench::new();
    for command in ["predict", "embed"] {
        let mut talk = Conversation::new(&bench, &[command, "./model"]);
        for text in ["the film is good.", "the plot was dull.", "fine"] {
            talk.say(&format!("{text}\n"));
            assert!(talk.answer().contains(text));
        }
        assert_eq!(talk.end(), Some(0));
    }
}

#[test]
fn answers_are_in_the_order_of_the_texts_whatever_the_batches() {
    let bench = Bench::new();
    let words =
        ["good", "the film is so very very dull.", "the cast was fun and the plot is bad", "fine, so fine"];
    let texts: Vec<String> = (0..700).map(|row| format!("{} film{}", words[row * 7 % 4], row)).collect();
    bench.write("texts.txt", &(texts.join("\n") + "\n"));
    let predict = |tokens: &str| {
        let output =
            bench.run(&["predict", "./model", "--file", "texts.txt", "--max-tokens-per-batch", tokens]);
        assert_succeeds(&output);
        stdout(&output)
    };
    let all = predict("4096");
    let answered: Vec<&str> = all.lines().map(|line| line.splitn(3, '\t').nth(2).unwrap()).collect();
    assert_eq!(answered, texts);
    assert_eq!(predict("40"), all);
    assert_eq!(predict("1"), all);
    let mut talk = Conversation::new(&bench, &["predict", "./model", "--max-tokens-per-batch", "64"]);
    talk.say(&(texts.join("\n") + "\n"));
    let lines: Vec<String> = texts.iter().map(|_| talk.answer()).collect();
    assert_eq!(lines.join("\n") + "\n", all);
    assert_eq!(talk.end(), Some(0));
}

#[test]
fn what_came_before_an_error_is_answered() {
    let bench = Bench::new();
    bench.write(
        "texts.jsonl",
        "{\"text\": \"good\"}\n{\"text\": \"bad\"}\n{\"text\": 3}\n{\"text\": \"fun\"}\n",
    );
    for command in ["predict", "embed"] {
        let output = bench.run(&[command, "./model", "--file", "texts.jsonl"]);
        assert_fails(&output, 3, &["texts.jsonl", "row 3"]);
    }
    let mut talk = Conversation::new(&bench, &["predict", "./model"]);
    talk.input.as_mut().unwrap().write_all(b"good\nbad\n\xff\xfe\nfun\n").unwrap();
    assert!(talk.answer().ends_with("\tgood"));
    assert!(talk.answer().ends_with("\tbad"));
    assert_eq!(talk.end(), Some(3));
}

#[test]
fn texts_that_were_cut_are_counted_over_the_whole_input() {
    let bench = Bench::new();
    let rows: Vec<&str> =
        (0..300).map(|row| if row % 3 == 0 { "a film so very dull" } else { "fine" }).collect();
    bench.write("texts.txt", &rows.join("\n"));
    let flags = ["--file", "texts.txt", "--max-seq-length", "5", "--max-tokens-per-batch", "16"];
    for command in ["predict", "embed"] {
        let output = bench.run(&[&[command, "./model"], &flags[..]].concat());
        assert_succeeds(&output);
        assert!(
            stderr(&output).contains("100 of 300 texts were cut to 5 tokens (head kept)"),
            "{}",
            stderr(&output)
        );
    }
}
