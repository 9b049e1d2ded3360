//! SVG elements: rectangles, text and lines at whole pixels.

use svg::node::Node;
use svg::node::Text;
use svg::node::element::Element;

/// Size of most text.
pub(super) const TEXT: i32 = 11;

const INK: &str = "#222222";

/// A rectangle's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// How text is aligned to its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
}

/// Text in one line; `y` is its base line.
pub(super) struct Line<'a> {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) size: i32,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    pub(super) colour: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    /// Plain text that begins at a point.
    pub(super) fn new(x: i32, y: i32, text: &'a str) -> Self {
        Self { x, y, size: TEXT, anchor: Anchor::Start, bold: false, colour: INK, text }
    }

    pub(super) fn element(&self) -> Element {
        let anchor = match self.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
        };
        let mut element = element("text", &[("fill", self.colour), ("text-anchor", anchor)]);
        set(&mut element, &[("x", self.x), ("y", self.y), ("font-size", self.size)]);
        if self.bold {
            element.assign("font-weight", "bold");
        }
        element.append(Text::new(written(self.text)));
        element
    }
}

/// About the width of a text in common sans-serif fonts, rather more than less: letters and digits are 0.5
/// to 0.56 of the size wide in Helvetica and Arial, 0.6 in DejaVu Sans.
pub(super) fn text_width(text: &str, size: i32) -> i32 {
    (text.chars().count() as i32 * size * 6 + 9) / 10
}

/// As [`text_width`], for bold text.
pub(super) fn bold_width(text: &str, size: i32) -> i32 {
    (text.chars().count() as i32 * size * 7 + 9) / 10
}

/// The outermost element: white, with a title and a description for those who cannot see it.
pub(super) fn document(width: i32, height: i32, title: &str, description: &str) -> Element {
    let size = format!("0 0 {width} {height}");
    let mut root = element(
        "svg",
        &[
            ("xmlns", "http://www.w3.org/2000/svg"),
            ("viewBox", &size),
            ("role", "img"),
            ("font-family", "Helvetica, Arial, sans-serif"),
        ],
    );
    set(&mut root, &[("width", width), ("height", height)]);
    for (name, text) in [("title", title), ("desc", description)] {
        root.append(with_text(name, text));
    }
    root.append(rectangle(Frame { x: 0, y: 0, width, height }, &[("fill", "#ffffff")]));
    root
}

/// A group with the text that is shown where the pointer rests on it.
pub(super) fn group(tooltip: &str, attributes: &[(&str, &str)]) -> Element {
    let mut group = element("g", attributes);
    group.append(with_text("title", tooltip));
    group
}

pub(super) fn rectangle(frame: Frame, attributes: &[(&str, &str)]) -> Element {
    let mut element = element("rect", attributes);
    let Frame { x, y, width, height } = frame;
    set(&mut element, &[("x", x), ("y", y), ("width", width), ("height", height)]);
    element
}

/// Strokes without filling.
pub(super) fn path(d: &str, colour: &str, width: &str) -> Element {
    element("path", &[("d", d), ("stroke", colour), ("stroke-width", width), ("fill", "none")])
}

pub(super) fn element(name: &str, attributes: &[(&str, &str)]) -> Element {
    let mut element = Element::new(name);
    for (name, value) in attributes {
        element.assign(*name, written(value));
    }
    element
}

fn set(element: &mut Element, numbers: &[(&str, i32)]) {
    for (name, number) in numbers {
        element.assign(*name, number.to_string());
    }
}

fn with_text(name: &str, text: &str) -> Element {
    let mut element = Element::new(name);
    element.append(Text::new(written(text)));
    element
}

/// The crate svg escapes markup; XML has no way to write most control characters.
fn written(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
