//! Several plans for one model, a column each.

use svg::node::Node;
use svg::node::element::Element;

use super::canvas::{Anchor, Frame, Line, TEXT, bold_width, document, text_width};
use super::drawing::{Heading, Legend, MARGIN, StateBox, definitions};
use super::outline::{Level, Outline, Place, Stack, runs};
use super::tally::{State, Tally};
use super::words::{count_text, percent_text, wrap};
use crate::FreezePlan;

const COLUMN: i32 = 104;
const CELL_HEIGHT: i32 = 26;
const PITCH: i32 = CELL_HEIGHT + 3;
const GAP: i32 = 6;
const NAME_LINES: usize = 4;
const LEADING: i32 = 13;
const FOOT: i32 = 36;
const LEAST_WIDTH: i32 = 460;

/// Draws what several strategies train of one model as SVG, a narrow column each.
///
/// `plans` are names with plans. Adapters, which only some of them have, are counted within their layer.
pub fn comparison_figure(model: &str, plans: &[(String, &FreezePlan)]) -> String {
    let outlines: Vec<Outline> = plans.iter().map(|(_, plan)| Outline::of(plan)).collect();
    let levels = common(&outlines);
    let columns: Vec<Column> = plans
        .iter()
        .zip(&outlines)
        .map(|((name, plan), outline)| Column::new(name, plan, &levels, outline))
        .collect();
    let alike =
        |one: usize, other: usize| columns.iter().all(|column| column.cells[one] == column.cells[other]);
    let rows: Vec<RowName> = runs(&levels, alike)
        .into_iter()
        .map(|run| RowName {
            first: run.first,
            label: [levels[run.first].stack.name(), &run.label(&levels)].join(" ").trim().to_owned(),
            path: run.path(&levels),
        })
        .collect();

    let label = rows.iter().map(|row| text_width(&row.label, TEXT)).max().unwrap_or(0) + 10;
    let width = (label + (COLUMN + GAP) * columns.len() as i32 - GAP + 2 * MARGIN).max(LEAST_WIDTH);
    let subject = "what each strategy trains";
    let totals: Vec<String> =
        plans.iter().map(|(name, plan)| format!("{name}: {}", plan.summary())).collect();
    // Without adapters, which only some plans have.
    let total = plans.iter().map(|(_, plan)| plan.total()).min().unwrap_or(0);
    let heading = Heading::new(&[model, subject], format!("{total} parameters"), width);
    let cells = columns.iter().flat_map(|column| column.cells.iter().flatten());
    let states = cells.map(|cell| cell.tally.state()).collect();
    let legend = Legend::new(states, false, notes(&columns), width);

    let names = columns.iter().map(|column| column.name.len()).max().unwrap_or(0) as i32;
    let top = heading.height() + LEADING * names + 6;
    let foot = top + PITCH * rows.len() as i32;
    let title = format!("{model}: {subject}");
    let mut root = document(width, foot + FOOT + legend.height(), &title, &(totals.join(". ") + "."));
    root.append(definitions());
    heading.draw(&mut root);
    for (number, row) in rows.iter().rev().enumerate() {
        let y = top + PITCH * number as i32 + CELL_HEIGHT / 2 + 4;
        root.append(Line::new(MARGIN, y, &row.label).element());
    }
    for (number, column) in columns.iter().enumerate() {
        let x = MARGIN + label + (COLUMN + GAP) * number as i32;
        column.draw(&mut root, &rows, x, top);
    }
    legend.draw(&mut root, foot + FOOT);
    root.to_string() + "\n"
}

/// The heights of all plans' models, in the order of the first one that has them.
fn common(outlines: &[Outline]) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for level in outlines.iter().flat_map(|outline| &outline.levels) {
        if find(&levels, level.stack, &level.place).is_none() {
            levels.push(level.clone());
        }
    }
    levels
}

fn find<'a>(levels: &'a [Level], stack: Stack, place: &Place) -> Option<&'a Level> {
    levels.iter().find(|level| level.stack == stack && level.place == *place)
}

/// A row of cells.
struct RowName {
    /// Its lowest level.
    first: usize,
    label: String,
    path: String,
}

#[derive(PartialEq)]
struct Cell {
    tally: Tally,
    by_adapters: bool,
}

impl Cell {
    fn of(level: &Level) -> Self {
        Self { tally: level.tally(), by_adapters: level.trains_by_adapters() }
    }

    /// In the box: the share if it is a part; the step and the rate if they are not the usual ones.
    fn lines(&self) -> Vec<String> {
        let share = match self.tally.state() {
            State::Partial if self.by_adapters => Some(format!("adapters {}", self.tally.share_text())),
            State::Partial => Some(self.tally.share_text()),
            _ => None,
        };
        let timing: Vec<String> =
            [self.tally.step_text(), self.tally.rate_text()].into_iter().flatten().collect();
        let timing = (!timing.is_empty()).then(|| timing.join(" "));
        [share, timing].into_iter().flatten().collect()
    }
}

/// A strategy.
struct Column {
    /// In lines.
    name: Vec<String>,
    full_name: String,
    trainable: usize,
    total: usize,
    /// One a common level; none where this plan's model lacks it.
    cells: Vec<Option<Cell>>,
}

impl Column {
    fn new(name: &str, plan: &FreezePlan, levels: &[Level], outline: &Outline) -> Self {
        let characters = (COLUMN * 10 / bold_width("nnnnnnnnnn", TEXT)) as usize;
        let cell = |level: &Level| find(&outline.levels, level.stack, &level.place).map(Cell::of);
        Self {
            name: wrap(name, characters, NAME_LINES),
            full_name: name.into(),
            trainable: plan.trainable(),
            total: plan.total(),
            cells: levels.iter().map(cell).collect(),
        }
    }

    fn draw(&self, root: &mut Element, rows: &[RowName], x: i32, top: i32) {
        let middle = x + COLUMN / 2;
        let centred = |y: i32, text: &str, bold: bool| {
            Line { anchor: Anchor::Middle, bold, ..Line::new(middle, y, text) }.element()
        };
        for (number, line) in self.name.iter().rev().enumerate() {
            root.append(centred(top - 8 - LEADING * number as i32, line, true));
        }
        for (number, row) in rows.iter().rev().enumerate() {
            let y = top + PITCH * number as i32;
            let Some(cell) = &self.cells[row.first] else { continue };
            let path = format!("{} {}", self.full_name, row.path);
            let frame = Frame { x, y, width: COLUMN, height: CELL_HEIGHT };
            let lines = cell.lines();
            root.append(
                StateBox { frame, tally: &cell.tally, path: &path, lines: &lines, round: false }.element(),
            );
        }
        let foot = top + PITCH * rows.len() as i32;
        root.append(centred(foot + 13, &percent_text(self.trainable, self.total), true));
        root.append(centred(foot + 27, &count_text(self.trainable), false));
    }
}

fn notes(columns: &[Column]) -> Vec<String> {
    let mut notes = vec!["Below each column: share and number of the parameters that train.".to_owned()];
    let mut tallies = columns.iter().flat_map(|column| column.cells.iter().flatten()).map(|cell| &cell.tally);
    if tallies.any(|tally| tally.rate_text().is_some() || tally.step_text().is_some()) {
        notes.push(
            "\u{d7}: factor on the learning rate; step: optimiser step from which a part trains.".to_owned(),
        );
    }
    notes
}
