//! What happens to each parameter: whether it trains, from which step on and at which rate.

#[cfg(test)]
mod tests;

use std::fmt;

use burn::module::{Module, ParamGroup, ParamId};
use serde::Serialize;
use temper_models::{Parameter, ParameterTable};

use crate::figure::parts_of;
use crate::levels::{Stacks, is_bias, is_norm};
use crate::picked::{begins, check};
use crate::{FreezeError, Pace, Strategy};

/// What happens to one parameter.
#[derive(Clone, Debug, Serialize)]
pub struct PlanRow {
    /// Its path.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Number of elements.
    pub count: usize,
    /// Whether it trains, at any time.
    pub trains: bool,
    /// The optimiser step, counted from 0, from which on it trains; `None` when it never does.
    pub unfreezes: Option<usize>,
    /// True if weight decay applies to it: not for biases and norms.
    pub decays: bool,
    /// Factor on the learning rate.
    pub rate: f64,
    /// Its optimiser group: frozen, decay or no decay.
    pub group: &'static str,
    #[serde(skip)]
    pub(crate) id: ParamId,
}

/// How long a run is, which decides when a gradual strategy unfreezes.
#[derive(Clone, Copy, Debug)]
pub struct RunLength {
    /// Optimiser steps.
    pub total_steps: usize,
    /// Optimiser steps in one pass over the data.
    pub steps_per_epoch: usize,
}

/// A strategy worked out for one model.
#[derive(Clone, Debug)]
pub struct FreezePlan {
    /// One row a parameter, in the model's order.
    pub rows: Vec<PlanRow>,
    stacks: Stacks,
    pace: Pace,
    late: Option<Late>,
}

/// What a strategy would let train only after the last step of the run: it stays frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Number of elements in it.
    pub parameters: usize,
    /// The first step, counted from 0, from which on any of it would train.
    pub first_step: usize,
    /// Steps of the run.
    pub total_steps: usize,
}

impl fmt::Display for Late {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, first_step, total_steps } = self;
        write!(
            out,
            "{parameters} parameters stay frozen: the strategy unfreezes them from step {first_step} on, and the run \
             has {total_steps} steps"
        )
    }
}

impl FreezePlan {
    /// Works a strategy out; `new` lists the parameters that were initialised randomly.
    ///
    /// A gradual strategy unfreezes a group a step until [`Self::over`] gives the length of the run.
    ///
    /// # Errors
    /// [`FreezeError::TooManyLayers`], [`FreezeError::NoMatch`] and [`FreezeError::NoAdapters`].
    pub fn new(strategy: &Strategy, table: &ParameterTable, new: &[String]) -> Result<Self, FreezeError> {
        let stacks = Stacks::of(table);
        check(strategy, table, stacks)?;
        let row = |parameter: &Parameter| {
            let path = &parameter.path;
            let begins = if new.contains(path) { Some(0) } else { begins(strategy, path, stacks) };
            let unfreezes = begins.filter(|_| !parameter.is_fixed());
            let rate = match strategy {
                Strategy::Groups(groups) => groups.group_of(path).map_or(1.0, |group| group.rate),
                _ => 1.0,
            };
            PlanRow {
                path: path.clone(),
                shape: parameter.shape.clone(),
                count: parameter.count(),
                trains: unfreezes.is_some(),
                unfreezes,
                decays: decays(path),
                rate,
                group: group(path, unfreezes.is_some()),
                id: parameter.id,
            }
        };
        let pace = match strategy {
            Strategy::Gradual(pace) => *pace,
            _ => Pace::Steps(1),
        };
        Ok(Self { rows: table.parameters.iter().map(row).collect(), stacks, pace, late: None }.paced(
            match pace {
                Pace::Steps(steps) => steps,
                Pace::Even | Pace::Epochs(_) => 1,
            },
        ))
    }

    /// The plan for a run of that length: decides when gradual groups begin. What would begin after its last step is
    /// frozen ([`Self::late`]).
    #[must_use]
    pub fn over(mut self, run: RunLength) -> Self {
        let steps = match std::mem::replace(&mut self.pace, Pace::Steps(1)) {
            Pace::Steps(_) => 1,
            Pace::Epochs(epochs) => epochs * run.steps_per_epoch,
            // As many spans as groups: every group trains for one span at least.
            Pace::Even => run.total_steps / (self.stacks.top() + 1),
        };
        self.paced(steps.max(1)).until(run.total_steps)
    }

    /// Freezes what would begin to train after that many steps.
    fn until(mut self, total_steps: usize) -> Self {
        for row in &mut self.rows {
            let Some(step) = row.unfreezes.filter(|&step| step >= total_steps) else { continue };
            let late = self.late.get_or_insert(Late { parameters: 0, first_step: step, total_steps });
            late.parameters += row.count;
            late.first_step = late.first_step.min(step);
            (row.trains, row.unfreezes, row.group) = (false, None, group(&row.path, false));
        }
        self
    }

    /// What begins too late for the run, if anything does.
    pub fn late(&self) -> Option<Late> {
        self.late
    }

