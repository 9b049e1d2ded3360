//! What must hold for every plan, whatever the lengths and settings.

use proptest::prelude::*;
use temper_data::{BatchSettings, Step, plan_epoch, plan_evaluation};

fn lengths() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1u32..600, 0..300)
}

fn settings() -> impl Strategy<Value = BatchSettings> {
    (1usize..40, 1usize..5000, 1usize..9, any::<bool>()).prop_map(
        |(examples_per_step, tokens_per_batch, min_micro_batches, shuffle)| BatchSettings {
            examples_per_step,
            tokens_per_batch,
            min_micro_batches,
            shuffle,
        },
    )
}

fn sorted(batches: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    let mut examples: Vec<usize> = batches.flatten().collect();
    examples.sort_unstable();
    examples
}

fn tokens(batch: &[usize], lengths: &[u32]) -> usize {
    batch.iter().map(|example| lengths[*example] as usize).sum()
}

fn within_budget(batch: &[usize], lengths: &[u32], budget: usize) -> bool {
    batch.len() == 1 || tokens(batch, lengths) <= budget
}

/// The example that opens a batch would have exceeded the budget of the batch before.
fn cut_only_where_needed(batches: &[Vec<usize>], lengths: &[u32], budget: usize) -> bool {
    batches.windows(2).all(|pair| tokens(&pair[0], lengths) + tokens(&pair[1][..1], lengths) > budget)
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
    fn micro_batches_are_as_long_as_the_budget_allows(
        lengths in lengths(), settings in settings(), seed: u64,
    ) {
        let (budget, multiple) = (settings.tokens_per_batch, settings.min_micro_batches);
        let as_few = BatchSettings { min_micro_batches: 1, ..settings };
        let few = plan_epoch(&lengths, &as_few, seed, 0);
        for (step, few) in plan_epoch(&lengths, &settings, seed, 0).iter().zip(&few) {
            for batch in &step.batches {
                prop_assert!(!batch.is_empty());
                prop_assert!(within_budget(batch, &lengths, budget));
            }
            prop_assert!(cut_only_where_needed(&few.batches, &lengths, budget));
            let count = few.batches.len().next_multiple_of(multiple).min(step.examples());
            prop_assert_eq!(step.batches.len(), count);
            prop_assert_eq!(step.batches.concat(), few.batches.concat());
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_alone(
        lengths in lengths(), settings in settings(), seed: u64, epoch: u64,
    ) {
        let order = |lengths: &[u32], settings: &BatchSettings| -> Vec<usize> {
            batches(&plan_epoch(lengths, settings, seed, epoch)).flatten().collect()
        };
        let other = BatchSettings { shuffle: settings.shuffle, ..BatchSettings::default() };
        prop_assert_eq!(order(&lengths, &settings), order(&vec![1; lengths.len()], &other));
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
        prop_assert!(plan.iter().all(|batch| within_budget(batch, &lengths, budget)));
        prop_assert!(cut_only_where_needed(&plan, &lengths, budget));
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
