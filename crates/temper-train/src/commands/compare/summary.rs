//! The runs of a grid side by side.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::grid::Grid;
use super::outcome::{FinishedRun, GridResults};
use super::strategies::NamedStrategy;
use super::table::{self, TextTable};
use crate::TrainError;
use crate::commands::finetune::measure::duration;

use crate::tasks::Baseline;
use temper_metrics::{Sample, paired_t_test, range, sign_test};

/// compare.json.
#[derive(Clone, Debug, Serialize)]
pub struct StrategyComparison {
    /// Id of the model that was fine-tuned.
    pub model: String,
    /// The requested model, if the model is only its stand-in.
    pub model_stand_in_for: Option<String>,
    /// The metric that is compared.
    pub metric: String,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// The strategy with the highest mean on the test split.
    pub best: String,
    /// One row for each strategy, in the order given.
    pub strategies: Vec<StrategyRow>,
    /// The baselines.
    pub baselines: Vec<BaselineRow>,
    /// Sum of the training times of all runs, in seconds.
    pub training_seconds: f64,
    /// The dataset as the runs saw it.
    pub data: Value,
}

/// A strategy under all its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct StrategyRow {
    /// The strategy.
    pub strategy: String,
    /// Parameters that trained, in elements.
    pub trainable_parameters: usize,
    /// All parameters, in elements.
    pub total_parameters: usize,
    /// The metric on the test split, one value for each seed.
    pub test: Sample,
    /// The best score on the validation split, one value for each seed.
    pub validation: Option<Sample>,
    /// Difference from the best strategy; none for the best itself.
    pub difference: Option<ScoreDifference>,
    /// Wall time in training steps.
    pub training_seconds: Sample,
    /// Trained tokens a second.
    pub tokens_per_second: f64,
    /// The largest peak memory of its runs, each in its own process.
    pub peak_memory_bytes: Option<u64>,
    /// Share of examples whose lower layers came from the trunk cache; none without a cache.
    pub trunk_cache_hit_rate: Option<f64>,
    /// Names of the run folders.
    pub runs: Vec<String>,
}

/// A baseline beside the strategies.
#[derive(Clone, Debug, Serialize)]
pub struct BaselineRow {
    /// Its name.
    pub name: String,
    /// All metrics on the test split.
    #[serde(with = "crate::tasks::metrics_by_name")]
    pub metrics: Vec<(String, f64)>,
    /// 95 % interval of the first metric over the test examples.
    pub interval: Option<[f64; 2]>,
    /// Difference from the best strategy.
    pub difference: ScoreDifference,
    /// Wall time of training in seconds.
    pub training_seconds: f64,
}

/// The difference of the metric from the best strategy's, with tests of its significance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreDifference {
    /// The mean over the seeds that both have; negative is worse than the best.
    pub mean: f64,
    /// p of the paired t-test over those seeds; none for fewer than two.
    pub seeds_p: Option<f64>,
    /// p of the exact sign test over the test examples: an example counts for the strategy that scores higher on it,
    /// summed over all seeds. If each example is right or wrong and there is one seed, this is McNemar's test.
    pub examples_p: Option<f64>,
}

/// The score under one seed, and the scores of the examples that it is made of.
#[derive(Clone, Copy)]
struct Scored<'a> {
    score: f64,
    examples: Option<&'a [f64]>,
}

type BySeed<'a> = BTreeMap<u64, Scored<'a>>;

impl StrategyComparison {
    /// Puts the runs of a grid side by side.
    ///
    /// # Errors
    /// [`TrainError::GridRunFailed`] if no run finished.
    pub(super) fn new(
        grid: &Grid,
        outcomes: &GridResults,
        baselines: &[Baseline],
    ) -> Result<Self, TrainError> {
        let Some(first) = outcomes.done.first() else {
            // A grid has at least one run. If there is no result, all of them failed.
            let failed = outcomes.failures.first().map(super::FailedRun::error);
            return Err(failed.unwrap_or_else(|| TrainError::Usage("there is nothing to compare".into())));
        };
        let of = |strategy: &NamedStrategy| {
            outcomes.done.iter().filter(|outcome| outcome.strategy == strategy.name).collect::<Vec<_>>()
        };
        let groups: Vec<Vec<&FinishedRun>> =
            grid.strategies().iter().map(of).filter(|group| !group.is_empty()).collect();
        let mut rows: Vec<StrategyRow> = groups.iter().filter_map(|group| row(group)).collect();
        // Of equal means, the first.
        let sign = if first.results.lower_is_better() { -1.0 } else { 1.0 };
        let value = |row: usize| sign * rows[row].test.mean;
        let better = |best: usize, next: usize| if value(next) > value(best) { next } else { best };
        let best = (0..rows.len()).reduce(better).unwrap_or(0);
        let of_best = by_seed(&groups[best]);
        for (number, (row, group)) in rows.iter_mut().zip(&groups).enumerate() {
            row.difference = (number != best).then(|| difference(&by_seed(group), &of_best));
        }
        let baselines = baselines.iter().map(|baseline| BaselineRow {
            name: baseline.name.clone(),
            metrics: baseline.metrics.clone(),
            interval: baseline.interval,
            difference: difference(&repeated(baseline, &of_best), &of_best),
            training_seconds: baseline.training_seconds,
        });
        Ok(Self {
            model: first.results.model.clone(),
            model_stand_in_for: first.results.model_stand_in_for.clone(),
            metric: first.results.metric().into(),
            seeds: grid.seeds().to_vec(),
            best: rows[best].strategy.clone(),
            baselines: baselines.collect(),
            training_seconds: outcomes.done.iter().map(|outcome| outcome.results.training_seconds).sum(),
            data: first.results.data.clone(),
            strategies: rows,
        })
    }

