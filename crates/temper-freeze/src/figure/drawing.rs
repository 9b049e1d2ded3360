//! What both figures are drawn of: boxes in the colour of their state, a heading, a legend.

use svg::node::Node;
use svg::node::element::Element;

use super::canvas::{Anchor, Frame, Line, TEXT, bold_width, element, group, path, rectangle, text_width};
use super::tally::{State, Tally};
use super::words::wrap;
use crate::FreezePlan;

/// Space around a figure.
pub(super) const MARGIN: i32 = 16;

const TITLE: i32 = 16;
const TITLE_LINES: usize = 3;
const SMALL: i32 = 10;
/// From one base line to the next in a box.
const LEADING: i32 = 12;
const HATCH: &str = "temper-frozen";
/// Of the legend's samples.
const SAMPLE: i32 = 22;

/// Fill, outline, dashes and text of a state. Okabe and Ito's blue and orange, distinguished by eyes that
/// miss a colour; dark, light, dashed and hatched, distinguished without any.
fn colours(state: State) -> [(&'static str, &'static str); 4] {
    let (fill, stroke, dashes, text) = match state {
        State::Trained => ("#0b5fa5", "#083d6b", "none", "#ffffff"),
        State::Later => ("#9dcbee", "#0b5fa5", "none", "#111111"),
        State::Partial => ("#fff4dc", "#a85500", "4 2", "#222222"),
        State::Frozen => ("url(#temper-frozen)", "#999999", "none", "#333333"),
    };
    [("fill", fill), ("stroke", stroke), ("stroke-dasharray", dashes), ("text", text)]
}

/// A box with text in its middle.
pub(super) struct StateBox<'a> {
    pub(super) frame: Frame,
    pub(super) tally: &'a Tally,
    /// Path of what it shows.
    pub(super) path: &'a str,
    pub(super) lines: &'a [String],
    /// Round corners mark an adapter.
    pub(super) round: bool,
}

impl StateBox<'_> {
    pub(super) fn element(&self) -> Element {
        let state = self.tally.state();
        let tooltip = format!("{}: {}", self.path, self.tally.sentence());
        let mut drawn = group(&tooltip, &[("data-path", self.path), ("data-state", state.name())]);
        filled(&mut drawn, self.frame, state, self.tally, self.round);
        let Frame { x, y, width, height } = self.frame;
        // The base line of the first of the lines, which are around the box's middle, but above the bar.
        let bar = if state == State::Partial { 1 } else { 0 };
        let first = y + height / 2 + 4 - bar - LEADING * (self.lines.len() as i32 - 1) / 2;
        for (number, text) in self.lines.iter().enumerate() {
            let line = Line {
                size: if number == 0 && !self.round { TEXT } else { SMALL },
                anchor: Anchor::Middle,
                colour: colours(state)[3].1,
                ..Line::new(x + width / 2, first + LEADING * number as i32, text)
            };
            drawn.append(line.element());
        }
        drawn
    }
}

/// The box itself; a bar at its foot shows the share of what trains in part.
fn filled(drawn: &mut Element, frame: Frame, state: State, tally: &Tally, round: bool) {
    let corner = if round { "7" } else { "2" };
    let mut shape = rectangle(frame, &colours(state)[..3]);
    shape.assign("rx", corner);
    drawn.append(shape);
    if state == State::Partial {
        let share = tally.trained as f64 / tally.count.max(1) as f64;
        let width = ((frame.width - 4) as f64 * share).round().max(2.0) as i32;
        let bar = Frame { x: frame.x + 2, y: frame.y + frame.height - 3, width, height: 2 };
        drawn.append(rectangle(bar, &[("fill", "#c96a00")]));
    }
}

/// About the width that a box needs for its text.
pub(super) fn box_width(lines: &[String]) -> i32 {
    lines.iter().map(|line| text_width(line, TEXT)).max().unwrap_or(0) + 8
}

