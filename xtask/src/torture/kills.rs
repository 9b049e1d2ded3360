//! Kills a run at a system call, perhaps the resumed one, too.

use std::path::Path;

use anyhow::Result;

use super::draw::Draw;
use super::lab::{Baseline, Lab, Verdict, newest_checkpoint, places};
use super::process::{Injection, injected, log_in, run};
use super::recording::Phase;

/// One trial.
pub fn kill(lab: &Lab, draw: &mut Draw, folder: &Path) -> Result<Verdict> {
    let baseline = lab.baseline(draw)?;
    let (_, run_folder) = places(folder)?;
    let (phase, mut losses) = strike(lab, baseline, draw, folder)?;
    if draw.once_in(3) {
        losses.extend(strike(lab, baseline, draw, folder)?.1);
    }
    let (resumed, lost) = lab.finish(baseline, folder, newest_checkpoint(&run_folder))?;
    losses.extend(lost);
    Ok(Verdict { phase, resumed, losses })
}

/// Runs the command until it is killed, or to its end where it never gets that far.
fn strike(lab: &Lab, baseline: &Baseline, draw: &mut Draw, folder: &Path) -> Result<(Phase, Vec<String>)> {
    let point = baseline.recording.point(draw)?;
    let command = lab.workload.finetune(baseline.scenario, &folder.join("out"));
    let injection =
        Injection { call: point.call.clone(), nth: point.nth, what: "signal=SIGKILL".into(), lasts: false };
    let ended = run(&injected(&command, &injection, &log_in(folder)), folder)?;
    let losses = match ended.code() {
        None if ended.status.is_some() => Vec::new(),
        Some(0) => return Ok((Phase::Finished, Vec::new())),
        _ => vec![format!("before a kill: {}: {}", ended.says(), ended.stderr.trim())],
    };
    Ok((point.phase, losses))
}