    /// Model and dataset.
    pub(super) fn title(&self) -> String {
        let dataset = self.data.get("dataset").and_then(Value::as_str).unwrap_or("a dataset");
        match &self.model_stand_in_for {
            Some(wanted) => format!("{} (standing in for {wanted}) on {dataset}", self.model),
            None => format!("{} on {dataset}", self.model),
        }
    }

    /// Strategies and baselines, a row each.
    pub(super) fn table(&self) -> TextTable {
        let header = [
            "strategy",
            "trained parameters",
            self.metric.as_str(),
            "from best strategy",
            "p (seeds)",
            "p (examples)",
            "training s",
            "tokens/s",
            "peak memory",
            "cache hits",
        ];
        let mut table = TextTable::new(&header);
        for row in &self.strategies {
            let mut cells =
                vec![row.strategy.clone(), row.trainable_parameters.to_string(), table::mean(&row.test)];
            cells.extend(difference_cells(row.difference.as_ref()));
            cells.push(format!("{:.1}", row.training_seconds.mean));
            cells.push(format!("{:.0}", row.tokens_per_second));
            cells.push(table::or_dash(row.peak_memory_bytes, |bytes| format!("{} MiB", bytes >> 20)));
            cells.push(table::or_dash(row.trunk_cache_hit_rate, |rate| format!("{:.1} %", 100.0 * rate)));
            table.push(cells);
        }
        for row in &self.baselines {
            let score = row.metrics.first().map_or(0.0, |&(_, value)| value);
            let mut cells = vec![row.name.clone(), table::DASH.into(), format!("{score:.4}")];
            cells.extend(difference_cells(Some(&row.difference)));
            cells.push(format!("{:.1}", row.training_seconds));
            cells.extend([table::DASH; 3].map(String::from));
            table.push(cells);
        }
        table
    }

    /// How to read the table.
    pub(super) fn notes(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let few = match seeds.len() {
            1 => " One seed has no interval: give --seeds 3 or more.",
            2 => {
                " Two seeds say little about the spread, so their intervals are wide: give --seeds 3 or more."
            }
            _ => "",
        };
        format!(
            "{} on the test split, mean over seeds {} with its 95 % interval (Student's t).{few} The best is {}; \
             differences from it are paired: p (seeds) by a t-test over the seeds, p (examples) by a sign test over \
             the test examples. No p is corrected for the number of comparisons, nor for the choice of the best. \
             Time and memory are those of a run in a process of its own; all runs trained for {} together.",
            self.metric,
            seeds.join(", "),
            self.best,
            duration(self.training_seconds)
        )
    }
}

fn difference_cells(difference: Option<&ScoreDifference>) -> [String; 3] {
    let Some(difference) = difference else { return ["best".into(), table::DASH.into(), table::DASH.into()] };
    let p =
        |value| table::or_dash(value, |p: f64| if p < 0.0001 { "<0.0001".into() } else { format!("{p:.4}") });
    [format!("{:+.4}", difference.mean), p(difference.seeds_p), p(difference.examples_p)]
}

