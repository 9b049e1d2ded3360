//! What happens to each parameter: whether it trains, from which step on and at which rate.

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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> ParameterTable {
        let parameter = |path: &&str| Parameter {
            path: path.to_string(),
            shape: vec![2],
            id: ParamId::new(),
            trains: true,
        };
        ParameterTable { parameters: paths.iter().map(parameter).collect() }
    }

    fn twelve_layers() -> ParameterTable {
        let mut paths = vec!["token_embedding.weight".to_owned(), "embedding_norm.bias".to_owned()];
        paths.extend((0..12).map(|layer| format!("layers.{layer}.ffn.inner.weight")));
        paths.extend(["pooler.weight".to_owned(), "head.output.weight".to_owned()]);
        table(&paths.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn trained(strategy: &str, new: &[String]) -> Vec<String> {
        let plan = FreezePlan::new(&strategy.parse().unwrap(), &twelve_layers(), new).unwrap();
        plan.rows.into_iter().filter(|row| row.trains).map(|row| row.path).collect()
    }

    #[test]
    fn a_layer_number_is_matched_whole() {
        assert_eq!(trained("pattern:layers\\.1\\..*", &[]), ["layers.1.ffn.inner.weight"]);
    }

    #[test]
    fn strategies_pick_what_they_say() {
        assert_eq!(trained("all", &[]).len(), 16);
        assert_eq!(trained("head", &[]), ["head.output.weight"]);
        assert_eq!(
            trained("last:2", &[]),
            [
                "layers.10.ffn.inner.weight",
                "layers.11.ffn.inner.weight",
                "pooler.weight",
                "head.output.weight"
            ]
        );
        assert_eq!(
            trained("embeddings", &[]),
            ["token_embedding.weight", "embedding_norm.bias", "head.output.weight"]
        );
        assert_eq!(trained("freeze-embeddings", &[]).len(), 14);
    }

    #[test]
    fn an_encoder_lies_below_its_decoder() {
        let paths = [
            "token_embedding.weight",
            "encoder.relative_bias.weight",
            "encoder.layers.0.ffn.inner.weight",
            "encoder.layers.1.ffn.inner.weight",
            "encoder.final_norm.weight",
            "decoder.position_embedding.weight",
            "decoder.layers.0.ffn.inner.weight",
            "decoder.final_norm.weight",
            "head.output.weight",
        ];
        let trained = |strategy: &str| -> Vec<bool> {
            let plan = FreezePlan::new(&strategy.parse().unwrap(), &table(&paths), &[]).unwrap();
            plan.rows.into_iter().map(|row| row.trains).collect()
        };
        let [no, yes] = [false, true];
        assert_eq!(trained("last:1"), [no, no, no, no, no, no, yes, yes, yes]);
        assert_eq!(trained("last:2"), [no, no, no, yes, yes, no, yes, yes, yes]);
        assert_eq!(trained("embeddings"), [yes, yes, no, no, no, yes, no, no, yes]);
        assert!(FreezePlan::new(&"last:4".parse().unwrap(), &table(&paths), &[]).is_err());
    }

    #[test]
    fn random_parameters_always_train() {
        assert_eq!(trained("head", &["pooler.weight".into()]), ["pooler.weight", "head.output.weight"]);
    }

    #[test]
    fn fixed_parameters_never_train() {
        let table = table(&["head.output.weight", "head.fixed_bias"]);
        let plan = FreezePlan::new(&"all".parse().unwrap(), &table, &[]).unwrap();
        assert_eq!(plan.rows.iter().map(|row| row.trains).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn impossible_plans_are_refused() {
        let plan = |name: &str| FreezePlan::new(&name.parse().unwrap(), &twelve_layers(), &[]);
        assert!(matches!(plan("last:13"), Err(FreezeError::TooManyLayers { available: 12, .. })));
        assert!(matches!(plan("layers:3-12"), Err(FreezeError::TooManyLayers { .. })));
        let error = plan("pattern:layers").unwrap_err();
        assert!(matches!(&error, FreezeError::NoMatch { pattern, .. } if pattern == "layers"), "{error}");
    }

    #[test]
    fn norms_and_biases_train_with_the_head() {
        assert_eq!(trained("norms+head", &[]), ["embedding_norm.bias", "head.output.weight"]);
        assert_eq!(trained("biases+head", &[]), ["embedding_norm.bias", "head.output.weight"]);
        assert_eq!(
            trained("layers:1-2", &[]),
            ["layers.1.ffn.inner.weight", "layers.2.ffn.inner.weight", "head.output.weight"]
        );
    }

    fn begin(plan: &FreezePlan) -> Vec<(&str, usize)> {
        plan.rows.iter().filter_map(|row| Some((row.path.as_str(), row.unfreezes?))).collect()
    }

    #[test]
    fn gradual_goes_down_from_the_head() {
        for (name, span, total_steps) in
            [("gradual", 10, 140), ("gradual:7", 7, 140), ("gradual:2epoch", 60, 900)]
        {
            let run = RunLength { total_steps, steps_per_epoch: 30 };
            let plan = FreezePlan::new(&name.parse().unwrap(), &twelve_layers(), &[]).unwrap().over(run);
            let steps: std::collections::HashMap<_, _> = begin(&plan).into_iter().collect();
            assert_eq!(steps["head.output.weight"], 0);
            assert_eq!(steps["pooler.weight"], 0);
            assert_eq!(steps["layers.11.ffn.inner.weight"], span);
            assert_eq!(steps["layers.0.ffn.inner.weight"], 12 * span);
            assert_eq!(steps["embedding_norm.bias"], 13 * span);
            assert!(plan.unfreezes_at(span) && !plan.unfreezes_at(span + 1) && !plan.unfreezes_at(0));
            assert_eq!(plan.trainable_in(2 * span), 8);
        }
    }

    #[test]
    fn what_would_begin_after_the_last_step_is_frozen_and_said() {
        let run = RunLength { total_steps: 31, steps_per_epoch: 31 };
        let gradual = "gradual:10".parse().unwrap();
        let plan = FreezePlan::new(&gradual, &twelve_layers(), &[]).unwrap().over(run);
        // Head and pooler, then three layers, at steps 10, 20 and 30.
        assert_eq!(plan.trainable(), 2 * 5);
        assert_eq!(plan.trainable_in(30), plan.trainable());
        let late = plan.late().unwrap();
        assert_eq!(late, Late { parameters: 2 * 11, first_step: 40, total_steps: 31 });
        let frozen = plan.rows.iter().filter(|row| row.group == "frozen" && row.unfreezes.is_none());
        assert_eq!(frozen.count(), 11);
        let long = RunLength { total_steps: 131, ..run };
        assert_eq!(FreezePlan::new(&gradual, &twelve_layers(), &[]).unwrap().over(long).late(), None);
    }

    #[test]
    fn a_run_shorter_than_the_groups_still_unfreezes() {
        let run = RunLength { total_steps: 3, steps_per_epoch: 3 };
        let plan = FreezePlan::new(&"gradual".parse().unwrap(), &twelve_layers(), &[]).unwrap().over(run);
        assert!(plan.unfreezes_at(1));
    }

    #[test]
    fn rates_fall_from_the_head_down() {
        let plan = FreezePlan::new(&"all".parse().unwrap(), &twelve_layers(), &[]).unwrap();
        let plan = plan.with_layer_decay(0.5).unwrap();
        let rate = |path: &str| plan.rows.iter().find(|row| row.path == path).unwrap().rate;
        assert_eq!(rate("head.output.weight"), 1.0);
        assert_eq!(rate("pooler.weight"), 1.0);
        assert_eq!(rate("layers.11.ffn.inner.weight"), 0.5);
        assert_eq!(rate("layers.0.ffn.inner.weight"), 0.5_f64.powi(12));
        assert_eq!(rate("token_embedding.weight"), 0.5_f64.powi(13));
        for wrong in [0.0, -1.0, 1.5, f64::NAN] {
            let plan = FreezePlan::new(&"all".parse().unwrap(), &twelve_layers(), &[]).unwrap();
            assert!(plan.with_layer_decay(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn groups_of_a_file_say_rate_and_step() {
        let groups = r#"{"group": [{"pattern": "layers\\.11\\..*", "rate": 0.5, "from_step": 4}, {"pattern": "head\\..*|layers\\..*"}]}"#;
        let plan = FreezePlan::new(&groups.parse().unwrap(), &twelve_layers(), &[]).unwrap();
        let row = |path: &str| plan.rows.iter().find(|row| row.path == path).unwrap();
        let upper = row("layers.11.ffn.inner.weight");
        assert_eq!((upper.rate, upper.unfreezes), (0.5, Some(4)));
        assert_eq!(row("layers.1.ffn.inner.weight").unfreezes, Some(0));
        assert_eq!(row("pooler.weight").unfreezes, None);
    }

    #[test]
    fn decay_leaves_out_biases_and_norms() {
        for (path, expected) in [
            ("layers.0.ffn.inner.weight", true),
            ("layers.0.ffn.inner.bias", false),
            ("layers.0.attention_norm.weight", false),
            ("token_embedding.weight", true),
        ] {
            assert_eq!(decays(path), expected, "{path}");
        }
    }
}
