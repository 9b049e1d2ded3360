//! Kills and power cuts over `temper merge`: its folder is complete or absent, and neighbours stay.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::crash::Order;
use super::disk::{ROOT, Tree};
use super::draw::Draw;
use super::lab::{Lab, Verdict};
use super::process::{Injection, injected, log_in, run};
use super::recording::{Phase, Recording};

/// The folder that is written, and those that look like its scratch folders.
const MERGED: &str = "merged";
const NEIGHBOURS: [&str; 2] = ["merged.old", "merged.partial"];

type Listing = BTreeMap<String, Option<Vec<u8>>>;

/// An uninterrupted merge.
pub struct Merge {
    expected: Listing,
    recording: Recording,
}

impl Merge {
    /// Records one.
    pub fn record(command: impl Fn(&Path) -> Vec<OsString>, folder: &Path) -> Result<Self> {
        let out = place(folder)?;
        let recording = Recording::make(&command(&out.join(MERGED)), &out, folder)?;
        Ok(Self { expected: listing(&out.join(MERGED))?, recording })
    }

    /// Everything that is wrong with what a strike left, after the same command once more where it left nothing.
    fn losses(&self, lab: &Lab, folder: &Path, phase: Phase) -> Result<Vec<String>> {
        let out = folder.join("out");
        let merged = out.join(MERGED);
        let mut losses = Vec::new();
        if !merged.exists() {
            if phase == Phase::Finished {
                losses.push("the merged model is gone after exit code 0".to_owned());
            }
            let ended = run(&command(lab, &merged), folder)?;
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

/// One trial with a kill.
pub fn kill(lab: &Lab, draw: &mut Draw, folder: &Path) -> Result<Verdict> {
    let merged = place(folder)?.join(MERGED);
    let point = draw.pick(&lab.merge.recording.points).context("a merge changes no files")?;
    let injection =
        Injection { call: point.call.clone(), nth: point.nth, what: "signal=SIGKILL".into(), lasts: false };
    run(&injected(&command(lab, &merged), &injection, &log_in(folder)), folder)?;
    let losses = lab.merge.losses(lab, folder, Phase::End)?;
    Ok(Verdict { phase: Phase::Merge, resumed: false, losses })
}

/// One trial with a power cut.
pub fn power_cut(lab: &Lab, draw: &mut Draw, folder: &Path) -> Result<Verdict> {
    let recording = &lab.merge.recording;
    let all = recording.operations.len();
    let end = if draw.once_in(5) { all } else { draw.up_to(all) };
    let order = if draw.once_in(2) { Order::Journal } else { Order::Any };
    let state = recording.cut(end).draw(order, draw);
    state.lay_out(&folder.join("out"))?;
    let losses = lab.merge.losses(lab, folder, recording.phase(end))?;
    if !losses.is_empty() {
        state.lay_out(&folder.join("state"))?;
    }
    Ok(Verdict { phase: Phase::Merge, resumed: false, losses })
}

fn command(lab: &Lab, merged: &Path) -> Vec<OsString> {
    lab.workload.merge(&lab.adapter, merged)
}

/// Makes the folder that a merge writes into, with neighbours.
fn place(folder: &Path) -> Result<PathBuf> {
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
