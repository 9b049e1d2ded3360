//! One plan, with the parts of every layer.

use svg::node::Node;
use svg::node::element::Element;

use super::canvas::{Anchor, Frame, Line, TEXT, bold_width, document, element, path, rectangle, text_width};
use super::drawing::{Heading, Legend, MARGIN, StateBox, box_width, definitions, description};
use super::outline::{Adapter, Level, Outline, Part, Place, Run, Stack, runs};
use super::tally::{State, Tally};
use super::words::{count_text, readable};
use crate::FreezePlan;

const BOX_HEIGHT: i32 = 30;
/// Between a row's outline and its boxes.
const PADDING: i32 = 3;
const GAP: i32 = 4;
const ROW_HEIGHT: i32 = BOX_HEIGHT + 2 * PADDING;
const PITCH: i32 = ROW_HEIGHT + GAP;
/// Between an encoder and a decoder.
const AISLE: i32 = 52;
const TITLE_HEIGHT: i32 = 20;
const LEAST_WIDTH: i32 = 560;
/// Of the small boxes of adapters, two of which are one above the other.
const ADAPTER_HEIGHT: i32 = (BOX_HEIGHT - 2) / 2;

/// Draws a plan as SVG: the model from the embeddings up, each layer with its parts.
///
/// `model` and `strategy` are names for the title. An encoder and a decoder are side by side. A stack of more
/// than twelve layers draws those in a row that are alike as one.
pub fn plan_figure(plan: &FreezePlan, model: &str, strategy: &str) -> String {
    let outline = Outline::of(plan);
    let rows = rows(&outline.levels);
    let columns = columns(&rows);
    let inner: i32 = columns.iter().map(|column| column.width()).sum();
    let wide = inner + AISLE * (columns.len() as i32 - 1).max(0) + 2 * MARGIN;
    let width = wide.max(LEAST_WIDTH);

    let strategy = format!("strategy {strategy}");
    let heading = Heading::new(&[model, &strategy], plan.summary(), width);
    let legend = legend(&rows, width);
    let top = heading.height();
    let body = columns.iter().map(Column::height).max().unwrap_or(0);
    let shared = rows.iter().find(|row| columns.len() > 1 && is_shared_below(row));
    let base = top + body;
    let foot = base + if shared.is_some() { PITCH } else { 0 };

    let drawn: Vec<(String, Tally)> =
        rows.iter().map(|row| (row.path.replace('.', " "), row.tally.clone())).collect();
    let mut root =
        document(width, foot + legend.height(), &format!("{model}, {strategy}"), &description(plan, &drawn));
    root.append(definitions());
    heading.draw(&mut root);
    let mut x = MARGIN;
    for column in &columns {
        column.draw(&mut root, x, base);
        x += column.width() + AISLE;
    }
    if let [encoder, decoder] = &columns[..] {
        root.append(arrow(encoder, decoder, base));
    }
    if let Some(row) = shared {
        let mut grid = Grid::of(&[row], bold_width(&row.label, TEXT) + 12);
        grid.stretch(inner + AISLE - columns.last().map_or(0, |column| column.notes));
        row.draw(&mut root, &grid, MARGIN, base + GAP, MARGIN + grid.framed() + 6);
    }
    legend.draw(&mut root, foot);
    root.to_string() + "\n"
}

/// What is drawn at one height.
struct Row {
    stack: Stack,
    place: Place,
    path: String,
    label: String,
    /// Number of its parameters, and of its layers if it shows several.
    size: String,
    layers: usize,
    parts: Vec<Part>,
    /// Of one of its layers.
    tally: Tally,
}

fn rows(levels: &[Level]) -> Vec<Row> {
    let row = |run: Run| {
        let level = &levels[run.first];
        let tally = level.tally();
        let count = count_text(tally.count);
        Row {
            stack: level.stack,
            place: level.place.clone(),
            path: run.path(levels),
            label: run.label(levels),
            size: if run.count == 1 { count } else { format!("{} \u{d7} {count}", run.count) },
            layers: run.count,
            parts: level.parts.clone(),
            tally,
        }
    };
    runs(levels, |one, other| levels[one].parts == levels[other].parts).into_iter().map(row).collect()
}

impl Row {
    fn is_layer(&self) -> bool {
        matches!(self.place, Place::Layer(_))
    }

    /// True if its box already says what its label would.
    fn is_its_only_part(&self) -> bool {
        matches!(&self.parts[..], [part] if readable(&part.name) == self.label)
    }

    /// What is to its right: learning rate and step where they are not the usual ones.
    fn note(&self) -> Vec<String> {
        let rate = self.tally.rate_text().map(|rate| format!("rate {rate}"));
        let step = self.tally.step_text().map(|step| format!("from {step}"));
        [rate, step].into_iter().flatten().collect()
    }

