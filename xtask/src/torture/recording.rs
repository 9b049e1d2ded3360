//! A run seen from its disk: what it did, when, and what it had made sure of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::crash::PowerCut;
use super::disk::{Operation, ROOT, Tree};
use super::draw::Draw;
use super::process::{log_in, recorded, run};
use super::recorder::Recorder;
use super::trace::{self, Call};
use super::workload::RUN;

/// Calls that kills and errors strike at.
const STRUCK: &[&str] = &[
    "open",
    "openat",
    "creat",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "copy_file_range",
    "sendfile",
    "ftruncate",
    "truncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fsync",
    "fdatasync",
    "chmod",
    "fchmod",
    "fchmodat",
];

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the first step.
    Start,
    /// Between checkpoints.
    Training,
    /// While a checkpoint or the best model is written, or an old one removed.
    Checkpoint,
    /// After the last step.
    End,
    /// When the process has ended.
    Finished,
    /// In a merge.
    Merge,
}

impl Phase {
    /// Those in which a process still works.
    pub const WORKING: [Self; 4] = [Self::Start, Self::Training, Self::Checkpoint, Self::End];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Training => "training",
            Self::Checkpoint => "checkpoint",
            Self::End => "end",
            Self::Finished => "finished",
            Self::Merge => "merge",
        }
    }
}

/// A system call that changes a recorded file.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its name.
    pub call: String,
    /// Which one of its thread, counted from 1.
    pub nth: usize,
    /// When in the run.
    pub phase: Phase,
    /// The files, for sorting it into a phase.
    names: String,
    /// How many operations came before.
    pub operations: usize,
}

/// What a process did to the files below a folder.
pub struct Recording {
    /// What was there before.
    pub initial: Tree,
    /// What it did.
    pub operations: Vec<Operation>,
    /// The calls in which it did so.
    pub points: Vec<Point>,
    /// After how many operations which checkpoint was certain to survive.
    certain: Vec<(usize, u64)>,
}

impl Recording {
    /// Runs a command that changes files below `root`, and nothing else does.
    pub fn make(arguments: &[OsString], root: &Path, folder: &Path) -> Result<Self> {
        let initial = Tree::read(root)?;
        let log = log_in(folder);
        let ended = run(&recorded(arguments, &log), folder)?;
        if ended.code() != Some(0) {
            bail!("a recorded run ended with {}: {}", ended.says(), ended.stderr.trim());
        }
        let text = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
        let mut recorder = Recorder::new(root, folder, initial.clone());
        let points = points(&mut recorder, &trace::read(&text)?)?;
        let (operations, tree) = recorder.finish();
        let there = Tree::read(root)?;
        if let Some(path) = first_difference(&tree, &there) {
            bail!(
                "{path} was changed in a way that was not seen; its system call is missing in xtask/src/torture/process.rs"
            );
        }
        std::fs::remove_file(&log)?;
        let certain = certain_checkpoints(&initial, &operations);
        Ok(Self { initial, operations, points, certain })
    }

    /// A system call that changes files: any phase of the run is as likely as another.
    pub fn point(&self, draw: &mut Draw) -> Result<&Point> {
        let phase = draw.pick(&Phase::WORKING).copied().unwrap_or(Phase::Start);
        let of_phase: Vec<&Point> = self.points.iter().filter(|point| point.phase == phase).collect();
        let point = draw.pick(&of_phase).copied().or_else(|| draw.pick(&self.points));
        point.context("the process changes no files")
    }

    /// A power cut after some of the operations.
    pub fn cut(&self, operations: usize) -> PowerCut<'_> {
        PowerCut::new(&self.initial, &self.operations[..operations])
    }

    /// The newest checkpoint that was certain to survive before a cut; 0 where none was.
    pub fn certain_checkpoint(&self, operations: usize) -> u64 {
        let before = self.certain.iter().filter(|(place, _)| *place <= operations);
        before.map(|(_, step)| *step).max().unwrap_or_default()
    }

    /// When in the run a cut is.
    pub fn phase(&self, operations: usize) -> Phase {
        if operations >= self.operations.len() {
            return Phase::Finished;
        }
        let behind = self.points.partition_point(|point| point.operations <= operations);
        self.points[..behind].last().map_or(Phase::Start, |point| point.phase)
    }
}

/// Hands all calls to the recorder and notes those that change recorded files.
fn points(recorder: &mut Recorder, calls: &[Call]) -> Result<Vec<Point>> {
    let mut counts: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    let mut points = Vec::new();
    for call in calls {
        let count = counts.entry((call.thread, call.name.as_str())).or_default();
        *count += 1;
        let operations = recorder.operations().len();
        let makes = !call.name.starts_with("open") || call.arguments.join(" ").contains("O_CREAT");
        let names =
            if STRUCK.contains(&call.name.as_str()) && makes { recorder.names(call)? } else { Vec::new() };
        recorder.take(call)?;
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|path| path.display().to_string()).collect();
            points.push(Point {
                call: call.name.clone(),
                nth: *count,
                phase: Phase::Start,
                names: names.join(" "),
                operations,
            });
        }
    }
    set_phases(&mut points);
    Ok(points)
}

