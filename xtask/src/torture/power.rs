//! Cuts the power of a recorded run and continues with what the disk kept.

use std::path::Path;

use anyhow::Result;

use super::crash::Order;
use super::disk::Tree;
use super::draw::Draw;
use super::lab::{Baseline, Lab, Verdict, places};
use super::recording::{Phase, Recording};

/// What a disk kept.
struct Kept {
    state: Tree,
    phase: Phase,
    /// The checkpoint that was certain to survive.
    certain: u64,
}

/// One trial.
pub fn power_cut(lab: &Lab, draw: &mut Draw, folder: &Path) -> Result<Verdict> {
    let baseline = lab.baseline(draw)?;
    let (out, run_folder) = places(folder)?;
    let mut kept = cut(&baseline.recording, draw)?;
    lay_out(&kept.state, &out)?;
    let mut losses = Vec::new();
    if kept.phase == Phase::Finished {
        // The process had ended with 0: everything has to be there.
        losses.extend(
            baseline
                .expected
                .differences(&run_folder)
                .iter()
                .map(|loss| format!("after exit code 0: {loss}")),
        );
    } else if draw.once_in(4) {
        kept = cut_again(lab, baseline, draw, (folder, &kept))?;
        lay_out(&kept.state, &out)?;
    }
    let (resumed, lost) = lab.finish(baseline, folder, kept.certain)?;
    losses.extend(lost);
    if !losses.is_empty() {
        kept.state.lay_out(&folder.join("state"))?;
    }
    Ok(Verdict { phase: kept.phase, resumed, losses })
}

/// A second cut while the run continues after the first.
fn cut_again(lab: &Lab, baseline: &Baseline, draw: &mut Draw, first: (&Path, &Kept)) -> Result<Kept> {
    let (folder, kept) = first;
    let out = folder.join("out");
    let command = lab.workload.finetune(baseline.scenario, &out);
    let recording = Recording::make(&command, &out, folder)?;
    let again = cut(&recording, draw)?;
    Ok(Kept { certain: again.certain.max(kept.certain), ..again })
}

/// A legal state after a cut somewhere, one time in ten after the end.
fn cut(recording: &Recording, draw: &mut Draw) -> Result<Kept> {
    let all = recording.operations.len();
    let place = match draw.below(10) {
        0 => all,
        // Where entries change and files are synced, rather than among many writes.
        1..=5 => recording.point(draw)?.operations,
        _ => draw.up_to(all),
    };
    let order = if draw.once_in(2) { Order::Journal } else { Order::Any };
    Ok(Kept {
        state: recording.cut(place).draw(order, draw),
        phase: recording.phase(place),
        certain: recording.certain_checkpoint(place),
    })
}

fn lay_out(state: &Tree, out: &Path) -> Result<()> {
    std::fs::remove_dir_all(out)?;
    state.lay_out(out)
}
