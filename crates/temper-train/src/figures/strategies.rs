//! What several strategies train of one model, side by side, from their plans.

use temper_freeze::{FreezePlan, PlanRow, RunLength, count_text, percent_text};
use temper_models::is_adapter;

use super::language::{Language, Word};
use crate::charts::{Anchor, Canvas, Caption, GRID, Label, Line, MUTED, SERIES, fitted, text_width};

const MARGIN: f64 = 16.0;
const COLUMN: f64 = 104.0;
const PITCH: f64 = 26.0;
const TOP: f64 = 104.0;
/// The length of a run on which the steps of gradual unfreezing are shown in percent.
const RUN: usize = 100;

/// How much of a part trains.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    /// Everything, from this percent of the steps on.
    Whole {
        from: usize,
    },
    /// So many of so many parameters; only adapters among them or not.
    Some {
        trained: usize,
        total: usize,
        adapters: bool,
    },
    Frozen,
}

impl Cell {
    fn of(rows: &[&PlanRow]) -> Self {
        let count = |rows: &mut dyn Iterator<Item = &&PlanRow>| rows.map(|row| row.count).sum::<usize>();
        let trains = |row: &&&PlanRow| row.trains;
        let (total, trained) = (count(&mut rows.iter()), count(&mut rows.iter().filter(trains)));
        match trained {
            0 => Self::Frozen,
            _ if trained == total => {
                Self::Whole { from: rows.iter().filter_map(|row| row.unfreezes).min().unwrap_or(0) }
            }
            _ => {
                let adapters = rows.iter().filter(trains).all(|row| is_adapter(&row.path));
                Self::Some { trained, total, adapters }
            }
        }
    }

    fn text(self, language: Language) -> String {
        match self {
            Self::Whole { from: 0 } => language.word(Word::Trained).into(),
            Self::Whole { from } => match language {
                Language::English => format!("from {from} %"),
                Language::TraditionalChinese => format!("{from} % 起"),
            },
            Self::Some { trained, total, adapters: true } => format!("+ {}", percent_text(trained, total)),
            Self::Some { trained, total, .. } => percent_text(trained, total),
            Self::Frozen => language.word(Word::Frozen).into(),
        }
    }
}

/// A strategy as a column.
struct Column {
    name: String,
    /// Names of parts with their cells, from the bottom to the top.
    cells: Vec<(String, Cell)>,
    trained: usize,
    total: usize,
}

impl Column {
    fn new(name: &str, plan: &FreezePlan) -> Self {
        let plan = plan.clone().over(RunLength { total_steps: RUN, steps_per_epoch: RUN });
        let cells = plan.parts().into_iter().map(|(part, rows)| (part, Cell::of(&rows))).collect();
        Self { name: name.into(), cells, trained: plan.trainable(), total: plan.total() }
    }

    fn cell(&self, part: &str) -> Option<Cell> {
        self.cells.iter().find(|(name, _)| name == part).map(|(_, cell)| *cell)
    }
}

/// The figure as an SVG document: a column for each strategy, a row for each part of the model.
pub(crate) fn draw(model: &str, plans: &[(String, FreezePlan)], language: Language) -> String {
    let columns: Vec<Column> = plans.iter().map(|(name, plan)| Column::new(name, plan)).collect();
    let parts: Vec<&str> = columns
        .first()
        .map_or_else(Vec::new, |column| column.cells.iter().map(|(name, _)| name.as_str()).rev().collect());
    let names = parts.iter().map(|part| text_width(&language.part(part), 12.0)).fold(80.0, f64::max);
    let left = MARGIN + names + 12.0;
    let foot = TOP + PITCH * parts.len() as f64;
    let notes = notes(&columns, language);
    let width = (left + COLUMN * columns.len() as f64 + MARGIN).max(480.0);
    let notes: Vec<String> = notes.iter().flat_map(|note| fitted(note, 11.0, width - 2.0 * MARGIN)).collect();
    let mut canvas = Canvas::new(width, foot + 56.0 + 16.0 * notes.len() as f64);
    let title = language.says(model, language.word(Word::Strategies));
    for (line, text) in fitted(&title, 16.0, width - 2.0 * MARGIN).iter().enumerate() {
        canvas.text(Label::new(MARGIN, 28.0 + 20.0 * line as f64, text).sized(16.0).bold());
    }
    for (row, part) in parts.iter().enumerate() {
        let y = TOP + PITCH * row as f64;
        canvas.text(Label::new(left - 10.0, y + 17.0, &language.part(part)).anchored(Anchor::End));
    }
    for (number, column) in columns.iter().enumerate() {
        let x = left + COLUMN * number as f64;
        draw_column(&mut canvas, column, &parts, x, language);
        let middle = x + COLUMN / 2.0;
        let share = percent_text(column.trained, column.total);
        canvas.text(Label::new(middle, foot + 18.0, &share).bold().anchored(Anchor::Middle));
        let count = count_text(column.trained);
        canvas.text(Label::small(middle, foot + 34.0, &count).anchored(Anchor::Middle));
    }
    for (line, text) in notes.iter().enumerate() {
        canvas.text(Label::small(MARGIN, foot + 58.0 + 16.0 * line as f64, text));
    }
    let description = description(&columns, language);
    canvas.document(Caption { title: &title, description: &description, language: language.tag() })
}

