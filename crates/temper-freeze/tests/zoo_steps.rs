//! Three AdamW steps move the parameters of every family and head as PyTorch's do.

#[path = "../../temper-models/tests/common/zoo.rs"]
mod zoo;

use burn::lr_scheduler::LrScheduler;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use temper_freeze::{
    ClipFactor, FreezePlan, GradientSquares, OptimizerSettings, RateSchedule, TrainingProof, layer_count,
};
use temper_models::Mode;
use zoo::{Case, cases, host, parameters_of};

/// The largest difference of a parameter whose gradient is not rounding noise.
fn largest_difference(case: &Case) -> f64 {
    let mut model = case.load(&Device::flex().autodiff());
    let all = "all".parse().expect("a strategy");
    let plan = FreezePlan::new(&all, &model.parameters(), &[]).expect("a plan");
    let clip = ClipFactor::default();
    let mut optimizer = OptimizerSettings::default().init(&plan, &clip);
    let mut schedule = RateSchedule::linear(1e-3, 1, 3);
    let [rates, losses, norms] = ["lrs", "losses", "grad_norm"].map(|name| case.values(name));
    for step in 0..3 {
        let rate = schedule.step();
        assert!((rate - rates[step]).abs() < 1e-12, "{}: rate of step {step}", case.name);
        let loss = case.loss(&model, Mode::train(step as u64));
        let difference = (host(loss.clone())[0] - losses[step]).abs();
        assert!(difference < 1e-5, "{}: loss of step {step}: {difference}", case.name);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let squares = GradientSquares::of(&model, &gradients);
        clip.set(squares.clip_factor(1.0));
        let found = squares.read();
        let difference = (f64::from(found.total) - norms[step]).abs();
        assert!(difference < 1e-4 * norms[step], "{}: norm of step {step}: {difference}", case.name);
        model = optimizer.step(rate, model, gradients);
    }
    let (ours, noise) = (parameters_of(&model), case.noise());
    let mut worst: f64 = 0.0;
    for (path, theirs) in case.parameters("after.") {
        for ((ours, theirs), noise) in ours[&path].iter().zip(&theirs).zip(&noise[&path]) {
            if !theirs.is_nan() && *noise == 0.0 {
                let difference = (ours - theirs).abs();
                assert!(difference < 5e-6, "{}: {path}: {difference}", case.name);
                worst = worst.max(difference);
            }
        }
    }
    worst
}

#[test]
fn three_steps_agree_with_pytorch() {
    for case in cases() {
        println!("{:<45} after three steps {:.1e}", case.name, largest_difference(&case));
    }
}

/// Every strategy whose parameters differ; all models of the zoo have two layers or more, whose weights ALBERT's share.
const STRATEGIES: [&str; 12] = [
    "all",
    "head",
    "last:1",
    "last:2",
    "layers:0-0",
    "embeddings",
    "freeze-embeddings",
    "norms+head",
    "biases+head",
    "gradual",
    "pattern:(encoder\\.)?layers\\.1\\..*",
    r#"{"group":[{"pattern":".*norm\\..*","rate":0.5,"from_step":0}]}"#,
];

#[test]
fn one_step_leaves_frozen_parameters_bit_identical() {
    for case in cases() {
        for strategy in STRATEGIES {
            let model = case.load(&Device::flex().autodiff());
            let names_two = strategy == "last:2" || strategy.contains("layers\\.1");
            if names_two && layer_count(&model.parameters()) == 1 {
                continue;
            }
            let plan = FreezePlan::new(&strategy.parse().expect("a strategy"), &model.parameters(), &[]);
            let plan = plan.unwrap_or_else(|error| panic!("{}: {strategy}: {error}", case.name));
            if plan.trainable_in(0) == 0 {
                // A tied head alone, as of a language model: nothing is left to train.
                assert!(
                    ["head", "norms+head", "biases+head", "gradual"].contains(&strategy),
                    "{}: {strategy}",
                    case.name
                );
                continue;
            }
            let model = plan.apply(model);
            let mut proof = TrainingProof::begin(&model);
            let loss = case.loss(&model, Mode::train(0));
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            let clip = ClipFactor::default();
            proof.observe(&GradientSquares::of(&model, &gradients).read());
            let model = OptimizerSettings::default().init(&plan, &clip).step(1e-3, model, gradients);
            // What has no gradient by its nature (BART's bias of keys) is no matter of freezing.
            let violations = proof.violations(&model, &plan, 1);
            let moved: Vec<_> =
                violations.iter().filter(|violation| violation.what == "is frozen, but changed").collect();
            assert!(moved.is_empty(), "{}: {strategy}: {moved:?}", case.name);
            let still: Vec<_> =
                violations.iter().filter(|violation| violation.what != "is frozen, but changed").collect();
            assert!(still.is_empty(), "{}: {strategy}: {still:?}", case.name);
        }
    }
}
