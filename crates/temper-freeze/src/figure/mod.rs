//! A plan as a figure: what trains and what is frozen, layer by layer, as self-contained SVG.
//!
//! Drawn only from the rows of a plan: their paths, counts, rates and steps. Without fonts, scripts and style sheets, so
//! that a page can include a figure unchanged. Colours also differ in lightness and hatching, for print and for readers
//! who cannot distinguish some colours.

mod canvas;
mod comparison;
mod drawing;
mod outline;
mod plan;
mod tally;
mod words;

pub(crate) use outline::parts_of;

pub use comparison::comparison_figure;
pub use plan::plan_figure;
pub use words::{count_text, percent_text};

#[cfg(test)]
mod tests;
