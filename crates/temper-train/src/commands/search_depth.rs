//! `temper search-depth`.

use serde::Serialize;

use super::FinetuneArgs;
use super::compare::{Grid, GridResults, NamedStrategy, Shard, TextTable, folder, mean, shared_request};
use super::finetune::Prepared;
use crate::run::record::RunRequest;
use crate::terminal::print;
use crate::training::Progress;
use crate::{RunFolder, TrainError};
use temper_metrics::Sample;

/// Find how few layers have to train for the best validation score
///
/// Trains only the head, then the last layer, the last two and so on to all, each from the same
/// start, and names the smallest depth within a tolerance of the best. Called again, it continues where
/// it stopped. depth.json and depth.md show the outcome.
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("resume", |arg| arg.hide(true)), mut_arg("strategy", |arg| arg.hide(true)))]
#[command(mut_arg("budget", |arg| arg.hide(true)), mut_arg("rank_timeout", |arg| arg.hide(true)))]
#[command(mut_arg("json", |arg| arg.help("Print depth.json on stdout, not the table")))]
#[command(mut_arg("run_name", |arg| arg.help("Name of the folder of all runs")))]
#[command(mut_arg("overwrite_output_dir", |arg| arg.help("Replace a search of the same name")))]
pub struct SearchDepthArgs {
    /// How far below the best validation score is good enough
    #[arg(long, default_value_t = 0.005)]
    pub tolerance: f64,
    /// Numbers of trained layers, such as 0,1,2,6 (0: only the head; every number by default)
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    pub depths: Vec<usize>,
    /// Runs per depth; their seeds are --seed and the numbers after it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: u16,
    /// Train only every N-th run, from run I on (counted from 0): for job arrays, whose jobs share the folder. The job
    /// that trains the last run writes the table; so does the same command without --shard, which trains what is missing
    #[arg(long, value_name = "I/N", conflicts_with = "overwrite_output_dir")]
    pub shard: Option<Shard>,
    /// Options of every run
    #[command(flatten)]
    pub run: FinetuneArgs,
}

/// depth.json.
#[derive(Clone, Debug, Serialize)]
pub struct DepthSearch {
    /// The smallest number of trained layers whose score is good enough.
    pub depth: usize,
    /// The same as a strategy.
    pub strategy: String,
    /// The best mean validation score at any depth.
    pub best: f64,
    /// How far below it is good enough.
    pub tolerance: f64,
    /// One a depth, ascending.
    pub depths: Vec<DepthRow>,
}

