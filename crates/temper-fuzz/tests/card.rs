//! Target: dataset cards.

mod common;

use std::fs;
use std::path::Path;

use common::{answer, fixtures};
use temper_data::DatasetCard;
use temper_fuzz::{Failures, Part, Shape, run};

fn parse(bytes: &[u8], _: &Path) -> Result<(), String> {
    let text = answer(std::str::from_utf8(bytes))?;
    let card = answer(DatasetCard::parse(text, "card.toml"))?;
    assert!(!card.wanted().is_empty(), "a card without files");
    Ok(())
}

#[test]
fn card() -> Result<(), Failures> {
    let files = fs::read_dir(fixtures("../datasets")).expect("the cards");
    let mut paths: Vec<_> = files.map(|file| file.expect("a card").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let seeds = paths.iter().map(|path| common::read(path)).collect();
    run("card", 20000, &[Part { name: "card", shape: Shape::Toml, seeds, check: Box::new(parse) }])
}
