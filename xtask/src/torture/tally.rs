//! Counts of trials, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Kind;
use super::lab::Verdict;
use super::recording::Phase;

/// How all trials went.
#[derive(Default)]
pub struct Tally {
    rows: BTreeMap<(Kind, Phase), Row>,
    failures: Vec<Failure>,
}

#[derive(Clone, Copy, Default)]
struct Row {
    tried: usize,
    resumed: usize,
    lost: usize,
}

/// A trial that lost something.
pub struct Failure {
    /// What was tried.
    pub kind: Kind,
    /// Which one.
    pub number: usize,
    /// What was lost, a line each.
    pub losses: Vec<String>,
    /// Where it is kept.
    pub folder: PathBuf,
}

impl Tally {
    /// Counts a trial.
    pub fn count(&mut self, kind: Kind, verdict: &Verdict) {
        let row = self.rows.entry((kind, verdict.phase)).or_default();
        row.tried += 1;
        row.resumed += usize::from(verdict.resumed);
        row.lost += usize::from(!verdict.losses.is_empty());
    }

    /// Notes what was lost.
    pub fn fail(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    /// Trials that lost something.
    pub fn lost(&self) -> usize {
        self.failures.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<12}{:<12}{:>7}{:>9}{:>6}", "", "in phase", "tried", "resumed", "lost")?;
        let mut total = Row::default();
        for ((kind, phase), row) in &self.rows {
            let Row { tried, resumed, lost } = row;
            writeln!(out, "{:<12}{:<12}{tried:>7}{resumed:>9}{lost:>6}", kind.name(), phase.name())?;
            total.tried += tried;
            total.resumed += resumed;
            total.lost += lost;
        }
        write!(out, "{:<24}{:>7}{:>9}{:>6}", "all", total.tried, total.resumed, total.lost)?;
        for failure in &self.failures {
            write!(
                out,
                "\n{} {}: {}\n    kept in {}",
                failure.kind.name(),
                failure.number,
                failure.losses.join("\n    "),
                failure.folder.display()
            )?;
        }
        Ok(())
    }
}