/// None for a group without runs.
fn row(group: &[&FinishedRun]) -> Option<StrategyRow> {
    let first = group.first()?;
    let sample =
        |value: fn(&FinishedRun) -> f64| Sample::of(group.iter().map(|outcome| value(outcome)).collect());
    let validation: Option<Vec<f64>> =
        group.iter().map(|outcome| outcome.results.best_validation.map(|(score, _)| score)).collect();
    let hit_rates: Option<Vec<f64>> = group.iter().map(|outcome| outcome.results.hit_rate()).collect();
    Some(StrategyRow {
        strategy: first.strategy.clone(),
        trainable_parameters: first.results.trainable_parameters,
        total_parameters: first.results.total_parameters,
        test: sample(|outcome| outcome.results.score())?.within(range(first.results.metric())),
        validation: validation
            .and_then(Sample::of)
            .map(|sample| sample.within(range(first.results.metric()))),
        difference: None,
        training_seconds: sample(|outcome| outcome.results.training_seconds)?,
        tokens_per_second: sample(|outcome| outcome.results.tokens_per_second)?.mean,
        peak_memory_bytes: group.iter().filter_map(|outcome| outcome.results.peak_memory_bytes).max(),
        trunk_cache_hit_rate: hit_rates.and_then(Sample::of).map(|rates| rates.mean),
        runs: group.iter().map(|outcome| outcome.name.clone()).collect(),
    })
}

fn by_seed<'a>(group: &[&'a FinishedRun]) -> BySeed<'a> {
    let scored = |outcome: &&'a FinishedRun| {
        (outcome.seed, Scored { score: outcome.results.score(), examples: outcome.scores.as_deref() })
    };
    group.iter().map(scored).collect()
}

/// A baseline does not depend on the seed: it is compared under each of them.
fn repeated<'a>(baseline: &'a Baseline, seeds: &BySeed<'_>) -> BySeed<'a> {
    let scored = Scored { score: baseline.headline(), examples: Some(&baseline.scores) };
    seeds.keys().map(|&seed| (seed, scored)).collect()
}

fn difference(ours: &BySeed<'_>, best: &BySeed<'_>) -> ScoreDifference {
    let pairs: Vec<(Scored<'_>, Scored<'_>)> =
        ours.iter().filter_map(|(seed, &ours)| Some((ours, *best.get(seed)?))).collect();
    let differences: Vec<f64> = pairs.iter().map(|(ours, best)| ours.score - best.score).collect();
    ScoreDifference {
        mean: differences.iter().sum::<f64>() / differences.len().max(1) as f64,
        seeds_p: paired_t_test(&differences),
        examples_p: examples_p(&pairs),
    }
}

fn examples_p(pairs: &[(Scored<'_>, Scored<'_>)]) -> Option<f64> {
    let known: Vec<(&[f64], &[f64])> =
        pairs.iter().map(|(ours, best)| Some((ours.examples?, best.examples?))).collect::<Option<_>>()?;
    let examples = known.first()?.0.len();
    let mut balance = vec![0.0; examples];
    for (ours, best) in known {
        if ours.len() != examples || best.len() != examples {
            return None;
        }
        for (balance, (ours, best)) in balance.iter_mut().zip(ours.iter().zip(best)) {
            *balance += ours - best;
        }
    }
    let wins = balance.iter().filter(|&&balance| balance > 0.0).count();
    let losses = balance.iter().filter(|&&balance| balance < 0.0).count();
    Some(sign_test(wins, losses))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUE: &[f64] = &[1.0; 8];
    const MIXED: &[f64] = &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];

    fn scored(values: &[(u64, f64, &'static [f64])]) -> BySeed<'static> {
        let one = |&(seed, score, right): &(u64, f64, &'static [f64])| {
            (seed, Scored { score, examples: Some(right) })
        };
        values.iter().map(one).collect()
    }

    #[test]
    fn only_common_seeds_are_paired() {
        let ours = scored(&[(1, 0.5, MIXED), (2, 0.7, MIXED), (9, 0.0, MIXED)]);
        let best = scored(&[(1, 0.8, TRUE), (2, 0.8, TRUE), (3, 1.0, TRUE)]);
        let found = difference(&ours, &best);
        assert!((found.mean + 0.2).abs() < 1e-12);
        assert!(found.seeds_p.unwrap() > 0.05);
        // Six losses and no win, counted once although there are two seeds: 2 / 2^6.
        assert!((found.examples_p.unwrap() - 0.031_25).abs() < 1e-12);
    }

    #[test]
    fn an_example_that_goes_either_way_counts_for_neither() {
        let ours = scored(&[(1, 0.5, MIXED), (2, 1.0, TRUE)]);
        let best = scored(&[(1, 1.0, TRUE), (2, 0.5, MIXED)]);
        let found = difference(&ours, &best);
        assert_eq!(found.examples_p, Some(1.0));
    }

    #[test]
    fn unknown_examples_are_not_tested() {
        let mut ours = scored(&[(1, 0.5, MIXED)]);
        let best = scored(&[(1, 1.0, TRUE)]);
        ours.insert(1, Scored { score: 0.5, examples: None });
        assert_eq!(difference(&ours, &best).examples_p, None);
        assert_eq!(difference(&ours, &best).seeds_p, None);
        assert_eq!(difference(&scored(&[(1, 0.5, &MIXED[..4])]), &best).examples_p, None);
    }
}
