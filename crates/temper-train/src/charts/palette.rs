//! Colours of charts and pages, for light and for dark grounds.
//!
//! The series begin with blue and orange, which eyes that miss a colour tell apart; each has a contrast of at least
//! 4.5 to its ground (WCAG 2, AA).

/// A colour by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    /// What style sheets call it.
    pub(crate) name: &'static str,
    pub(crate) light: &'static str,
    dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// Of text.
pub(crate) const INK: Colour = colour("ink", "#1f2328", "#e6edf3");
/// Of what matters less.
pub(crate) const MUTED: Colour = colour("muted", "#59636e", "#9aa4af");
/// Of grids and frames.
pub(crate) const GRID: Colour = colour("grid", "#d4dae0", "#3a424b");
/// Behind everything.
pub(crate) const GROUND: Colour = colour("ground", "#ffffff", "#0f141a");
/// Of cards on the ground.
const CARD: Colour = colour("card", "#f6f8fa", "#181f27");
/// Of lines and points.
pub(crate) const SERIES: [Colour; 6] = [
    colour("blue", "#0b5fa5", "#79c0ff"),
    colour("orange", "#a85500", "#ffa657"),
    colour("green", "#1a7f37", "#7ee787"),
    colour("violet", "#8250df", "#d2a8ff"),
    colour("red", "#b3263f", "#ff9ca8"),
    colour("teal", "#006d75", "#5fd7e0"),
];

const ROLES: [Colour; 5] = [INK, MUTED, GRID, GROUND, CARD];

fn all() -> impl Iterator<Item = Colour> {
    ROLES.into_iter().chain(SERIES)
}

/// Every colour as a variable of style sheets, `--ink` and so on; dark ones on screens that ask for them.
pub(crate) fn variables() -> String {
    let list = |value: fn(Colour) -> &'static str| -> String {
        all().map(|colour| format!("--{}:{};", colour.name, value(colour))).collect()
    };
    format!(
        ":root{{{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        list(|colour| colour.light),
        list(|colour| colour.dark)
    )
}

/// The rules that turn a chart dark where the reader's screen is. Its elements have the light colours as attributes,
/// for programs that know no style sheets.
pub(crate) fn dark_rules() -> String {
    let rule = |colour: Colour| {
        let Colour { name, dark, .. } = colour;
        format!(".f-{name}{{fill:{dark}}}.s-{name}{{stroke:{dark}}}")
    };
    let rules: String = all().map(rule).collect();
    format!("@media screen and (prefers-color-scheme:dark){{{rules}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2 defines it.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_and_lines_can_be_told_from_their_ground() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        for colour in [INK, MUTED].into_iter().chain(SERIES) {
            for ground in [GROUND, CARD] {
                for (colour, ground) in [(colour.light, ground.light), (colour.dark, ground.dark)] {
                    assert!(contrast(colour, ground) >= 4.5, "{colour} on {ground}");
                }
            }
        }
    }
}
