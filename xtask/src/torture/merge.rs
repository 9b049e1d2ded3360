//! What `temper merge` has to leave after any end: its folder complete or absent, and neighbours untouched.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::disk::{ROOT, Tree};
use super::process::run;
use super::recording::{Phase, Recording};

/// The folder that is written, and those that look like its scratch folders.
pub const MERGED: &str = "merged";
const NEIGHBOURS: [&str; 2] = ["merged.old", "merged.partial"];

type Listing = BTreeMap<String, Option<Vec<u8>>>;

/// An uninterrupted merge.
pub struct Merge {
    expected: Listing,
    /// What it does to its files.
    pub recording: Recording,
}

impl Merge {
    /// Records one.
    pub fn record(command: impl Fn(&Path) -> Vec<OsString>, folder: &Path) -> Result<Self> {
        let out = place(folder)?;
        let recording = Recording::make(&command(&out.join(MERGED)), &out, folder)?;
        Ok(Self { expected: listing(&out.join(MERGED))?, recording })
    }

    /// Everything that is wrong after a strike at a phase. Where it left nothing, the same command runs once more.
    pub fn losses(
        &self,
        command: impl Fn(&Path) -> Vec<OsString>,
        folder: &Path,
        phase: Phase,
    ) -> Result<Vec<String>> {
        let out = folder.join("out");
        let merged = out.join(MERGED);
        let mut losses = Vec::new();
        if !merged.exists() {
            if phase == Phase::Finished {
                losses.push("the merged model is gone after exit code 0".to_owned());
            }
            let ended = run(&command(&merged), folder)?;
            if ended.code() != Some(0) {
                losses.push(format!("the same command ended with {}: {}", ended.says(), ended.stderr.trim()));
                return Ok(losses);
            }
        }
        let there = listing(&merged)?;
        let names = self.expected.keys().chain(there.keys());
        if let Some(path) = names.into_iter().find(|path| self.expected.get(*path) != there.get(*path)) {
            losses.push(format!("the merged model's {path} differs"));
        }
        let gone = NEIGHBOURS.iter().filter(|name| !out.join(name).join("precious").exists());
        losses.extend(gone.map(|name| format!("the neighbour {name} is gone")));
        Ok(losses)
    }
}

/// Makes the folder that a merge writes into, with neighbours.
pub fn place(folder: &Path) -> Result<PathBuf> {
    let out = folder.join("out");
    for name in NEIGHBOURS {
        let neighbour = out.join(name);
        std::fs::create_dir_all(&neighbour)?;
        std::fs::write(neighbour.join("precious"), "precious\n")?;
    }
    Ok(out)
}

fn listing(folder: &Path) -> Result<Listing> {
    let tree = Tree::read(folder)?;
    let owned = |(path, content): (String, Option<&[u8]>)| (path, content.map(<[u8]>::to_vec));
    Ok(tree.listing(ROOT).into_iter().map(owned).collect())
}