    /// `notes` is where its note begins.
    fn draw(&self, root: &mut Element, grid: &Grid, x: i32, y: i32, notes: i32) {
        let frame = Frame { x, y, width: grid.framed(), height: ROW_HEIGHT };
        if self.is_layer() {
            root.append(rectangle(frame, &[("fill", "#fafafa"), ("stroke", "#bbbbbb")]));
        }
        let middle = y + ROW_HEIGHT / 2;
        if !self.is_its_only_part() {
            let left = x + PADDING + 2;
            root.append(Line { bold: true, ..Line::new(left, middle - 2, &self.label) }.element());
            root.append(Line { size: 10, ..Line::new(left, middle + 10, &self.size) }.element());
        }
        let mut left = x + PADDING + grid.label;
        for slot in &grid.slots {
            let part = self.parts.iter().find(|part| part.name == slot.name);
            if let Some(part) = part {
                let frame = Frame { x: left, y: y + PADDING, width: slot.width, height: BOX_HEIGHT };
                self.draw_part(root, part, frame, slot.adapters);
            }
            left += slot.whole() + GAP;
        }
        let note = self.note();
        for (number, text) in note.iter().enumerate() {
            let line = middle + 4 - 6 * (note.len() as i32 - 1) + 12 * number as i32;
            root.append(Line::new(notes, line, text).element());
        }
    }

    fn draw_part(&self, root: &mut Element, part: &Part, frame: Frame, adapter_width: i32) {
        let path = format!("{}.{}", self.path, part.name);
        let lines = part_lines(part);
        root.append(StateBox { frame, tally: &part.own, path: &path, lines: &lines, round: false }.element());
        for (number, adapter) in part.adapters.iter().enumerate() {
            let (across, down) = (number as i32 / 2, number as i32 % 2);
            let small = Frame {
                x: frame.x + frame.width + 2 + across * (adapter_width + 2),
                y: frame.y + down * (ADAPTER_HEIGHT + 2),
                width: adapter_width,
                height: ADAPTER_HEIGHT,
            };
            let path = format!("{path}.{}.adapter", adapter.map);
            let lines = [adapter_line(adapter)];
            root.append(
                StateBox { frame: small, tally: &adapter.tally, path: &path, lines: &lines, round: true }
                    .element(),
            );
        }
    }
}

/// A part's name, and its number of parameters with the share that trains where that is not all or nothing.
fn part_lines(part: &Part) -> Vec<String> {
    let mut size = count_text(part.own.count);
    if part.own.state() == State::Partial {
        size = format!("{size}, {}", part.own.share_text());
    }
    vec![readable(&part.name), size]
}

fn adapter_line(adapter: &Adapter) -> String {
    format!("{} {}", readable(&adapter.map), count_text(adapter.tally.count))
}

/// The width of a part in all rows of a grid, and of one of its adapters.
struct Slot {
    name: String,
    width: i32,
    adapters: i32,
    /// Adapters side by side.
    across: i32,
}

impl Slot {
    fn whole(&self) -> i32 {
        self.width + self.across * (self.adapters + 2)
    }
}

/// Rows whose parts are one above the other.
struct Grid {
    label: i32,
    slots: Vec<Slot>,
}

impl Grid {
    fn of(rows: &[&Row], label: i32) -> Self {
        let mut slots: Vec<Slot> = Vec::new();
        for part in rows.iter().flat_map(|row| &row.parts) {
            let found = slots.iter().position(|slot| slot.name == part.name).unwrap_or_else(|| {
                slots.push(Slot { name: part.name.clone(), width: 0, adapters: 0, across: 0 });
                slots.len() - 1
            });
            let slot = &mut slots[found];
            slot.width = slot.width.max(box_width(&part_lines(part)));
            let adapters = part.adapters.iter().map(|adapter| box_width(&[adapter_line(adapter)]));
            slot.adapters = slot.adapters.max(adapters.max().unwrap_or(0));
            slot.across = slot.across.max(part.adapters.len().div_ceil(2) as i32);
        }
        Self { label, slots }
    }

    /// Widens its parts evenly.
    fn stretch(&mut self, width: i32) {
        let (mut extra, mut left) = ((width - self.framed()).max(0), self.slots.len() as i32);
        for slot in &mut self.slots {
            let more = extra / left;
            slot.width += more;
            (extra, left) = (extra - more, left - 1);
        }
    }

    /// Width without notes.
    fn framed(&self) -> i32 {
        let slots: i32 = self.slots.iter().map(|slot| slot.whole() + GAP).sum();
        self.label + slots - GAP + 2 * PADDING
    }
}

/// A stack of rows.
struct Column<'a> {
    title: &'static str,
    /// From the bottom to the top, each with its grid: layers share one.
    rows: Vec<(&'a Row, Grid)>,
    /// Width of the widest row without its note; all are as wide.
    framed: i32,
    notes: i32,
}

