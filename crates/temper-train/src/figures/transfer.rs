//! The flow of transfer learning: from a pretrained model over one run to the next, with what each kept, dropped, added
//! and moved.

use serde::Deserialize;
use temper_freeze::count_text;

use super::language::{Language, Word};
use crate::charts::{
    Anchor, Canvas, Caption, Label, Line, MUTED, SERIES, Scale, change_text, fitted, number_text, text_width,
};

const MARGIN: f64 = 16.0;
const COLUMN: f64 = 252.0;
/// Of a part's box, without its bar.
const BOX: f64 = COLUMN - BAR - 44.0;
/// The line on what the bars are has to fit.
const LEAST_WIDTH: f64 = 560.0;
/// Between columns: the arrow.
const AISLE: f64 = 40.0;
const PITCH: f64 = 26.0;
const TOP: f64 = 152.0;
/// Of what a run kept, added and dropped, in lines.
const MOST_LINES: usize = 9;
/// Of a bar, at most.
const BAR: f64 = 92.0;

/// How far a part of the model moved in a run, as results.json has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct MovedPart {
    pub(crate) part: String,
    pub(crate) parameters: usize,
    pub(crate) trained: usize,
    /// Norm of the change divided by the norm before; none where that was 0.
    pub(crate) relative_change: Option<f64>,
}

/// A run of the flow.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) dataset: String,
    pub(crate) strategy: String,
    /// Name and value of the first test score.
    pub(crate) score: Option<(String, f64)>,
    /// From the bottom of the model to the top.
    pub(crate) parts: Vec<MovedPart>,
    /// Paths of parameters that it initialised randomly.
    pub(crate) new: Vec<String>,
    /// Stored tensors that it had no use for.
    pub(crate) dropped: Vec<String>,
}

impl Stage {
    /// Whether a part is new in this run: all that it holds was initialised randomly.
    fn is_new(&self, part: &str) -> bool {
        let first = part.replace(' ', "_");
        self.new.iter().any(|path| path.split('.').next() == Some(first.as_str()))
    }
}

/// The figure as an SVG document: the pretrained model, then a column for each run.
pub(crate) fn draw(pretrained: &str, stages: &[Stage], language: Language) -> String {
    let rows = stages.iter().map(|stage| stage.parts.len()).max().unwrap_or(0);
    let width = (2.0 * MARGIN + BOX + (COLUMN + AISLE) * stages.len() as f64).max(LEAST_WIDTH);
    let foot = TOP + PITCH * rows as f64;
    let below: Vec<Vec<String>> = stages.iter().map(|stage| summary_lines(stage, language)).collect();
    let lines = below.iter().map(Vec::len).max().unwrap_or(0);
    let mut canvas = Canvas::new(width, foot + 40.0 + 15.0 * lines as f64 + 30.0);
    let title = language.says(pretrained, language.word(Word::Transfer));
    canvas.text(Label::new(MARGIN, 28.0, &title).sized(16.0).bold());
    canvas.text(Label::small(MARGIN, 48.0, language.word(Word::ChangeExplained)));
    if let Some(first) = stages.first() {
        heading(&mut canvas, MARGIN, &[language.word(Word::Pretrained).to_owned(), pretrained.to_owned()]);
        for (row, part) in first.parts.iter().enumerate().filter(|(_, part)| !first.is_new(&part.part)) {
            let y = foot - PITCH * (row as f64 + 1.0);
            part_box(&mut canvas, (MARGIN, y), part, false, language);
        }
    }
    let scale = scale(stages);
    for (number, stage) in stages.iter().enumerate() {
        let x = MARGIN + BOX + AISLE + (COLUMN + AISLE) * number as f64;
        arrow(&mut canvas, x, (TOP + foot) / 2.0);
        heading(&mut canvas, x, &stage_heading(stage, language));
        for (row, part) in stage.parts.iter().enumerate() {
            let y = foot - PITCH * (row as f64 + 1.0);
            part_box(&mut canvas, (x, y), part, stage.is_new(&part.part), language);
            moved(&mut canvas, (x, y), part, &scale, language);
        }
        for (line, text) in below[number].iter().enumerate() {
            canvas.text(Label::small(x, foot + 22.0 + 15.0 * line as f64, text));
        }
    }
    let description = description(stages, language);
    canvas.document(Caption { title: &title, description: &description, language: language.tag() })
}

