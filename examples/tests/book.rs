//! The book's programs print what the book shows.

#[path = "../../crates/temper-train/tests/common/console.rs"]
mod console;
#[path = "../../crates/temper-data/tests/common/outside.rs"]
mod outside;

use console::{Terminal, recorded};
use temper_hub::{Hub, HubSettings};

#[test]
fn every_program_prints_what_the_book_shows() {
    match Hub::new(HubSettings::from_environment()).model("minilm") {
        Err(error) if error.is_unreachable() => {
            return outside::skipped(format!("MiniLM cannot be reached here: {error}"));
        }
        model => drop(model.expect("a model")),
    }
    let terminal =
        Terminal::new(&[env!("CARGO_BIN_EXE_last_hidden_state"), env!("CARGO_BIN_EXE_freezing")], None);
    let names = recorded("rust-");
    assert!(!names.is_empty(), "no recorded programs");
    for name in names {
        assert!(terminal.run(&name), "{name}");
    }
}