/// The pattern that fills what is frozen.
pub(super) fn definitions() -> Element {
    let mut pattern = element(
        "pattern",
        &[("id", HATCH), ("patternUnits", "userSpaceOnUse"), ("width", "6"), ("height", "6")],
    );
    let ground = Frame { x: 0, y: 0, width: 6, height: 6 };
    pattern.append(rectangle(ground, &[("fill", "#f3f3f3")]));
    pattern.append(path("M-1,1 L1,-1 M0,6 L6,0 M5,7 L7,5", "#cfcfcf", "1"));
    let mut definitions = Element::new("defs");
    definitions.append(pattern);
    definitions
}

/// Title and totals above a figure.
pub(super) struct Heading {
    title: Vec<String>,
    below: String,
}

impl Heading {
    pub(super) fn new(titles: &[&str], below: String, width: i32) -> Self {
        let characters = (width - 2 * MARGIN) * 10 / bold_width("nnnnnnnnnn", TITLE);
        let lines = |title: &&str| wrap(title, characters as usize, TITLE_LINES);
        Self { title: titles.iter().flat_map(lines).collect(), below }
    }

    pub(super) fn height(&self) -> i32 {
        MARGIN + 20 * self.title.len() as i32 + 18 + 8
    }

    pub(super) fn draw(&self, root: &mut Element) {
        for (number, text) in self.title.iter().enumerate() {
            let y = MARGIN + 14 + 20 * number as i32;
            root.append(Line { size: TITLE, bold: true, ..Line::new(MARGIN, y, text) }.element());
        }
        let y = MARGIN + 14 + 20 * self.title.len() as i32;
        root.append(Line { size: 12, ..Line::new(MARGIN, y, &self.below) }.element());
    }
}

/// Samples of the states in a figure with what they mean, in as many lines as the width asks for.
pub(super) struct Legend {
    /// State, meaning, place.
    samples: Vec<(Option<State>, String, i32, i32)>,
    notes: Vec<String>,
    lines: i32,
}

impl Legend {
    /// `notes` are lines of text below the samples.
    pub(super) fn new(mut states: Vec<State>, adapters: bool, notes: Vec<String>, width: i32) -> Self {
        states.extend([State::Trained, State::Frozen]);
        states.sort_unstable();
        states.dedup();
        let states = states.into_iter().map(|state| (Some(state), state.meaning().to_owned()));
        let adapter = adapters.then(|| (None, "adapter next to its map".to_owned()));
        let (mut x, mut line) = (MARGIN, 0);
        let mut samples = Vec::new();
        for (state, meaning) in states.chain(adapter) {
            let wide = SAMPLE + 6 + text_width(&meaning, TEXT) + 14;
            if x > MARGIN && x + wide > width {
                (x, line) = (MARGIN, line + 1);
            }
            samples.push((state, meaning, x, line));
            x += wide;
        }
        Self { samples, notes, lines: line + 1 }
    }

    pub(super) fn height(&self) -> i32 {
        8 + 20 * self.lines + 15 * self.notes.len() as i32 + MARGIN
    }

    pub(super) fn draw(&self, root: &mut Element, top: i32) {
        for (state, meaning, x, line) in &self.samples {
            let frame = Frame { x: *x, y: top + 8 + 20 * line, width: SAMPLE, height: 14 };
            let mut drawn = element("g", &[("data-legend", state.map_or("adapter", State::name))]);
            match state {
                Some(state) => filled(&mut drawn, frame, *state, &half(), false),
                None => filled(&mut drawn, frame, State::Trained, &half(), true),
            }
            drawn.append(Line::new(x + SAMPLE + 6, frame.y + 11, meaning).element());
            root.append(drawn);
        }
        for (number, note) in self.notes.iter().enumerate() {
            let y = top + 8 + 20 * self.lines + 11 + 15 * number as i32;
            root.append(Line { size: SMALL, ..Line::new(MARGIN, y, note) }.element());
        }
    }
}

/// What the legend's sample of a part that trains in part shows.
fn half() -> Tally {
    Tally { count: 2, trained: 1, ..Tally::default() }
}

/// The description for those who cannot see a figure: which part does what.
pub(super) fn description(plan: &FreezePlan, drawn: &[(String, Tally)]) -> String {
    let parts: Vec<String> =
        drawn.iter().map(|(name, tally)| format!("{name}: {} trains", tally.share_text())).collect();
    format!("{}. From the bottom to the top: {}.", plan.summary(), parts.join("; "))
}
