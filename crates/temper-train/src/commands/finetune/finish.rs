//! The end of a run: test scores, the model for transformers, results and report.

use serde_json::{Map, Value};
use temper_data::{EncodeSettings, TextTokenizer, Truncation};
use temper_files::publish;
use temper_freeze::lora::{PeftRequest, merge};
use temper_freeze::{FreezePlan, ParameterSample, PartMovement, plan_figure};
use temper_models::{Model, ModelConfig};

use crate::device::backend::Backend;
use crate::device::memory;
use crate::ranks::Ranks;
use crate::run::model_card::{CardInput, model_card};
use crate::run::record::RunRequest;
use crate::run::report::{ReportInput, WorstError, write_report};
use crate::run::{Estimate, ProofReport};
use crate::tasks::{Encoder, Output, Scores, Splits};
use crate::training::{
    Checkpoints, Evaluation, EvaluationLoader, OcclusionLimits, Piece, Progress, TaskModel, Trained,
    TrunkReports, compare_parameters, evaluate, occlusion, predict,
};
use crate::{
    LocalModel, RecordedEncoding, Results, RunFolder, Settings, Split, TrainError, model::adapters,
    model::padding,
};

/// The largest difference of logits that saving and loading again may make.
const RELOAD_TOLERANCE: f64 = 1e-5;
/// Errors that the report shows.
const WORST: usize = 10;
/// Tokens that finding the words that matter in them may always compute, a second or two on a CPU.
const OCCLUSION_TOKENS: usize = 10_000;

/// The end of a run: test scores, the model's folder, results and report.
pub(super) struct Finish<'a> {
    pub(super) run: &'a RunFolder,
    pub(super) request: &'a RunRequest,
    pub(super) local: &'a LocalModel,
    /// As it was read when the run began.
    pub(super) tokenizer: &'a TextTokenizer,
    pub(super) splits: &'a Splits,
    pub(super) progress: Progress,
    /// The parameters before the first step.
    pub(super) start: ParameterSample,
    /// The processes that share evaluations; this one is the first.
    pub(super) ranks: &'a Ranks,
}

/// A model of the run, as it is evaluated.
pub(super) fn load(
    request: &RunRequest,
    splits: &Splits,
    dir: &std::path::Path,
) -> Result<(TaskModel, ModelConfig), TrainError> {
    let backend: Backend = request.backend.parse().map_err(TrainError::Usage)?;
    let loaded = adapters::load(dir, &request.settings, &backend.device()?)?;
    let model = loaded.model.with_precision(request.settings.precision.named());
    Ok((TaskModel::new(model, splits.task.clone()), loaded.config))
}

/// The batches of a split at the end of a run.
pub(super) fn loader(request: &RunRequest, splits: &Splits, split: Split) -> EvaluationLoader {
    EvaluationLoader::new(splits.features(split).clone(), request.settings.tokens_per_batch())
}