fn draw_column(canvas: &mut Canvas, column: &Column, parts: &[&str], x: f64, language: Language) {
    for (line, text) in fitted(&column.name.replace('-', "- "), 12.0, COLUMN - 6.0).iter().rev().enumerate() {
        let label = Label::new(x + COLUMN / 2.0, TOP - 12.0 - 15.0 * line as f64, text).bold();
        canvas.text(label.anchored(Anchor::Middle));
    }
    for (row, part) in parts.iter().enumerate() {
        let Some(cell) = column.cell(part) else { continue };
        let (at, size) = ((x + 2.0, TOP + PITCH * row as f64 + 2.0), (COLUMN - 4.0, PITCH - 4.0));
        let text = cell.text(language);
        let tooltip = format!("{}, {}: {text}", column.name, language.part(part));
        let (colour, share, line) = match cell {
            Cell::Whole { from: 0 } => (SERIES[0], 0.38, Line::new(SERIES[0], 1.5)),
            Cell::Whole { .. } => (SERIES[0], 0.16, Line { dashes: "6 3", ..Line::new(SERIES[0], 1.2) }),
            Cell::Some { .. } => (SERIES[1], 0.18, Line { dashes: "3 2", ..Line::new(SERIES[1], 1.2) }),
            Cell::Frozen => (GRID, 0.25, Line::new(GRID, 1.0)),
        };
        canvas.shade(at, size, (colour, share), &tooltip);
        canvas.frame(at, size, line);
        let label = Label::new(x + COLUMN / 2.0, at.1 + 15.0, &text).sized(11.0).anchored(Anchor::Middle);
        canvas.text(if cell == Cell::Frozen { label.coloured(MUTED) } else { label });
    }
}

/// What the cells mean, where it is not in them.
fn notes(columns: &[Column], language: Language) -> Vec<String> {
    let cells = || columns.iter().flat_map(|column| &column.cells).map(|(_, cell)| *cell);
    let mut notes = vec![language.pick(
        "Below each column: the share and the number of the parameters that train.",
        "每一欄下方：會訓練的參數占比與數量。",
    )];
    if cells().any(|cell| matches!(cell, Cell::Whole { from } if from > 0)) {
        notes.push(language.pick(
            "from n %: the part is frozen at first and trains from that share of the steps on.",
            "n % 起：先凍結，到這個比例的步數才開始訓練。",
        ));
    }
    if cells().any(|cell| matches!(cell, Cell::Some { adapters: true, .. })) {
        notes.push(language.pick(
            "+ n %: the weights are frozen; adapters next to them, so large a share of the part, train.",
            "+ n %：原本的權重凍結，只訓練旁邊加上的轉接器，占該部分的比例如上。",
        ));
    }
    notes.into_iter().map(str::to_owned).collect()
}

/// For those who cannot see the figure.
fn description(columns: &[Column], language: Language) -> String {
    let each = columns.iter().map(|column| {
        let share = percent_text(column.trained, column.total);
        language.says(&column.name, &format!("{share} ({})", count_text(column.trained)))
    });
    each.collect::<Vec<_>>().join(language.semicolon())
}

#[cfg(test)]
mod tests {
    use temper_freeze::Strategy;
    use temper_models::{Parameter, ParameterTable, parameter_id};

    use super::*;
    use crate::charts::assert_inside;

    fn plans() -> Vec<(String, FreezePlan)> {
        let parameter = |path: &str, size: usize| Parameter {
            path: path.into(),
            shape: vec![size],
            id: parameter_id(path),
            trains: true,
        };
        let table = ParameterTable {
            parameters: vec![
                parameter("token_embedding.weight", 100),
                parameter("layers.0.ffn.inner.weight", 40),
                parameter("layers.0.ffn.inner.bias", 10),
                parameter("layers.1.ffn.inner.weight", 40),
                parameter("layers.1.ffn.inner.bias", 10),
                parameter("head.weight", 20),
            ],
        };
        let plan = |name: &str| {
            let strategy: Strategy = name.parse().expect("a strategy");
            (name.to_owned(), FreezePlan::new(&strategy, &table, &["head.weight".into()]).expect("a plan"))
        };
        ["all", "last:1", "head", "gradual", "biases+head", "freeze-embeddings"].map(plan).into()
    }

    #[test]
    fn cells_are_those_of_the_plans() {
        let plans = plans();
        let columns: Vec<Column> = plans.iter().map(|(name, plan)| Column::new(name, plan)).collect();
        let cell = |column: usize, part: &str| columns[column].cell(part).expect("a part");
        assert_eq!(cell(0, "embeddings"), Cell::Whole { from: 0 });
        assert_eq!(cell(1, "layer 0"), Cell::Frozen);
        assert_eq!(cell(1, "layer 1"), Cell::Whole { from: 0 });
        assert_eq!(cell(2, "layer 1"), Cell::Frozen);
        // Four groups: head, layer 1, layer 0, embeddings, a quarter of the steps apart.
        assert_eq!(cell(3, "layer 1"), Cell::Whole { from: 25 });
        assert_eq!(cell(3, "embeddings"), Cell::Whole { from: 75 });
        assert_eq!(cell(4, "layer 0"), Cell::Some { trained: 10, total: 50, adapters: false });
        assert_eq!(cell(5, "embeddings"), Cell::Frozen);
        assert_eq!(columns[1].trained, 70);
    }

    #[test]
    fn the_figure_says_what_the_cells_are() {
        for language in [Language::English, Language::TraditionalChinese] {
            let svg = draw("org/a-model-with-a-long-name", &plans(), language);
            assert_inside(&svg);
            let words = match language {
                Language::English => [">from 25 %<", ">20.0 %<", ">frozen<", "last:1: 31.8 % (70)"],
                Language::TraditionalChinese => [">25 % 起<", ">20.0 %<", ">凍結<", "last:1：31.8 % (70)"],
            };
            for words in words {
                assert!(svg.contains(words), "{words} is not in {svg}");
            }
        }
    }
}
