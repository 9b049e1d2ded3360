//! Makes a system call of a run fail, as a full or broken disk does.

use std::path::Path;

use anyhow::Result;

use super::draw::Draw;
use super::lab::{Lab, Verdict, newest_checkpoint, places};
use super::process::{Ended, Injection, injected, log_in, run};
use super::recording::Phase;
use super::trace::{self, Call};

/// One trial.
pub fn error(lab: &Lab, draw: &mut Draw, folder: &Path) -> Result<Verdict> {
    let baseline = lab.baseline(draw)?;
    let (out, run_folder) = places(folder)?;
    let point = baseline.recording.point(draw)?;
    let error = draw.pick(&["ENOSPC", "EIO"]).copied().unwrap_or("EIO");
    let injection = Injection {
        call: point.call.clone(),
        nth: point.nth,
        what: format!("error={error}"),
        lasts: draw.once_in(3),
    };
    let log = log_in(folder);
    let command = lab.workload.finetune(baseline.scenario, &out);
    let ended = run(&injected(&command, &injection, &log), folder)?;
    let struck: Vec<Call> = trace::read(&std::fs::read_to_string(&log)?)?;
    let struck: Vec<Call> = struck.into_iter().filter(|call| call.injected).collect();
    let mut losses = faults(&ended, &struck, &out)?;
    let (resumed, lost) = lab.finish(baseline, folder, newest_checkpoint(&run_folder))?;
    losses.extend(lost);
    let phase = if struck.is_empty() { Phase::Finished } else { point.phase };
    Ok(Verdict { phase, resumed, losses })
}

/// What is wrong with the way in which a run ended that met an error.
fn faults(ended: &Ended, struck: &[Call], out: &Path) -> Result<Vec<String>> {
    let (Some(code), stderr) = (ended.code(), ended.stderr.trim()) else {
        return Ok(vec![format!("an error led to {}", ended.says())]);
    };
    let mut faults = Vec::new();
    if ![0, 1].contains(&code) || stderr.contains("panicked") {
        faults.push(format!("an error led to exit code {code}: {stderr}"));
    }
    // A message that could not be written cannot be asked for.
    let mut is_ours = false;
    let mut is_mute = false;
    for call in struck {
        let name = call.file(0)?.map(|file| file.path).unwrap_or_default();
        is_mute |= name.ends_with("stderr.txt");
        is_ours |= names_a_file_in(call, out)?;
    }
    if code != 0 && is_ours && !is_mute {
        let errors = stderr.lines().filter(|line| line.starts_with("error")).count();
        if errors != 1 || !stderr.contains(&out.display().to_string()) {
            faults.push(format!("{errors} messages, or none that names the file: {stderr}"));
        }
    }
    Ok(faults)
}

fn names_a_file_in(call: &Call, out: &Path) -> Result<bool> {
    for index in 0..call.arguments.len() {
        let name = match call.file(index)? {
            Some(file) => file.path,
            None if call.argument(index).starts_with('"') && !call.name.contains("write") => {
                call.text(index)?
            }
            None => continue,
        };
        if Path::new(&name).starts_with(out) {
            return Ok(true);
        }
    }
    Ok(false)
}