fn heading(canvas: &mut Canvas, x: f64, lines: &[String]) {
    for (number, line) in lines.iter().enumerate() {
        for (part, text) in fitted(line, 12.0, COLUMN).iter().take(1).enumerate() {
            let label = Label::new(x, 80.0 + 18.0 * (number + part) as f64, text);
            canvas.text(if number == 0 { label.bold() } else { label.coloured(MUTED) });
        }
    }
}

fn stage_heading(stage: &Stage, language: Language) -> Vec<String> {
    let score = stage
        .score
        .as_ref()
        .map(|(name, value)| format!("{} {name} {}", language.word(Word::TestScore), number_text(*value)));
    let strategy = match language {
        Language::English => format!("strategy {}", stage.strategy),
        Language::TraditionalChinese => format!("策略 {}", stage.strategy),
    };
    [Some(stage.dataset.clone()), Some(strategy), score].into_iter().flatten().collect()
}

/// From the column before to this one.
fn arrow(canvas: &mut Canvas, x: f64, y: f64) {
    let line = Line::new(MUTED, 2.0);
    canvas.line((x - AISLE + 6.0, y), (x - 8.0, y), line);
    canvas.path([(x - 15.0, y - 6.0), (x - 8.0, y), (x - 15.0, y + 6.0)].into_iter(), line);
}

fn part_box(canvas: &mut Canvas, (x, y): (f64, f64), part: &MovedPart, new: bool, language: Language) {
    let (at, size) = ((x, y + 2.0), (BOX, PITCH - 4.0));
    let (colour, share, dashes) = if new { (SERIES[1], 0.22, "5 3") } else { (SERIES[0], 0.14, "") };
    let name = language.part(&part.part);
    let count = count_text(part.parameters);
    canvas.shade(at, size, (colour, share), &format!("{name}: {count}"));
    canvas.frame(at, size, Line { dashes, ..Line::new(colour, 1.0) });
    canvas.text(Label::new(x + 6.0, y + 17.0, &name).sized(11.0));
    let room = size.0 - 16.0 - text_width(&name, 11.0);
    if text_width(&count, 10.0) <= room {
        let label = Label::small(x + size.0 - 6.0, y + 17.0, &count).sized(10.0);
        canvas.text(label.anchored(Anchor::End));
    }
}

/// A bar for the change of a part, on the logarithmic scale that all runs of the figure share.
fn moved(canvas: &mut Canvas, (x, y): (f64, f64), part: &MovedPart, scale: &Scale, language: Language) {
    let left = x + COLUMN - BAR - 38.0;
    match part.relative_change.filter(|change| *change > 0.0) {
        Some(change) => {
            let length = scale.place(change).max(2.0);
            canvas.bar((left, y + 7.0), (length, PITCH - 14.0), SERIES[2], &change_text(change));
            canvas.text(Label::small(left + length + 4.0, y + 17.0, &change_text(change)).sized(10.0));
        }
        None => canvas.text(Label::small(left, y + 17.0, stillness(part, language)).sized(10.0)),
    }
}

pub(super) fn stillness(part: &MovedPart, language: Language) -> &'static str {
    language.word(match part.relative_change {
        Some(_) if part.trained == 0 => Word::Frozen,
        Some(_) => Word::NoChange,
        None => Word::BeganAtZero,
    })
}

