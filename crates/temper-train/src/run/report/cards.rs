//! The numbers of a run that are looked for first.

use super::headline::readable;
use super::html::{bytes, count, duration, percent, rough_count, score};
use super::{ReportInput, test_examples};
use crate::Results;
use crate::charts::escape;

struct Card {
    name: String,
    value: String,
    note: String,
}

/// The cards as a list of definitions.
pub(super) fn cards(input: &ReportInput<'_>) -> String {
    let results = input.results;
    let mut cards =
        vec![metric(results), examples(results), parameters(results), time(results), speed(results)];
    cards.extend(memory(results));
    cards.extend(calibration(results));
    let card = |card: &Card| {
        format!(
            "<div class=\"card\"><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>",
            escape(&card.name),
            escape(&card.value),
            escape(&card.note)
        )
    };
    format!("<dl class=\"cards\">{}</dl>\n", cards.iter().map(card).collect::<String>())
}

fn card(name: &str, value: String, note: String) -> Card {
    Card { name: name.into(), value, note }
}

fn metric(results: &Results) -> Card {
    let test = &results.test;
    let note = match test.interval {
        Some([low, high]) => format!("95 %: {} to {}", score(low), score(high)),
        None => "on the test split".into(),
    };
    card(&format!("test {}", readable(test.headline_name())), score(test.headline()), note)
}

fn examples(results: &Results) -> Card {
    let of = |name: &str| {
        results.data.splits.iter().find(|split| split.split == name).map_or(0, |split| split.examples)
    };
    let note = format!("train\u{a0}{}, validation\u{a0}{}", count(of("train")), count(of("validation")));
    card("test examples", count(test_examples(results)), note)
}

fn parameters(results: &Results) -> Card {
    let (trained, total) = (results.trainable_parameters, results.total_parameters);
    let note =
        format!("{} of {}; strategy {}", percent(trained, total), rough_count(total), results.strategy);
    card("parameters trained", rough_count(trained), note)
}

fn time(results: &Results) -> Card {
    let estimated = results.predicted.as_ref();
    let estimated = estimated
        .map_or(String::new(), |estimate| format!("; estimated {}", duration(estimate.training_seconds)));
    let note = format!("{} steps{estimated}", count(results.steps));
    card("training time", duration(results.training_seconds), note)
}

fn speed(results: &Results) -> Card {
    let tokens = results.tokens_per_second * results.training_seconds;
    card(
        "tokens a second",
        count(results.tokens_per_second.round() as usize),
        format!("{} tokens trained", rough_count(tokens.round() as usize)),
    )
}

/// Of the process and, where there is one, of the GPU.
fn memory(results: &Results) -> Vec<Card> {
    let note = |estimate: Option<u64>| {
        estimate.map_or("measured".into(), |size| format!("estimated {}", bytes(size)))
    };
    let estimated = results.predicted.as_ref();
    let of_process = results.peak_memory_bytes.map(|size| {
        card("peak memory", bytes(size), note(estimated.and_then(|estimate| estimate.peak_memory_bytes)))
    });
    let of_device = results.device_memory_bytes.map(|size| {
        card("GPU memory", bytes(size), note(estimated.and_then(|estimate| estimate.device_memory_bytes)))
    });
    of_process.into_iter().chain(of_device).collect()
}

fn calibration(results: &Results) -> Option<Card> {
    let calibration = results.test.calibration.as_ref()?;
    let gap = calibration.confidence - calibration.accuracy;
    let note = if gap > 0.0 { "the model is overconfident" } else { "the model is underconfident" };
    Some(card("calibration error (ECE)", score(calibration.ece), note.into()))
}