/// The only stack; or an encoder, and a decoder with what is above both.
fn columns(rows: &[Row]) -> Vec<Column<'_>> {
    let of = |stack: Stack| rows.iter().filter(move |row| row.stack == stack);
    if of(Stack::Encoder).next().is_none() || of(Stack::Decoder).next().is_none() {
        return vec![Column::new("", rows.iter().collect())];
    }
    let above = of(Stack::Common).filter(|row| !is_shared_below(row));
    vec![
        Column::new("encoder", of(Stack::Encoder).collect()),
        Column::new("decoder", of(Stack::Decoder).chain(above).collect()),
    ]
}

fn is_shared_below(row: &Row) -> bool {
    row.stack == Stack::Common && row.place == Place::Embeddings
}

impl<'a> Column<'a> {
    fn new(title: &'static str, rows: Vec<&'a Row>) -> Self {
        let label = rows.iter().map(|row| bold_width(&row.label, TEXT).max(text_width(&row.size, 10)));
        let label = label.max().unwrap_or(0) + 12;
        let notes = rows.iter().flat_map(|row| row.note()).map(|note| text_width(&note, TEXT) + 6);
        let notes = notes.max().unwrap_or(0);
        let layers: Vec<&Row> = rows.iter().copied().filter(|row| row.is_layer()).collect();
        let grid =
            |row: &'a Row| if row.is_layer() { Grid::of(&layers, label) } else { Grid::of(&[row], label) };
        let mut rows: Vec<(&Row, Grid)> = rows.iter().map(|&row| (row, grid(row))).collect();
        let framed = rows.iter().map(|(_, grid)| grid.framed()).max().unwrap_or(0);
        for (_, grid) in &mut rows {
            grid.stretch(framed);
        }
        Self { title, rows, framed, notes }
    }

    fn width(&self) -> i32 {
        self.framed + self.notes
    }

    fn height(&self) -> i32 {
        let title = if self.title.is_empty() { 0 } else { TITLE_HEIGHT };
        title + PITCH * self.rows.len() as i32
    }

    /// Draws it, with the lowest row just above `base`.
    fn draw(&self, root: &mut Element, x: i32, base: i32) {
        for (number, (row, grid)) in self.rows.iter().enumerate() {
            row.draw(root, grid, x, base - PITCH * (number as i32 + 1), x + self.framed + 6);
        }
        if !self.title.is_empty() {
            let title = Line { bold: true, size: 13, anchor: Anchor::Middle, ..Line::new(0, 0, self.title) };
            let y = base - PITCH * self.rows.len() as i32 - 6;
            root.append(Line { x: x + self.framed / 2, y, ..title }.element());
        }
    }
}

/// From the encoder's top to the decoder's layers, whose cross-attention reads it.
fn arrow(encoder: &Column, decoder: &Column, base: i32) -> Element {
    let has_note = encoder.rows.last().is_some_and(|(row, _)| !row.note().is_empty());
    let from = if has_note { encoder.width() } else { encoder.framed };
    let end = MARGIN + encoder.width() + AISLE;
    let top = base - PITCH * encoder.rows.len() as i32 + ROW_HEIGHT / 2;
    let numbered = decoder.rows.iter().enumerate();
    let layers: Vec<i32> =
        numbered.filter(|(_, (row, _))| row.is_layer()).map(|(number, _)| number as i32).collect();
    let middle = layers.iter().sum::<i32>() / layers.len().max(1) as i32;
    let aim = base - PITCH * (middle + 1) + ROW_HEIGHT / 2;
    let mut group = element("g", &[("data-path", "encoder to decoder")]);
    let turn = end - AISLE / 2;
    let line = format!("M{},{top} H{turn} V{aim} H{}", MARGIN + from + 4, end - 8);
    group.append(path(&line, "#444444", "1.5"));
    let head = format!("M{},{} L{},{aim} L{},{} Z", end - 10, aim - 5, end - 2, end - 10, aim + 5);
    group.append(element("path", &[("d", &head), ("fill", "#444444")]));
    group
}

fn legend(rows: &[Row], width: i32) -> Legend {
    let parts = || rows.iter().flat_map(|row| &row.parts);
    let adapters = || parts().flat_map(|part| &part.adapters);
    let tallies = parts().map(|part| &part.own).chain(adapters().map(|adapter| &adapter.tally));
    let states = tallies.map(Tally::state).collect();
    let mut notes = Vec::new();
    if rows.iter().any(|row| row.layers > 1) {
        notes.push("Equal layers are drawn as one; numbers in its boxes are those of one layer.".into());
    }
    if rows.iter().any(|row| !row.note().is_empty()) {
        notes.push("rate: factor on the learning rate; step: optimiser step from which it trains.".into());
    }
    Legend::new(states, adapters().next().is_some(), notes, width)
}