fn scale(stages: &[Stage]) -> Scale {
    let changes = stages.iter().flat_map(|stage| &stage.parts).filter_map(|part| part.relative_change);
    let changes: Vec<f64> = changes.filter(|change| *change > 0.0).collect();
    let (low, high) =
        (changes.iter().copied().fold(f64::INFINITY, f64::min), changes.iter().copied().fold(0.0, f64::max));
    if high > 0.0 {
        Scale::logarithmic(low, high, (2.0, BAR))
    } else {
        Scale::logarithmic(0.1, 1.0, (2.0, BAR))
    }
}

/// What a run kept, added and dropped.
fn summary(stage: &Stage, language: Language) -> [String; 3] {
    let kept = stage.parts.iter().filter(|part| !stage.is_new(&part.part)).count();
    let parts = match language {
        Language::English => format!("{kept} parts"),
        Language::TraditionalChinese => format!("{kept} 個部分"),
    };
    let list = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    [
        language.says(language.word(Word::Kept), &parts),
        language.says(language.word(Word::New), &list(&stage.new)),
        language.says(language.word(Word::Dropped), &list(&stage.dropped)),
    ]
}

/// The same in lines that fit a column, at most [`MOST_LINES`].
fn summary_lines(stage: &Stage, language: Language) -> Vec<String> {
    let said = summary(stage, language);
    let mut lines: Vec<String> = said.iter().flat_map(|text| fitted(text, 11.0, COLUMN)).collect();
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES);
        lines.push("\u{2026}".into());
    }
    lines
}

/// For those who cannot see the figure.
fn description(stages: &[Stage], language: Language) -> String {
    let one = |stage: &Stage| {
        let moved: Vec<String> = stage
            .parts
            .iter()
            .map(|part| {
                let change = part.relative_change.filter(|change| *change > 0.0);
                let said = change.map_or_else(|| stillness(part, language).to_owned(), change_text);
                format!("{} {said}", language.part(&part.part))
            })
            .collect();
        let heading = stage_heading(stage, language).join(language.comma());
        let summary = summary(stage, language).join(language.semicolon());
        format!("{}{}{summary}", language.says(&heading, &moved.join(language.comma())), language.semicolon())
    };
    stages.iter().map(one).collect::<Vec<_>>().join(language.pick(". ", "。"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    fn part(name: &str, trained: usize, relative_change: Option<f64>) -> MovedPart {
        MovedPart { part: name.into(), parameters: 12345, trained, relative_change }
    }

    fn stage(dataset: &str, dropped: &[&str]) -> Stage {
        Stage {
            dataset: dataset.into(),
            strategy: "last:1".into(),
            score: Some(("accuracy".into(), 0.7531)),
            parts: vec![
                part("embeddings", 0, Some(0.0)),
                part("layer 0", 5, Some(0.0213)),
                part("pooler", 5, Some(0.5)),
                part("head", 5, Some(1.5)),
            ],
            new: vec!["head.output.weight".into(), "head.output.bias".into()],
            dropped: dropped.iter().map(|name| name.to_string()).collect(),
        }
    }

    #[test]
    fn each_run_says_what_it_kept_added_dropped_and_moved() {
        let stages = [stage("movie-snippets", &[]), stage("tweet-sentiment", &["classifier.weight"])];
        for language in [Language::English, Language::TraditionalChinese] {
            let svg = draw("org/tiny", &stages, language);
            assert_inside(&svg);
            let words = match language {
                Language::English => [">kept: 3 parts<", ">2.1 %<", ">frozen<", "dropped: classifier.weight"],
                Language::TraditionalChinese => {
                    [">保留：3 個部分<", ">2.1 %<", ">凍結<", "捨棄：classifier.weight"]
                }
            };
            for words in words {
                assert!(svg.contains(words), "{words} is not in {svg}");
            }
            // The head is none of the pretrained model's parts.
            assert_eq!(svg.matches(&format!(">{}</text>", language.part("head"))).count(), 2);
        }
    }

    #[test]
    fn a_run_in_which_nothing_moved_is_drawn() {
        let mut still = stage("x", &[]);
        still.parts.truncate(1);
        assert_inside(&draw("org/tiny", &[still], Language::English));
    }
}
