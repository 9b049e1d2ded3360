//! SVG elements as text: lines, shapes, words.

use std::fmt::Write;

use super::palette::{Colour, GROUND, INK, MUTED};

/// Size of most text, in the units of the figure.
const TEXT: f64 = 12.0;

/// Which part of a text is at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Words at a point, which is on their base line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) at: (f64, f64),
    pub(crate) text: &'a str,
    pub(crate) anchor: Anchor,
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) colour: Colour,
}

impl<'a> Label<'a> {
    /// Plain text that begins at a point.
    pub(crate) fn new(x: f64, y: f64, text: &'a str) -> Self {
        Self { at: (x, y), text, anchor: Anchor::Start, size: TEXT, bold: false, colour: INK }
    }

    /// Small text that matters less, such as the numbers of an axis.
    pub(crate) fn small(x: f64, y: f64, text: &'a str) -> Self {
        Self::new(x, y, text).sized(11.0).coloured(MUTED)
    }

    pub(crate) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(crate) fn coloured(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    pub(crate) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(crate) fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }
}

/// A stroke.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) colour: Colour,
    pub(crate) width: f64,
    /// Lengths of dashes and gaps; empty for none.
    pub(crate) dashes: &'static str,
}

impl Line {
    pub(crate) fn new(colour: Colour, width: f64) -> Self {
        Self { colour, width, dashes: "" }
    }

    fn attributes(self) -> String {
        let Self { colour, width, dashes } = self;
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        format!("class=\"s-{}\" stroke=\"{}\" stroke-width=\"{width}\"{dashes}", colour.name, colour.light)
    }
}

/// What a figure says to readers who cannot see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caption<'a> {
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    /// Language of both, and of the words in the figure: `en`, `zh-TW`.
    pub(crate) language: &'a str,
}

/// A figure that is being drawn.
pub(crate) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(crate) fn text(&mut self, label: Label<'_>) {
        let Label { at: (x, y), text, anchor, size, bold, colour } = label;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let _ = write!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{size}\" text-anchor=\"{anchor}\" class=\"f-{}\" fill=\"{}\"{weight}>{}</text>",
            short(x),
            short(y),
            colour.name,
            colour.light,
            escape(text)
        );
    }

    /// Text that reads upwards, with its middle at a point.
    pub(crate) fn upright(&mut self, label: Label<'_>) {
        let (x, y) = label.at;
        let _ = write!(self.body, "<g transform=\"translate({} {}) rotate(-90)\">", short(x), short(y));
        self.text(Label { at: (0.0, 0.0), anchor: Anchor::Middle, ..label });
        self.body += "</g>";
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), line: Line) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(short);
        let _ = write!(
            self.body,
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {}/>",
            line.attributes()
        );
    }

    /// A line through points.
    pub(crate) fn path(&mut self, points: impl Iterator<Item = (f64, f64)>, line: Line) {
        let points: Vec<String> = points.map(|(x, y)| format!("{},{}", short(x), short(y))).collect();
        let _ = write!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke-linejoin=\"round\" {}/>",
            points.join(" "),
            line.attributes()
        );
    }

    /// A filled rectangle; `tooltip` is shown where the pointer rests on it.
    pub(crate) fn bar(&mut self, at: (f64, f64), size: (f64, f64), colour: Colour, tooltip: &str) {
        self.filled((at, size), colour, "", tooltip);
    }

    /// A rectangle that lets its ground through, the more the lower `share` is.
    pub(crate) fn shade(
        &mut self,
        at: (f64, f64),
        size: (f64, f64),
        (colour, share): (Colour, f64),
        tooltip: &str,
    ) {
        self.filled((at, size), colour, &format!(" fill-opacity=\"{share:.2}\""), tooltip);
    }

    fn filled(
        &mut self,
        (at, size): ((f64, f64), (f64, f64)),
        colour: Colour,
        attributes: &str,
        tooltip: &str,
    ) {
        let [x, y, width, height] = [at.0, at.1, size.0, size.1].map(short);
        let _ = write!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"f-{}\" fill=\"{}\"{attributes}><title>{}</title></rect>",
            colour.name,
            colour.light,
            escape(tooltip)
        );
    }

    /// An empty rectangle.
    pub(crate) fn frame(&mut self, at: (f64, f64), size: (f64, f64), line: Line) {
        let [x, y, width, height] = [at.0, at.1, size.0, size.1].map(short);
        let _ = write!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"none\" {}/>",
            line.attributes()
        );
    }

    /// A point; `shape` is one of four that differ without colour, too.
    pub(crate) fn point(&mut self, (x, y): (f64, f64), radius: f64, colour: Colour, shape: usize) {
        let fill = format!("class=\"f-{}\" fill=\"{}\"", colour.name, colour.light);
        let r = radius;
        let corners = |corners: &[(f64, f64)]| {
            let corners: Vec<String> = corners
                .iter()
                .map(|(dx, dy)| format!("{},{}", short(x + dx * r), short(y + dy * r)))
                .collect();
            format!("<polygon points=\"{}\" {fill}/>", corners.join(" "))
        };
        self.body += &match shape % 4 {
            0 => format!("<circle cx=\"{}\" cy=\"{}\" r=\"{r}\" {fill}/>", short(x), short(y)),
            1 => corners(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => corners(&[(0.0, -1.2), (1.1, 0.9), (-1.1, 0.9)]),
            _ => corners(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        };
    }

    /// The figure as an element of a page; `attributes` are added to the outermost element unchanged.
    pub(crate) fn element(self, title: &str, attributes: &str) -> String {
        self.outermost(title, attributes, "")
    }

    /// The figure as a file of its own, which follows the reader's screen in being light or dark.
    pub(crate) fn document(self, caption: Caption<'_>) -> String {
        let Caption { title, description, language } = caption;
        let ground = format!(
            "<desc>{}</desc><style>{}</style><rect width=\"{}\" height=\"{}\" class=\"f-{}\" fill=\"{}\"/>",
            escape(description),
            super::dark_rules(),
            self.width,
            self.height,
            GROUND.name,
            GROUND.light
        );
        let size = format!(
            "xmlns=\"http://www.w3.org/2000/svg\" lang=\"{language}\" width=\"{}\" height=\"{}\"",
            self.width, self.height
        );
        self.outermost(title, &size, &ground) + "\n"
    }

    fn outermost(self, title: &str, attributes: &str, ground: &str) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\" {attributes}><title>{}</title>{ground}{body}</svg>",
            escape(title)
        )
    }
}

