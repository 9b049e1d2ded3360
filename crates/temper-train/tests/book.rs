//! The commands of the book run and print what the book shows; its two languages show the same.

#[path = "common/console.rs"]
mod console;
#[path = "../../temper-data/tests/common/outside.rs"]
mod outside;

use std::collections::BTreeSet;
use std::path::Path;

use console::{Terminal, book, recorded};

const LANGUAGES: [&str; 2] = ["en", "zh-TW"];

/// The recorded terminals of the program; those of the Rust programs are in the examples' tests.
#[test]
fn every_command_prints_what_the_book_shows() {
    let terminal = Terminal::new(&[env!("CARGO_BIN_EXE_temper")], outside::mirror_with("leondz/wnut_17"));
    if !terminal.fetch("minilm movie-snippets") || !terminal.fetch("smollm2") {
        return outside::skipped("MiniLM, SmolLM2 and the film reviews cannot be reached here");
    }
    let names: Vec<String> = recorded("").into_iter().filter(|name| !name.starts_with("rust-")).collect();
    assert!(names.len() > 5, "no recorded terminals");
    let mut left_out = BTreeSet::new();
    for name in &names {
        // What a group's first terminal makes, the others use.
        let group = name.split('-').next().unwrap_or_default().to_owned();
        if left_out.contains(&group) || !terminal.run(name) {
            outside::skipped(format!("{name}: a model or data cannot be reached here"));
            left_out.insert(group);
        }
    }
}

/// The chapters of a language: names and texts.
fn chapters(language: &str) -> Vec<(String, String)> {
    let folder = book().join(language).join("src");
    let mut chapters: Vec<(String, String)> = std::fs::read_dir(&folder)
        .expect("chapters")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (file_name(&path), std::fs::read_to_string(&path).expect("a chapter")))
        .collect();
    chapters.sort();
    chapters
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Fenced blocks of a chapter: what stands behind the fence, and the lines.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(kind) => {
                open = true;
                blocks.push((kind.trim().to_owned(), Vec::new()));
            }
            None if open => blocks.last_mut().expect("a block").1.push(line.to_owned()),
            None => {}
        }
    }
    assert!(!open, "a block has no end");
    blocks
}

/// Commands and programs come from files that tests run, so that text and program cannot differ.
#[test]
fn blocks_are_included_from_what_the_tests_run() {
    let mut shown: Vec<BTreeSet<String>> = Vec::new();
    for language in LANGUAGES {
        let mut included = BTreeSet::new();
        for (chapter, text) in chapters(language) {
            for (kind, lines) in blocks(&text) {
                let place = format!("{language}/{chapter}: {lines:?}");
                match kind.as_str() {
                    "console" | "rust" => {
                        let [line] = &lines[..] else { panic!("{place}: a block is one include") };
                        let file = line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
                        let file = file.unwrap_or_else(|| panic!("{place}: no include"));
                        let path = file.split(':').next().unwrap_or_default();
                        let path = book().join(language).join("src").join(path);
                        assert!(path.is_file(), "{place}: no such file");
                        included.insert(format!("{kind} {file}"));
                    }
                    // What a reader does before there is a program: the lines are those of the README.
                    "sh" => {
                        let readme = std::fs::read_to_string(book().join("../../README.md")).expect("README");
                        for line in lines {
                            let is_known = readme.contains(line.trim())
                                || line.starts_with("git clone")
                                || line.starts_with("cd ");
                            assert!(is_known, "{language}/{chapter}: {line} is not in the README");
                        }
                    }
                    "toml" | "text" | "csv" => {}
                    other => panic!("{place}: a block of kind {other}"),
                }
            }
        }
        shown.push(included);
    }
    assert_eq!(shown[0], shown[1], "both languages show the same");
    for name in recorded("") {
        let used = shown[0].iter().any(|file| file.ends_with(&format!("outputs/{name}")));
        assert!(used, "{name} is in no chapter");
    }
}

#[test]
fn figures_are_there_in_both_languages_and_used() {
    let figures: BTreeSet<String> = std::fs::read_dir(book().join("figures"))
        .expect("figures")
        .map(|entry| file_name(&entry.expect("an entry").path()))
        .collect();
    let mut used = BTreeSet::new();
    for language in LANGUAGES {
        for (chapter, text) in chapters(language) {
            for rest in text.split("../../figures/").skip(1) {
                let name: String =
                    rest.chars().take_while(|character| !")\"# ".contains(*character)).collect();
                assert!(figures.contains(&name), "{language}/{chapter}: no figure {name}");
                assert!(name.ends_with(&format!(".{language}.svg")), "{language}/{chapter}: {name}");
                used.insert(name);
            }
        }
    }
    assert_eq!(figures, used, "every figure is in a chapter");
    for figure in &figures {
        let text = std::fs::read_to_string(book().join("figures").join(figure)).expect("a figure");
        for part in ["<title>", "<desc>", "prefers-color-scheme:dark"] {
            assert!(text.contains(part), "{figure} has no {part}");
        }
    }
}

/// A word that is written otherwise in Taiwan.
#[test]
fn the_chinese_is_that_of_taiwan() {
    const OTHERS: [&str; 22] = [
        "数",
        "据",
        "默認",
        "信息",
        "模塊",
        "視頻",
        "軟件",
        "硬件",
        "網絡",
        "服務器",
        "文件夾",
        "字符",
        "內存",
        "激活",
        "數據",
        "命令行",
        "加載",
        "运",
        "优化",
        "源代碼",
        "質量",
        "支持向量",
    ];
    for (chapter, text) in chapters("zh-TW") {
        for word in OTHERS {
            assert!(!text.contains(word), "{chapter}: {word}");
        }
    }
}