    /// Multiplies the numbers of gradual groups, as [`Self::new`] leaves them, by the steps of one.
    fn paced(mut self, steps: usize) -> Self {
        for row in &mut self.rows {
            row.unfreezes = row.unfreezes.map(|group| group * steps);
        }
        self
    }

    /// Discriminative rates: each layer's rate is `decay` times that of the one above it. What is after
    /// the last layer has the full rate, the embeddings the smallest (Howard and Ruder 2018: 1 / 2.6).
    ///
    /// # Errors
    /// [`FreezeError::LayerDecay`] when it is not above 0 and at most 1.
    pub fn with_layer_decay(mut self, decay: f64) -> Result<Self, FreezeError> {
        if !(decay > 0.0 && decay <= 1.0) {
            return Err(FreezeError::LayerDecay { given: decay });
        }
        for row in &mut self.rows {
            let below = self.stacks.top() - self.stacks.floor(&row.path);
            row.rate *= decay.powi(i32::try_from(below).unwrap_or(i32::MAX));
        }
        Ok(self)
    }

    /// Makes the parameters that train from the start ask for gradients, and the others not.
    pub fn apply<M: Module>(&self, module: M) -> M {
        self.apply_at(module, 0)
    }

    /// Makes the parameters that train in that optimiser step, counted from 0, ask for gradients, and the
    /// others not.
    pub fn apply_at<M: Module>(&self, module: M, step: usize) -> M {
        let frozen = self.ids(|row| !row.trains_in(step));
        let trained = self.ids(|row| row.trains_in(step));
        module
            .set_require_grad_group(ParamGroup::from_ids(frozen), false)
            .set_require_grad_group(ParamGroup::from_ids(trained), true)
    }

    /// Whether parameters begin to train with that optimiser step, counted from 0, and not before.
    pub fn unfreezes_at(&self, step: usize) -> bool {
        step > 0 && self.rows.iter().any(|row| row.unfreezes == Some(step))
    }

    /// Ids of the rows that a condition picks.
    pub fn ids(&self, picked: impl Fn(&PlanRow) -> bool) -> Vec<ParamId> {
        self.rows.iter().filter(|row| picked(row)).map(|row| row.id).collect()
    }

    /// Path of the parameter with that id.
    pub fn path_of(&self, id: ParamId) -> Option<&str> {
        self.rows.iter().find(|row| row.id == id).map(|row| row.path.as_str())
    }

    /// Its rows by the part of the model that they are in, from the bottom to the top: `embeddings`, `layer 3`,
    /// `decoder layer 3`, `head`.
    pub fn parts(&self) -> Vec<(String, Vec<&PlanRow>)> {
        parts_of(self)
    }

    /// Number of elements in all parameters.
    pub fn total(&self) -> usize {
        self.rows.iter().map(|row| row.count).sum()
    }

    /// Number of elements that train at any time.
    pub fn trainable(&self) -> usize {
        self.rows.iter().filter(|row| row.trains).map(|row| row.count).sum()
    }

    /// Number of elements that train in an optimiser step, counted from 0.
    pub fn trainable_in(&self, step: usize) -> usize {
        self.rows.iter().filter(|row| row.trains_in(step)).map(|row| row.count).sum()
    }

    /// Totals in one line.
    pub fn summary(&self) -> String {
        let (trainable, total) = (self.trainable(), self.total());
        let percent = 100.0 * trainable as f64 / total.max(1) as f64;
        let at_first = self.trainable_in(0);
        let gradual = match at_first == trainable {
            true => String::new(),
            false => format!(", {at_first} of them from the start"),
        };
        format!("{trainable} of {total} parameters train ({percent:.2} %){gradual}")
    }
}

impl PlanRow {
    /// Whether it trains in an optimiser step, counted from 0.
    pub fn trains_in(&self, step: usize) -> bool {
        self.unfreezes.is_some_and(|begins| begins <= step)
    }
}

impl fmt::Display for FreezePlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.path.len()).max().unwrap_or(0).max("parameter".len());
        writeln!(
            out,
            "{:width$}  {:>14}  {:>12}  {:<6}  {:<8}  {:>6}  from step",
            "parameter", "shape", "count", "trains", "group", "rate"
        )?;
        for row in &self.rows {
            let shape = format!("{:?}", row.shape);
            let trains = if row.trains { "yes" } else { "no" };
            let [rate, from] = match row.unfreezes {
                Some(step) => [format!("x{:.3}", row.rate), step.to_string()],
                None => [String::new(), "-".into()],
            };
            writeln!(
                out,
                "{:width$}  {shape:>14}  {:>12}  {trains:<6}  {:<8}  {rate:>6}  {from:>9}",
                row.path, row.count, row.group
            )?;
        }
        write!(out, "{}", self.summary())
    }
}

/// Loshchilov and Hutter's decay is for matrices; BERT's recipe leaves out biases and norms.
fn decays(path: &str) -> bool {
    !is_norm(path) && !is_bias(path)
}

fn group(path: &str, trains: bool) -> &'static str {
    match (trains, decays(path)) {
        (false, _) => "frozen",
        (true, true) => "decay",
        (true, false) => "no decay",
    }
}
