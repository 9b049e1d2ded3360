//! report.html: one file that needs no network and, but for what is shown at the pointer, no script.

mod cards;
mod confusion;
mod cost;
mod curves;
mod data;
mod errors;
mod headline;
mod html;
mod movement;
mod reliability;
mod sources;

pub(crate) use errors::WorstError;

use std::path::Path;

use crate::charts::{dark_rules, escape, variables};
use crate::tasks::ScoreTable;
use crate::training::JournalRow;
use crate::{Results, TrainError};
use html::{paragraph, score, section, table};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What a report shows beside the results.
pub(crate) struct ReportInput<'a> {
    pub(crate) title: &'a str,
    pub(crate) results: &'a Results,
    pub(crate) rows: &'a [JournalRow],
    /// The metric by which the model was chosen.
    pub(crate) metric: &'a str,
    /// What trained, as an SVG element.
    pub(crate) figure: &'a str,
    pub(crate) worst: &'a [WorstError],
    /// run.toml.
    pub(crate) record: &'a toml::Table,
    /// Tokens of each training example as the model reads it, and how many it may have.
    pub(crate) lengths: (&'a [u32], usize),
}

/// Writes the report.
pub(crate) fn write_report(path: &Path, input: &ReportInput<'_>) -> Result<(), TrainError> {
    Ok(temper_files::write(path, page(input).as_bytes())?)
}

fn page(input: &ReportInput<'_>) -> String {
    let sections = sections(input);
    let links: String = sections
        .iter()
        .filter(|(_, _, content)| !content.is_empty())
        .map(|(id, title, _)| format!("<a href=\"#{id}\">{}</a> ", escape(title)))
        .collect();
    let body: String = sections.iter().map(|(id, title, content)| section(id, title, content)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/><title>{}</title>\
         <style>\n{}{}{STYLE}</style></head>\n<body><main>\n{}{}<nav>{links}</nav>\n{body}</main>\n\
         <script>\n{SCRIPT}</script></body></html>\n",
        escape(input.title),
        variables(),
        dark_rules(),
        headline::header(input),
        cards::cards(input),
    )
}

/// Id, title and content of each section; those without content are left out.
fn sections(input: &ReportInput<'_>) -> Vec<(&'static str, &'static str, String)> {
    let results = input.results;
    let test = &results.test;
    let (lengths, longest) = input.lengths;
    let tables: String = test.tables.iter().map(part_scores).collect();
    let confusion = test.confusion.as_ref().map(confusion::confusion);
    let reliability = test.calibration.as_ref().map(reliability::reliability);
    vec![
        ("curves", "Curves", curves::curves(input)),
        ("scores", "Test scores", format!("{}{tables}", scores(results))),
        ("confusion", "Confusion matrix", confusion.unwrap_or_default()),
        ("calibration", "Calibration", reliability.unwrap_or_default()),
        ("errors", "Worst errors", errors::errors(input.worst)),
        ("trained", "What trained", trained(input)),
        ("cost", "Time and memory", cost::cost(results)),
        ("data", "Data", data::data(&results.data, lengths, longest)),
        ("sources", "Settings and sources", sources::sources(input.record)),
    ]
}

/// Examples of the test split.
fn test_examples(results: &Results) -> usize {
    results.data.splits.iter().find(|split| split.split == "test").map_or(0, |split| split.examples)
}

/// Every metric, and what the simplest guess reaches in the first.
fn scores(results: &Results) -> String {
    let test = &results.test;
    let cell = |value: f64| escape(&score(value));
    let rows = test.metrics.iter().enumerate().map(|(number, (name, value))| {
        let (mut interval, mut baseline) = (String::new(), String::new());
        if number == 0 {
            interval =
                test.interval.map_or(String::new(), |[low, high]| format!("{} to {}", cell(low), cell(high)));
            if test.baseline.is_finite() {
                baseline = format!("{} ({})", cell(test.baseline), escape(test.baseline_name));
            }
        }
        vec![escape(&headline::readable(name)), cell(*value), interval, baseline]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let tuned: String = results
        .tuned
        .iter()
        .map(|(name, value)| paragraph(&format!("Chosen on the validation split: {name} {value}.")))
        .collect();
    table(&["metric", "test", "95 % interval", "simple baseline"], &rows) + &tuned
}

fn part_scores(part: &ScoreTable) -> String {
    let rows = part.rows.iter().map(|(name, values)| {
        let cell = |value: &f64| match value.fract() == 0.0 && *value > 1.0 {
            true => html::count(*value as usize),
            false => escape(&score(*value)),
        };
        std::iter::once(escape(name)).chain(values.iter().map(cell)).collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let header: Vec<&str> = [""].into_iter().chain(part.columns.iter().copied()).collect();
    format!("<h3>{}</h3>{}", escape(part.title), table(&header, &rows))
}

/// What trained, how far it moved, and what was proved of it.
fn trained(input: &ReportInput<'_>) -> String {
    let results = input.results;
    let mut said = vec![format!("Proof: {}.", results.proof.statement)];
    said.push(match results.reload_difference {
        0.0 => "The saved model, loaded again, gives the same logits bit for bit.".into(),
        difference => {
            format!("The saved model, loaded again, gives the same logits within {difference:.1e}.")
        }
    });
    if let Some(difference) = results.merge_difference {
        said.push(format!("Merging the adapters changes the logits by at most {difference:.1e} (relative)."));
    }
    format!(
        "<div class=\"charts\">{}<figure class=\"plan\"><div class=\"scroll\">{}</div></figure></div>{}",
        movement::movement(&results.movement),
        input.figure,
        paragraph(&said.join(" "))
    )
}
