//! Kills and power cuts over `temper merge`.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};

use super::crash::Order;
use super::draw::Draw;
use super::lab::{Lab, Verdict};
use super::merge;
use super::process::{Injection, injected, log_in, run};
use super::recording::Phase;

/// One trial with a kill.
pub fn kill(lab: &Lab, draw: &mut Draw, folder: &Path) -> Result<Verdict> {
    let merged = merge::place(folder)?.join(merge::MERGED);
    let point = draw.pick(&lab.merge.recording.points).context("a merge changes no files")?;
    let injection =
        Injection { call: point.call.clone(), nth: point.nth, what: "signal=SIGKILL".into(), lasts: false };
    run(&injected(&command(lab, &merged), &injection, &log_in(folder)), folder)?;
    let losses = lab.merge.losses(|merged| command(lab, merged), folder, Phase::End)?;
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
    let losses = lab.merge.losses(|merged| command(lab, merged), folder, recording.phase(end))?;
    if !losses.is_empty() {
        state.lay_out(&folder.join("state"))?;
    }
    Ok(Verdict { phase: Phase::Merge, resumed: false, losses })
}

fn command(lab: &Lab, merged: &Path) -> Vec<OsString> {
    lab.workload.merge(&lab.adapter, merged)
}
