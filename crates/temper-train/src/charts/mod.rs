//! Charts as SVG: for report.html and compare.svg. They are drawn without scripts, fonts or style sheets of elsewhere.

mod canvas;
#[cfg(test)]
mod inside;
mod lines;
mod numbers;
mod palette;
mod scale;

pub(crate) use canvas::{Anchor, Canvas, Caption, Label, Line, escape, fitted, text_width, wrap};
#[cfg(test)]
pub(crate) use inside::assert_inside;
pub(crate) use lines::{LineChart, Mark, Series};
pub(crate) use numbers::{change_text, grouped};
pub(crate) use palette::{Colour, GRID, GROUND, MUTED, SERIES, dark_rules, variables};
pub(crate) use scale::{Scale, number_text};
