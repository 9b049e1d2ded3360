//! Evaluations of the validation split while a run trains, and which model they keep.

use super::evaluation::{Evaluated, evaluate};
use super::journal::{EvaluationRow, JournalRow};
use super::learner::TaskModel;
use super::sharing::{share_selection, stop_of_any};
use super::strategy::{Running, Stepwise};
use crate::TrainError;
use crate::examples::Split;
use crate::signals::Stop;
use crate::tasks::Scores;

impl Stepwise {
    /// Refuses a metric that the task lacks before anything is trained, at the cost of one evaluation.
    pub(super) fn check_metric(&self, model: &TaskModel) -> Result<(), TrainError> {
        let stopped = || stop_of_any(&self.ranks, self.signals);
        let examples = (&self.examples, Split::Validation);
        match evaluate(model, &self.validation, examples, &self.progress, stopped)? {
            Evaluated::Scored(evaluation) => self.selection.value(&evaluation.scores).map(drop),
            Evaluated::OnRank0 | Evaluated::Stopped(_) => Ok(()),
        }
    }

    /// Scores the validation split and keeps the best model. A signal interrupts it: then why.
    pub(super) fn evaluate(&self, model: &TaskModel, run: &mut Running) -> Result<Option<Stop>, TrainError> {
        let averaged =
            run.average.as_ref().map(|average| TaskModel { model: average.model().clone(), ..model.clone() });
        let model = averaged.as_ref().unwrap_or(model);
        let stopped = || stop_of_any(&self.ranks, self.signals);
        let examples = (&self.examples, Split::Validation);
        let evaluated = evaluate(model, &self.validation, examples, &self.progress, stopped)?;
        if let Evaluated::Stopped(stop) = evaluated {
            return Ok(Some(stop));
        }
        self.trunks.check()?;
        run.state.evaluation_due = false;
        if let Evaluated::Scored(evaluation) = evaluated {
            self.judge(model, evaluation.scores, run)?;
        }
        share_selection(&self.ranks, &mut run.state);
        Ok(None)
    }

    /// Keeps the model if its scores are the best so far.
    fn judge(&self, model: &TaskModel, scores: Scores, run: &mut Running) -> Result<(), TrainError> {
        let state = &mut run.state;
        let best = self.selection.judge(&scores, state)?;
        if best {
            self.checkpoints.save_best(&model.model, &self.config, state.step)?;
        }
        let mark = if best { "  (best so far)" } else { "" };
        self.progress.line_above(&run.bar, &format!("validation: {}{mark}", scores.in_words()));
        self.write(JournalRow::Eval(EvaluationRow {
            step: state.step,
            epoch: self.epoch(state.step),
            metrics: scores.metrics,
            best,
        }))
    }
}
