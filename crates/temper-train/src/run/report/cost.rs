//! What the run took, beside what was estimated at its start.

use super::html::{bytes, duration, table};
use crate::Results;

/// Time and memory, estimated and measured.
pub(super) fn cost(results: &Results) -> String {
    let estimate = results.predicted.as_ref();
    let time = |value: Option<f64>| value.map_or("\u{2013}".into(), duration);
    let size = |value: Option<u64>| value.map_or("\u{2013}".into(), bytes);
    let mut rows = vec![
        vec![
            "training".to_owned(),
            time(estimate.map(|estimate| estimate.training_seconds)),
            time(Some(results.training_seconds)),
        ],
        vec![
            "evaluations, the test included".to_owned(),
            time(estimate.map(|estimate| estimate.evaluation_seconds)),
            format!("{} (test alone)", time(Some(results.test_seconds))),
        ],
        vec![
            "peak memory of the process".to_owned(),
            size(estimate.and_then(|estimate| estimate.peak_memory_bytes)),
            size(results.peak_memory_bytes),
        ],
    ];
    if results.device_memory_bytes.is_some() {
        rows.push(vec![
            "memory of the GPU".to_owned(),
            size(estimate.and_then(|estimate| estimate.device_memory_bytes)),
            size(results.device_memory_bytes),
        ]);
    }
    let note = match estimate {
        Some(_) => "Estimated from one step that was measured before training.",
        None => "There is no estimate of this run.",
    };
    format!("<p>{note}</p>{}", table(&["", "estimated", "measured"], &rows))
}
