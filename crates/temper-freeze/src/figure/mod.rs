//! A plan as a figure: what trains and what is frozen, layer by layer, as self-contained SVG.
//!
//! Drawn from the rows of a plan alone: their paths, counts, rates and steps. No fonts, scripts or
//! style sheets, so that a figure can stand in a page as it is. Colours differ in lightness and by
//! hatching, too, for print and for eyes that see fewer colours.

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

#[cfg(test)]
mod tests;
