//! Progress output of a run.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::{clean, say};

/// Output on stderr: bars on a terminal, plain lines elsewhere, nothing but notices when quiet.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    lines: bool,
    bars: bool,
    notices: bool,
}

impl Progress {
    /// Lines unless quiet; bars on a terminal only.
    pub fn new(quiet: bool) -> Self {
        Self { lines: !quiet, bars: !quiet && std::io::stderr().is_terminal(), notices: true }
    }

    /// No output: another process says the same.
    pub fn none() -> Self {
        Self { lines: false, bars: false, notices: false }
    }

    /// True if only errors are shown.
    pub fn is_quiet(&self) -> bool {
        !self.lines
    }

    /// Whether bars are drawn.
    pub fn shows_bars(&self) -> bool {
        self.bars
    }

    /// A line.
    pub fn line(&self, text: &str) {
        if self.lines {
            say(text);
        }
    }

    /// A line that is written even when quiet: what is used is not what was asked for.
    pub fn notice(&self, text: &str) {
        if self.notices {
            say(text);
        }
    }

    /// A line above a bar that is being drawn.
    pub fn line_above(&self, bar: &ProgressBar, text: &str) {
        if self.bars {
            bar.println(clean(text));
        } else {
            self.line(text);
        }
    }

    /// The bar of a training run, `done` of `total` steps in.
    pub fn training(&self, done: usize, total: usize) -> ProgressBar {
        let bar = self.bar(total, "{bar:30} {pos}/{len} steps  {elapsed} of about {duration}  {msg}");
        bar.set_position(done as u64);
        bar.reset_eta();
        bar
    }

    /// The bar of an evaluation.
    pub fn evaluation(&self, total: usize) -> ProgressBar {
        self.bar(total, "{bar:30} {pos}/{len} examples evaluated")
    }

    /// The bar of predictions for so many lines; hidden if the number is unknown.
    pub fn predictions(&self, total: Option<usize>) -> ProgressBar {
        match total {
            Some(total) => self.bar(total, "{bar:30} {pos}/{len} predicted  {eta} left"),
            None => ProgressBar::hidden(),
        }
    }

    fn bar(&self, total: usize, template: &str) -> ProgressBar {
        let target = if self.bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total as u64), target).with_style(style)
    }
}