/// A number of trained layers and what it leads to.
#[derive(Clone, Debug, Serialize)]
pub struct DepthRow {
    /// Layers that train; 0 is only the head, all layers include the embeddings.
    pub depth: usize,
    /// The same as a strategy.
    pub strategy: String,
    /// Parameters that trained, in elements.
    pub trainable_parameters: usize,
    /// The best validation score, one value for each seed.
    pub validation: Sample,
    /// The metric on the test split, one value for each seed; it does not take part in the choice.
    pub test: Sample,
    /// Wall time in training steps.
    pub training_seconds: Sample,
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::GridInterrupted`] after Ctrl-C.
pub fn search_depth(args: &SearchDepthArgs) -> Result<(), TrainError> {
    if !(args.tolerance.is_finite() && args.tolerance >= 0.0) {
        return Err(TrainError::Usage(format!("--tolerance {} must not be below 0", args.tolerance)));
    }
    let progress = Progress::new(args.run.quiet);
    let request = request(args)?;
    let prepared = Prepared::new(&request, progress)?;
    let layers = prepared.layers()?;
    // The runs need the memory.
    drop(prepared);
    let depths = depths(&args.depths, layers)?;
    let named = depths.iter().map(|&depth| NamedStrategy::read(&strategy(depth, layers)));
    let strategies = named.collect::<Result<_, _>>()?;
    let folder = folder(&args.run, &request, "depth");
    let replace = args.run.overwrite_output_dir;
    let grid = Grid::new(folder, request, strategies, args.seeds, replace, progress)?;
    let lock = match args.shard {
        None => grid.begin()?,
        Some(shard) => match grid.begin_after(shard)? {
            None => return Ok(()),
            Some(lock) => lock,
        },
    };
    let outcomes = grid.run(&lock)?;
    if let Some(failure) = outcomes.failures.first() {
        return Err(failure.error());
    }
    let search = DepthSearch::new(&depths, layers, &outcomes, args.tolerance)?;
    let run = RunFolder::existing(grid.folder());
    run.write_json(&grid.folder().join("depth.json"), &search)?;
    let page = format!("# Depth of training\n\n{}\n{}\n", search.table().markdown(), search.verdict());
    temper_files::write(&grid.folder().join("depth.md"), page.as_bytes())?;
    if args.run.json {
        let text = serde_json::to_string(&search).map_err(|error| TrainError::file("stdout", error))?;
        return print(&(text + "\n"));
    }
    print(&format!("{}\n{}\n", search.table().text(), search.verdict()))
}

/// What all depths have in common. A frozen part gives the same in every epoch only without dropout,
/// and what is always the same is computed once.
fn request(args: &SearchDepthArgs) -> Result<RunRequest, TrainError> {
    let mut request = shared_request(&args.run, "--depths")?;
    if !args.run.settings.given.contains_key("frozen_dropout") {
        request.settings.frozen_dropout = false;
    }
    Ok(request)
}

/// The depths asked for, ascending, or all of them.
fn depths(asked: &[usize], layers: usize) -> Result<Vec<usize>, TrainError> {
    if asked.is_empty() {
        return Ok((0..=layers).collect());
    }
    let mut depths = asked.to_vec();
    depths.sort_unstable();
    depths.dedup();
    match depths.last() {
        Some(&deepest) if deepest > layers => {
            Err(TrainError::Usage(format!("--depths {deepest} is more than the model's {layers} layers")))
        }
        _ => Ok(depths),
    }
}

fn strategy(depth: usize, layers: usize) -> String {
    match depth {
        0 => "head".into(),
        depth if depth == layers => "all".into(),
        depth => format!("last:{depth}"),
    }
}

impl DepthSearch {
    fn new(
        depths: &[usize],
        layers: usize,
        outcomes: &GridResults,
        tolerance: f64,
    ) -> Result<Self, TrainError> {
        let rows: Option<Vec<DepthRow>> =
            depths.iter().map(|&depth| DepthRow::new(depth, strategy(depth, layers), outcomes)).collect();
        let lower_is_better = outcomes.done.iter().any(|outcome| outcome.results.lower_is_better());
        rows.and_then(|rows| Self::choose(rows, tolerance, lower_is_better)).ok_or_else(|| {
            TrainError::Usage(
                "a run has no validation score; remove its folder, and the same command trains it again"
                    .into(),
            )
        })
    }

    /// None without rows.
    fn choose(rows: Vec<DepthRow>, tolerance: f64, lower_is_better: bool) -> Option<Self> {
        let sign = if lower_is_better { -1.0 } else { 1.0 };
        let score = |row: &DepthRow| sign * row.validation.mean;
        let highest = rows.iter().map(score).fold(f64::NEG_INFINITY, f64::max);
        let found = rows.iter().find(|row| score(row) >= highest - tolerance)?;
        let best = sign * highest;
        Some(Self { depth: found.depth, strategy: found.strategy.clone(), best, tolerance, depths: rows })
    }

    fn table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            "strategy",
            "trained layers",
            "trained parameters",
            "validation",
            "test",
            "training s",
        ]);
        for row in &self.depths {
            table.push(vec![
                row.strategy.clone(),
                row.depth.to_string(),
                row.trainable_parameters.to_string(),
                mean(&row.validation),
                mean(&row.test),
                format!("{:.1}", row.training_seconds.mean),
            ]);
        }
        table
    }

    fn verdict(&self) -> String {
        format!(
            "{} is enough (trained layers: {}): its validation score is within {} of the best, {:.4}",
            self.strategy, self.depth, self.tolerance, self.best
        )
    }
}

impl DepthRow {
    fn new(depth: usize, strategy: String, outcomes: &GridResults) -> Option<Self> {
        let runs: Vec<_> = outcomes.done.iter().filter(|outcome| outcome.strategy == strategy).collect();
        let validation: Option<Vec<f64>> =
            runs.iter().map(|run| run.results.best_validation.map(|(score, _)| score)).collect();
        Some(Self {
            depth,
            strategy,
            trainable_parameters: runs.first()?.results.trainable_parameters,
            validation: Sample::of(validation?)?,
            test: Sample::of(runs.iter().map(|run| run.results.score()).collect())?,
            training_seconds: Sample::of(runs.iter().map(|run| run.results.training_seconds).collect())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(scores: &[f64], tolerance: f64, lower_is_better: bool) -> usize {
        let row = |(depth, &score): (usize, &f64)| DepthRow {
            depth,
            strategy: strategy(depth, scores.len() - 1),
            trainable_parameters: 1,
            validation: Sample::of(vec![score]).unwrap(),
            test: Sample::of(vec![0.0]).unwrap(),
            training_seconds: Sample::of(vec![0.0]).unwrap(),
        };
        let rows = scores.iter().enumerate().map(row).collect();
        DepthSearch::choose(rows, tolerance, lower_is_better).unwrap().depth
    }

    #[test]
    fn the_smallest_depth_within_the_tolerance() {
        let scores = [0.5, 0.8, 0.896, 0.9, 0.89];
        assert_eq!(search(&scores, 0.005, false), 2);
        assert_eq!(search(&scores, 0.0, false), 3);
        assert_eq!(search(&scores, 0.2, false), 1);
        assert_eq!(search(&scores, 1.0, false), 0);
        let errors = [0.9, 0.42, 0.4, 0.41];
        assert_eq!(search(&errors, 0.0, true), 2);
        assert_eq!(search(&errors, 0.025, true), 1);
    }

    #[test]
    fn depths_are_strategies() {
        let named = |asked: &[usize]| -> Vec<String> {
            depths(asked, 3).unwrap().into_iter().map(|depth| strategy(depth, 3)).collect()
        };
        assert_eq!(named(&[]), ["head", "last:1", "last:2", "all"]);
        assert_eq!(named(&[3, 0, 3]), ["head", "all"]);
        assert!(depths(&[4], 3).is_err());
    }
}