/// About the width of a text in common sans-serif fonts, rather more than less: letters and digits are 0.5 to 0.56 of
/// the size wide in Helvetica and Arial, 0.6 in DejaVu Sans; Chinese characters are squares.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let squares = text.chars().filter(|character| is_square(*character)).count();
    let others = text.chars().count() - squares;
    others as f64 * size * 0.6 + squares as f64 * size
}

/// Whether a character is one of those of East Asia that are as wide as high: from the radicals to the compatibility
/// forms, and the full-width forms (Unicode, East Asian Width).
fn is_square(character: char) -> bool {
    matches!(character, '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}')
}

/// A text in lines of at most so many characters, broken between words; a word that is longer is broken itself.
pub(crate) fn wrap(text: &str, characters: usize) -> Vec<String> {
    let most = characters.max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for (part, piece) in letters.chunks(most).enumerate() {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if part == 0 && line.chars().count() + 1 + piece.chars().count() <= most => {
                    *line += &format!(" {piece}");
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// A text in lines of at most this width: broken between words, and after characters of East Asia, but not before marks.
pub(crate) fn fitted(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for character in text.chars() {
        let is_mark = "，。；：、！？）」".contains(character);
        let joins = pieces.last().and_then(|piece| piece.chars().last()).is_some_and(|last| {
            is_mark || !(is_square(character) || is_square(last) || last.is_whitespace())
        });
        match pieces.last_mut() {
            Some(piece) if joins => piece.push(character),
            _ => pieces.push(character.into()),
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if text_width((line.clone() + &piece).trim_end(), size) <= width => *line += &piece,
            _ => lines.push(piece),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A text as markup shows it. Control characters, which XML cannot write, become U+FFFD; white space stays.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(character),
            character if character.is_control() => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A coordinate with one digit behind the point.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<script>&\"'"), "&lt;script&gt;&amp;&quot;&#39;");
        assert_eq!(escape("a\u{0}b\tc\u{1b}"), "a\u{fffd}b\tc\u{fffd}");
    }

    #[test]
    fn lines_are_broken_between_words_if_possible() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 5), ["abcde", "fgh", "ij"]);
        assert!(wrap(" ", 5).is_empty());
        assert_eq!(fitted("one two three", 10.0, 45.0), ["one two", "three"]);
        assert_eq!(fitted("以注意力，取代", 10.0, 40.0), ["以注意", "力，取代"]);
    }
}