impl Finish<'_> {
    /// Takes the best checkpoint, scores it on the test split, and writes everything; results.json last, since a run
    /// with it is finished.
    pub(super) fn write(
        &self,
        plan: &FreezePlan,
        trained: &Trained,
        checkpoints: &Checkpoints,
    ) -> Result<Results, TrainError> {
        let (best, config) = self.load(&checkpoints.best_dir())?;
        compare_parameters(self.ranks, &best.model, "the best model")?;
        // As `evaluate` and `predict` will use it, so that the scores are theirs.
        let used = TaskModel::new(best.model.clone().packed(), self.splits.task.clone());
        let mut test = self.evaluate(&used, Split::Test)?;
        let tuned = self.tuned(&used)?;
        test.decide_by(&tuned);
        let worst = self.worst(&best, &test, trained)?;
        drop(used);
        let (saved, merge_difference) = self.plain(best, &config, plan)?;
        let movement = self.start.movement(&ParameterSample::of(&saved.model), plan);
        self.save_model(&saved.model, &config, &tuned, &test.scores)?;
        let reload_difference = self.reload(saved)?;
        self.write_predictions(&test)?;
        let mut results = self.results(plan, trained, &test, movement);
        results.reload_difference = reload_difference;
        results.merge_difference = merge_difference;
        results.tuned = tuned;
        self.write_report(&results, &worst, plan)?;
        self.run.write_json(&self.run.results(), &results)?;
        checkpoints.tidy()?;
        self.say(&results);
        Ok(results)
    }

    fn load(&self, dir: &std::path::Path) -> Result<(TaskModel, ModelConfig), TrainError> {
        load(self.request, self.splits, dir)
    }

    fn evaluate(&self, model: &TaskModel, split: Split) -> Result<Evaluation, TrainError> {
        let loader = loader(self.request, self.splits, split).shared_by(self.ranks);
        let evaluated = evaluate(model, &loader, (&self.splits.examples, split), &self.progress, || None)?;
        // Nothing stops it, and this is rank 0.
        evaluated.scored().ok_or_else(|| TrainError::Learner("an evaluation came to no end".into()))
    }

    /// The best thresholds on the validation split, with `--tune-threshold`.
    fn tuned(&self, best: &TaskModel) -> Result<Map<String, Value>, TrainError> {
        if !self.request.settings.tune_threshold {
            return Ok(Map::new());
        }
        let tuned = self.evaluate(best, Split::Validation)?.predictions.tuned();
        if tuned.is_empty() {
            self.progress.line("note: --tune-threshold has nothing to choose for this task and data");
        }
        Ok(tuned)
    }

    fn save_model(
        &self,
        model: &Model,
        config: &ModelConfig,
        tuned: &Map<String, Value>,
        scores: &Scores,
    ) -> Result<(), TrainError> {
        let card = model_card(&CardInput {
            request: self.request,
            base: &self.local.resolved,
            splits: self.splits,
            scores,
            truncation_notice: self.truncation_elsewhere(),
        });
        let tokenizer = padding::named(self.tokenizer.clone(), config);
        publish(&self.run.model(), |dir| {
            model.save(config, dir)?;
            let Settings { max_seq_length, truncation, .. } = self.request.settings;
            tokenizer.save(dir, &EncodeSettings { max_length: max_seq_length, truncation })?;
            let Splits { columns, task, .. } = self.splits;
            let mut record = task.record();
            record.extend(tuned.clone());
            RecordedEncoding::new(&self.request.settings, columns, record).write(dir)?;
            Ok(temper_files::write(&dir.join("README.md"), card.as_bytes())?)
        })
    }

    /// The model as transformers loads it: adapters, where there are some, are written in PEFT's layout and
    /// merged; then also the difference that this makes.
    fn plain(
        &self,
        best: TaskModel,
        config: &ModelConfig,
        plan: &FreezePlan,
    ) -> Result<(TaskModel, Option<f64>), TrainError> {
        if !best.model.has_adapters() {
            return Ok((best, None));
        }
        let base_model = &self.local.resolved.id;
        let trained = adapters::trained_whole(plan);
        let request = PeftRequest { settings: &self.request.settings.lora(), base_model, trained: &trained };
        publish(&self.run.adapter(), |dir| adapters::give(&best.model, config, &request, dir))?;
        let merged = merge(best.model.clone());
        let difference = adapters::compare_merged(&best.model, &merged, config.bounds())?;
        Ok((TaskModel::new(merged, self.splits.task.clone()), Some(difference)))
    }

    /// Loads what was saved and compares predictions on part of the test split. Both models are never held at once.
    fn reload(&self, saved: TaskModel) -> Result<f64, TrainError> {
        const COMPARED: usize = 32;
        let first = self.splits.test.first(COMPARED);
        let loader = EvaluationLoader::new(first, self.request.settings.tokens_per_batch());
        let before = predict(&saved, &loader);
        drop(saved);
        let (reloaded, _) = self.load(&self.run.model())?;
        let again = predict(&reloaded, &loader);
        let difference = Output::difference(&before, &again);
        if difference > RELOAD_TOLERANCE {
            return Err(TrainError::Verification {
                what: "the saved model's logits after loading it again".into(),
                difference,
                tolerance: RELOAD_TOLERANCE,
            });
        }
        Ok(difference)
    }

    fn results(
        &self,
        plan: &FreezePlan,
        trained: &Trained,
        test: &Evaluation,
        movement: Vec<PartMovement>,
    ) -> Results {
        let state = &trained.state;
        Results {
            model: self.local.resolved.id.clone(),
            model_stand_in_for: self.local.resolved.stand_in_for.clone(),
            strategy: self.request.settings.strategy.clone(),
            trainable_parameters: plan.trainable(),
            total_parameters: plan.total(),
            test: test.scores.clone(),
            best_validation: state.best,
            steps: state.step,
            ranks: state.ranks.clone(),
            training_seconds: state.training_seconds,
            test_seconds: test.seconds,
            tokens_per_second: state.tokens as f64 / state.training_seconds.max(1e-9),
            peak_memory_bytes: memory::peak_of_process(),
            device_memory_bytes: trained.device_memory_bytes,
            predicted: self.prediction(),
            proof: ProofReport::new(plan, state.step, state.proofs.clone()),
            movement,
            reload_difference: 0.0,
            merge_difference: None,
            trunk_cache: trained.trunk_cache.clone(),
            tuned: Map::new(),
            data: self.splits.report.clone(),
        }
    }

    /// A line an example of the test split: its text, what is predicted, what that should be, and its score, by which
    /// `temper compare` tests differences.
    fn write_predictions(&self, test: &Evaluation) -> Result<(), TrainError> {
        let mut lines = String::new();
        for (example, score) in test.predictions.example_scores().into_iter().enumerate() {
            let input = self.splits.examples.text(Split::Test, example);
            let mut row = Map::from_iter([
                ("row".to_owned(), (example + 1).into()),
                ("input".to_owned(), input.into()),
                ("score".to_owned(), score.into()),
            ]);
            row.extend(test.predictions.expected(example).map(|expected| ("expected".to_owned(), expected)));
            row.extend(test.predictions.decode(example).fields);
            lines += &(Value::Object(row).to_string() + "\n");
        }
        Ok(temper_files::write(&self.run.predictions(), lines.as_bytes())?)
    }

    /// The estimate when the run began; a run from before there were estimates has none.
    fn prediction(&self) -> Option<Estimate> {
        let text = std::fs::read_to_string(self.run.prediction()).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The worst errors of the test split, with the words that matter where that costs little beside training.
    fn worst(
        &self,
        best: &TaskModel,
        test: &Evaluation,
        trained: &Trained,
    ) -> Result<Vec<WorstError>, TrainError> {
        let worst = test.predictions.worst(WORST);
        let examples = &self.splits.examples;
        let texts: Vec<_> =
            worst.iter().filter_map(|(example, _)| examples.texts(Split::Test, *example)).collect();
        let settings = &self.request.settings;
        let encoder = Encoder {
            tokenizer: self.tokenizer,
            max_length: settings.max_seq_length,
            truncation: settings.truncation,
            stride: 0,
        };
        // A pass without gradients takes a third of a pass of training: this is 3 % of it.
        let limits = OcclusionLimits {
            tokens: OCCLUSION_TOKENS.max(trained.state.tokens / 10),
            tokens_per_batch: settings.tokens_per_batch(),
        };
        let mut explained = occlusion(best, &texts, &encoder, limits)?.into_iter();
        let error = |(example, explanation): (usize, String)| {
            let whole = || Piece { text: examples.text(Split::Test, example), effect: None };
            WorstError { explanation, texts: explained.next().unwrap_or_else(|| vec![vec![whole()]]) }
        };
        Ok(worst.into_iter().map(error).collect())
    }

    fn write_report(
        &self,
        results: &Results,
        worst: &[WorstError],
        plan: &FreezePlan,
    ) -> Result<(), TrainError> {
        let path = self.run.record();
        let record = std::fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
        let record = toml::from_str(&record).map_err(|error| TrainError::content(&path, error))?;
        let settings = &self.request.settings;
        let input = ReportInput {
            title: &format!("{} on {}", last_part(&self.local.resolved.id), last_part(&self.splits.name)),
            results,
            rows: &crate::training::read_journal(&self.run.journal())?,
            metric: settings.best_metric().unwrap_or(results.test.headline_name()),
            figure: &plan_figure(plan, &self.local.resolved.id, &results.strategy),
            worst,
            record: &record,
            lengths: (&self.splits.train.lengths(), settings.max_seq_length),
        };
        write_report(&self.run.report(), &input)
    }

    fn say(&self, results: &Results) {
        let test = &results.test;
        let say = |text: &str| self.progress.line(text);
        if let Some((value, step)) = results.best_validation {
            let metric = self.request.settings.best_metric().unwrap_or(test.headline_name());
            say(&format!(
                "kept: the model after step {step} of {}, whose validation {metric} of {value:.4} is the best",
                results.steps
            ));
        }
        say(&format!("test: {}", test.in_words()));
        let interval = test.interval.map_or(String::new(), |[low, high]| {
            format!("{} is between {low:.4} and {high:.4} (95 %); ", test.headline_name())
        });
        say(&format!("      {interval}{}: {:.4}", test.baseline_name, test.baseline));
        for (name, value) in &results.tuned {
            say(&format!("chosen on validation: {name} {value}"));
        }
        say(&format!("proof: {}", results.proof.statement));
        for (name, cache) in results.trunk_cache.iter().flat_map(TrunkReports::each) {
            say(&format!("trunk cache, {name}: {cache}"));
        }
        say(&format!(
            "saved and loaded again: logits differ by at most {:.1e}; training took {:.0} s at {:.0} tokens/s",
            results.reload_difference, results.training_seconds, results.tokens_per_second
        ));
        if let Some(difference) = results.merge_difference {
            say(&format!(
                "adapters in PEFT's layout: {}; merged into the weights they change the logits by at most {difference:.1e} (relative)",
                self.run.adapter().display()
            ));
        }
        if let Some(predicted) = &results.predicted {
            let memory =
                |bytes: Option<u64>| bytes.map_or("?".into(), |bytes| format!("{} MiB", bytes >> 20));
            say(&format!(
                "estimated: training {:.0} s, peak memory {}; measured: {:.0} s, {}",
                predicted.training_seconds,
                memory(predicted.peak_memory_bytes),
                results.training_seconds,
                memory(results.peak_memory_bytes)
            ));
        }
        if let Some(notice) = self.truncation_elsewhere() {
            say(notice);
        }
        say(&format!("model: {}   report: {}", self.run.model().display(), self.run.report().display()));
    }

    /// How texts are truncated, where transformers has no setting for it.
    fn truncation_elsewhere(&self) -> Option<&'static str> {
        (self.request.settings.truncation == Truncation::HeadTail).then_some(
            "transformers cannot keep both ends of a text: its truncation_side is left, which keeps only the end",
        )
    }
}

/// A name as it is, a path without the folders above it.
fn last_part(name: &str) -> &str {
    let path = std::path::Path::new(name);
    let is_path = path.is_absolute() || name.starts_with('.');
    path.file_name().and_then(|last| last.to_str()).filter(|_| is_path).unwrap_or(name)
}