fn set_phases(points: &mut [Point]) {
    let has = |point: &Point, part: &str| point.names.contains(part);
    let trains = |point: &Point| {
        let removes = point.call.starts_with("unlink") || point.call == "rmdir";
        !removes && (has(point, "checkpoints/") || has(point, "metrics.jsonl"))
    };
    let first = points.iter().position(trains).unwrap_or(points.len());
    let last = points.iter().rposition(trains).unwrap_or(points.len());
    for (index, point) in points.iter_mut().enumerate() {
        point.phase = match index {
            _ if index < first => Phase::Start,
            _ if index > last => Phase::End,
            _ if has(point, "checkpoints/") => Phase::Checkpoint,
            _ => Phase::Training,
        };
    }
}

/// Where each checkpoint is certain to survive: its name and all that it held when it got the name.
fn certain_checkpoints(initial: &Tree, operations: &[Operation]) -> Vec<(usize, u64)> {
    let mut tree = initial.clone();
    let mut awaited: BTreeMap<u64, BTreeMap<String, Option<Vec<u8>>>> = BTreeMap::new();
    let mut certain = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        match operation {
            Operation::Change(change) => {
                tree.change(change);
                for step in change.entries().iter().filter_map(|entry| step_of(&entry.name)) {
                    let content = checkpoint(&tree, step);
                    if !content.is_empty() {
                        awaited.insert(step, content);
                    }
                }
            }
            Operation::Edit { inode, edit } => tree.edit(*inode, edit),
            Operation::Sync { .. } | Operation::SyncAll => {
                let there = PowerCut::new(initial, &operations[..=place]).certain();
                awaited.retain(|step, content| {
                    let is_certain = checkpoint(&there, *step) == *content;
                    if is_certain {
                        certain.push((place + 1, *step));
                    }
                    !is_certain
                });
            }
        }
    }
    certain
}

fn checkpoint(tree: &Tree, step: u64) -> BTreeMap<String, Option<Vec<u8>>> {
    let Some(inode) = tree.find(Path::new(&format!("{RUN}/checkpoints/step-{step}"))) else {
        return BTreeMap::new();
    };
    tree.listing(inode).into_iter().map(|(path, content)| (path, content.map(<[u8]>::to_vec))).collect()
}

/// The step of a checkpoint's name.
pub fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.parse().ok()
}

fn first_difference(one: &Tree, other: &Tree) -> Option<String> {
    let (one, other) = (one.listing(ROOT), other.listing(ROOT));
    one.keys().chain(other.keys()).find(|path| one.get(*path) != other.get(*path)).cloned()
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Change, Edit, Entry, Inode, Node};
    use super::*;

    fn at(folder: Inode, name: &str) -> Entry {
        Entry { folder, name: name.into() }
    }

    fn folder(at: Entry, inode: Inode) -> Operation {
        Operation::Change(Change::Make { at, inode, empty: Node::Folder(BTreeMap::new()) })
    }

    #[test]
    fn a_checkpoint_is_certain_once_content_and_name_are_synced() {
        let operations = [
            folder(at(ROOT, RUN), 1),
            folder(at(1, "checkpoints"), 2),
            folder(at(2, ".temper-x"), 3),
            Operation::Change(Change::Make { at: at(3, "state"), inode: 4, empty: Node::File(Vec::new()) }),
            Operation::Edit { inode: 4, edit: Edit::Write { offset: 0, bytes: b"s".to_vec() } },
            Operation::Sync { inode: 4 },
            Operation::Change(Change::Rename {
                from: at(2, ".temper-x"),
                to: at(2, "step-5"),
                inode: 3,
                replaced: None,
            }),
            Operation::Sync { inode: 2 },
        ];
        assert_eq!(certain_checkpoints(&Tree::default(), &operations), [(8, 5)]);
        let without_sync: Vec<Operation> = operations
            .iter()
            .filter(|operation| **operation != Operation::Sync { inode: 4 })
            .cloned()
            .collect();
        assert_eq!(certain_checkpoints(&Tree::default(), &without_sync), []);
    }

    #[test]
    fn phases_follow_the_files() {
        let point = |call: &str, names: &str| Point {
            call: call.into(),
            nth: 1,
            phase: Phase::Start,
            names: names.into(),
            operations: 0,
        };
        let mut points = [
            point("write", "run/run.toml"),
            point("write", "run/metrics.jsonl"),
            point("rename", "run/checkpoints/.temper-1 run/checkpoints/step-5"),
            point("write", "run/metrics.jsonl"),
            point("rename", "run/.temper-2 run/model"),
            point("unlink", "run/checkpoints/best/state.json"),
        ];
        set_phases(&mut points);
        let phases: Vec<Phase> = points.iter().map(|point| point.phase).collect();
        let [start, training, checkpoint, end] = Phase::WORKING;
        assert_eq!(phases, [start, training, checkpoint, training, end, end]);
    }
}
