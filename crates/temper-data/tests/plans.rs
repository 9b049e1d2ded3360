//! What must hold for every plan, whatever the lengths and settings.

use proptest::prelude::*;
use temper_data::{BatchSettings, Padding, Step, plan_epoch, plan_evaluation};

fn lengths() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1u32..600, 0..300)
}

fn settings() -> impl Strategy<Value = BatchSettings> {
    let padding = prop_oneof![Just(Padding::Longest), (1usize..600).prop_map(Padding::MaxLength)];
    (1usize..40, 1usize..5000, 1usize..8, padding, any::<bool>()).prop_map(
        |(examples_per_step, tokens_per_batch, window_steps, padding, shuffle)| BatchSettings {
            examples_per_step,
            tokens_per_batch,
            window_steps,
            padding,
            shuffle,
        },
    )
}

fn sorted(batches: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    let mut examples: Vec<usize> = batches.flatten().collect();
    examples.sort_unstable();
    examples
}

fn within_budget(batch: &[usize], lengths: &[u32], padding: Padding, budget: usize) -> bool {
    let longest = batch.iter().map(|example| lengths[*example] as usize).max();
    batch.len() == 1 || batch.len() * padding.width(longest.unwrap_or(0)) <= budget
}

fn batches(steps: &[Step]) -> impl Iterator<Item = Vec<usize>> + '_ {
    steps.iter().flat_map(|step| step.batches.clone())
}

proptest! {
    #[test]
    fn every_example_appears_exactly_once_an_epoch(
        lengths in lengths(), settings in settings(), seed: u64, epoch: u64,
    ) {
        let steps = plan_epoch(&lengths, &settings, seed, epoch);
        let all: Vec<usize> = (0..lengths.len()).collect();
        prop_assert_eq!(sorted(batches(&steps)), all);
    }

    #[test]
    fn only_the_last_step_is_short(lengths in lengths(), settings in settings(), seed: u64) {
        let steps = plan_epoch(&lengths, &settings, seed, 0);
        let per_step = settings.examples_per_step;
        prop_assert_eq!(steps.len(), lengths.len().div_ceil(per_step));
        if let Some((last, full)) = steps.split_last() {
            prop_assert!(full.iter().all(|step| step.examples() == per_step));
            prop_assert!((1..=per_step).contains(&last.examples()));
        }
    }

    #[test]
    fn the_budget_is_only_exceeded_by_single_rows(
        lengths in lengths(), settings in settings(), seed: u64,
    ) {
        let steps = plan_epoch(&lengths, &settings, seed, 0);
        for batch in batches(&steps) {
            prop_assert!(!batch.is_empty());
            prop_assert!(within_budget(&batch, &lengths, settings.padding, settings.tokens_per_batch));
        }
    }

    #[test]
    fn equal_arguments_give_equal_plans(
        lengths in lengths(), settings in settings(), seed: u64, epoch: u64,
    ) {
        let plan = || plan_epoch(&lengths, &settings, seed, epoch);
        prop_assert_eq!(plan(), plan());
    }

    #[test]
    fn an_evaluation_reads_each_example_once_within_the_budget(
        lengths in lengths(), budget in 1usize..5000,
    ) {
        let plan = plan_evaluation(&lengths, budget);
        for batch in &plan {
            prop_assert!(within_budget(batch, &lengths, Padding::Longest, budget));
        }
        let read: Vec<u32> = plan.iter().flatten().map(|example| lengths[*example]).collect();
        prop_assert!(read.is_sorted_by(|a, b| a >= b));
        let all: Vec<usize> = (0..lengths.len()).collect();
        prop_assert_eq!(sorted(plan.into_iter()), all);
    }
}

#[test]
fn epochs_differ() {
    let lengths: Vec<u32> = (1..200).collect();
    let settings = BatchSettings::default();
    let plans: Vec<_> = (0..4).map(|epoch| plan_epoch(&lengths, &settings, 42, epoch)).collect();
    for (index, plan) in plans.iter().enumerate() {
        assert!(plans[index + 1..].iter().all(|other| other != plan));
    }
}

#[test]
fn sorting_by_length_leaves_little_padding() {
    let lengths: Vec<u32> = (0..3200u32).map(|i| 10 + i * 7919 % 400).collect();
    let percent = |padding| {
        let settings = BatchSettings { padding, ..BatchSettings::default() };
        let steps = plan_epoch(&lengths, &settings, 42, 0);
        temper_data::padding_percent(&steps, &lengths, padding)
    };
    assert!(percent(Padding::Longest) < 2.0);
    assert!(percent(Padding::MaxLength(410)) > 40.0);
}
