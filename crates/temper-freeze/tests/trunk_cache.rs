//! States of examples come back as they were put, from memory and from a file; room, depth, comparison.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use temper_freeze::{FreezeError, TrunkCache, TrunkLayout, TrunkLimits, TrunkPlace};
use temper_kernels::Sequences;
use temper_models::layers::Encoded;
use temper_models::{Precision, TrunkRows, TrunkState};

const WIDTH: usize = 3;

fn limits(memory_bytes: u64, file_bytes: u64, dir: &Path) -> TrunkLimits {
    TrunkLimits { memory_bytes, file_bytes, dir: dir.into() }
}

fn layout(rows: &[(usize, usize)]) -> TrunkLayout {
    let rows = rows.iter().map(|&(hidden, encoded)| TrunkRows { hidden, encoded }).collect();
    TrunkLayout { depth: 2, width: WIDTH, rows, precision: Precision::F32 }
}

fn tensor(values: Vec<f32>) -> Tensor<2> {
    let rows = values.len() / WIDTH;
    Tensor::from_data(TensorData::new(values, [rows, WIDTH]), &Device::flex())
}

/// A number that only this place of this example has.
fn values(example: usize, rows: usize, part: usize) -> Vec<f32> {
    (0..rows * WIDTH).map(|place| (1000 * example + 100 * part + place) as f32 + 0.25).collect()
}

/// The state of a batch of examples.
fn state(layout: &TrunkLayout, examples: &[usize]) -> TrunkState {
    let of = |part: usize, rows: fn(TrunkRows) -> usize| -> Vec<f32> {
        examples.iter().flat_map(|&example| values(example, rows(layout.rows[example]), part)).collect()
    };
    let lengths: Vec<usize> = examples.iter().map(|&example| layout.rows[example].encoded).collect();
    let encoded = of(1, |rows| rows.encoded);
    let encoded =
        (!encoded.is_empty()).then(|| Encoded::new(tensor(encoded), Sequences::of_lengths(&lengths)));
    TrunkState { depth: layout.depth, hidden: tensor(of(0, |rows| rows.hidden)), encoded }
}

fn host(tensor: &Tensor<2>) -> (Vec<usize>, Vec<f32>) {
    (tensor.dims().to_vec(), tensor.clone().into_data().iter::<f32>().collect())
}

fn assert_same(found: &TrunkState, expected: &TrunkState) {
    assert_eq!(found.depth, expected.depth);
    assert_eq!(host(&found.hidden), host(&expected.hidden));
    assert_eq!(found.encoded.is_some(), expected.encoded.is_some());
    if let Some((found, expected)) = found.encoded.as_ref().zip(expected.encoded.as_ref()) {
        assert_eq!(host(&found.hidden), host(&expected.hidden));
        assert_eq!(found.sequences, expected.sequences);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batch_of_kept_examples_comes_back(
        rows in prop::collection::vec((1_usize..5, 0_usize..4), 1..12),
        batches in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<prop::sample::Index>(), 1..6)), 1..30),
        in_file in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&rows);
        let memory = if in_file { 0 } else { u64::MAX };
        let mut cache = TrunkCache::new(layout.clone(), &limits(memory, u64::MAX, dir.path()));
        prop_assert_eq!(cache.place(), if in_file { TrunkPlace::File } else { TrunkPlace::Memory });
        let mut kept = vec![false; rows.len()];
        for (puts, indices) in batches {
            let examples: Vec<usize> = indices.iter().map(|index| index.index(rows.len())).collect();
            let expected = state(&layout, &examples);
            if puts {
                cache.put(&examples, &expected);
                examples.iter().for_each(|&example| kept[example] = true);
            }
            let found = cache.get(&examples, &Device::flex());
            prop_assert_eq!(found.is_some(), examples.iter().all(|&example| kept[example]));
            if let Some(found) = found {
                assert_same(&found, &expected);
            }
        }
    }
}

#[test]
fn the_first_place_with_enough_room_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    // 5 + 2 rows of 3 numbers of 4 bytes.
    let layout = layout(&[(3, 0), (2, 2)]);
    let cache = |memory, file| TrunkCache::new(layout.clone(), &limits(memory, file, dir.path()));
    assert_eq!(cache(0, 0).bytes(), 84);
    assert_eq!(cache(84, 0).place(), TrunkPlace::Memory);
    assert_eq!(cache(83, 84).place(), TrunkPlace::File);
    let mut off = cache(83, 83);
    assert_eq!(off.place(), TrunkPlace::Off);
    assert!(off.why_off().unwrap().contains("84 bytes fit neither 83"), "{:?}", off.why_off());
    off.put(&[0], &state(&layout, &[0]));
    assert!(off.get(&[0], &Device::flex()).is_none());
    let nowhere = TrunkCache::new(layout.clone(), &limits(0, 84, &dir.path().join("missing")));
    assert_eq!(nowhere.place(), TrunkPlace::Off);
    assert!(nowhere.why_off().unwrap().contains("missing"));
}

#[test]
fn the_file_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&[(3, 0)]);
    let mut cache = TrunkCache::new(layout.clone(), &limits(0, 1000, dir.path()));
    cache.put(&[0], &state(&layout, &[0]));
    drop(cache);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn states_are_computed_once_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&[(2, 0), (1, 0), (4, 0)]);
    let mut cache = TrunkCache::new(layout.clone(), &limits(1000, 0, dir.path()));
    let mut computed = 0;
    for examples in [[0, 1], [2, 0], [1, 2], [0, 1], [2, 1], [0, 2]] {
        let compute = || {
            computed += 1;
            state(&layout, &examples)
        };
        let found = cache.state(&examples, &Device::flex(), compute).unwrap();
        assert_same(&found, &state(&layout, &examples));
    }
    // Two batches to fill it; three of the four that were there are compared.
    assert_eq!(computed, 5);
    let statistics = cache.statistics().clone();
    assert_eq!((statistics.hits, statistics.misses, statistics.checked), (8, 4, 3));
    assert!((statistics.hit_rate() - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(statistics.largest_difference, 0.0);

    // Another depth begins empty; what was counted stays.
    let shallower = TrunkLayout { depth: 1, ..layout.clone() };
    let mut cache = cache.replanned(shallower.clone(), &limits(1000, 0, dir.path()));
    assert_eq!(cache.depth(), 1);
    assert!(cache.get(&[0], &Device::flex()).is_none());
    cache.state(&[0], &Device::flex(), || state(&shallower, &[0])).unwrap();
    assert_eq!((cache.statistics().hits, cache.statistics().misses), (8, 5));
}

#[test]
fn a_kept_state_that_is_no_longer_true_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&[(2, 1), (1, 1)]);
    for (part, change, fails) in
        [(0, 1.0, true), (1, 1.0, true), (0, f32::NAN, true), (0, 1e-4, false), (1, 0.0, false)]
    {
        let mut cache = TrunkCache::new(layout.clone(), &limits(1000, 0, dir.path()));
        let mut altered = state(&layout, &[0, 1]);
        let altered_part = match part {
            0 => &mut altered.hidden,
            _ => &mut altered.encoded.as_mut().unwrap().hidden,
        };
        *altered_part = altered_part.clone() + change;
        cache.put(&[0, 1], &altered);
        let found = cache.state(&[1], &Device::flex(), || state(&layout, &[1]));
        match found {
            Err(FreezeError::StaleTrunk { depth, difference, .. }) => {
                assert!(fails && depth == 2 && difference > 1e-5, "{part} {change}: {difference}");
            }
            other => assert!(!fails && other.is_ok(), "{part} {change}"),
        }
    }
}
