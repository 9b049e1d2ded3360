//! Reads a figure back, with the parser of the crate svg.

use svg::node::Attributes;
use svg::node::element::tag::Type;
use svg::parser::Event;

use crate::figure::canvas::Frame;

/// A box of a figure with the text in it.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) path: String,
    pub(super) state: String,
    pub(super) frame: Frame,
    pub(super) texts: Vec<String>,
}

/// A figure, read.
pub(super) struct Figure {
    pub(super) size: Frame,
    pub(super) boxes: Vec<Drawn>,
    pub(super) legend: Vec<String>,
    pub(super) title: String,
    pub(super) description: String,
    /// All other text, with its size and place.
    pub(super) texts: Vec<(String, Frame)>,
}

fn attribute<'a>(attributes: &'a Attributes, name: &str) -> &'a str {
    attributes.get(name).map_or("", |value| &**value)
}

fn number(attributes: &Attributes, name: &str) -> i32 {
    attribute(attributes, name).parse().unwrap_or_else(|_| panic!("{name} is no whole number"))
}

fn frame(attributes: &Attributes) -> Frame {
    let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| number(attributes, name));
    Frame { x, y, width, height }
}

/// A text's frame if letters are half as wide as high, a little less than they are.
fn text_frame(attributes: &Attributes, text: &str) -> Frame {
    let [x, y, size] = ["x", "y", "font-size"].map(|name| number(attributes, name));
    let width = text.chars().count() as i32 * size / 2;
    let left = match attribute(attributes, "text-anchor") {
        "middle" => x - width / 2,
        _ => x,
    };
    Frame { x: left, y: y - size, width, height: size }
}

/// Reads a figure.
pub(super) fn read(svg: &str) -> Figure {
    let size = Frame { x: 0, y: 0, width: 0, height: 0 };
    let (boxes, legend, texts) = (Vec::new(), Vec::new(), Vec::new());
    let (title, description) = (String::new(), String::new());
    let mut figure = Figure { size, boxes, legend, title, description, texts };
    let mut open: Vec<(String, Attributes)> = Vec::new();
    for event in svg::read(svg).expect("SVG") {
        match event {
            Event::Tag(name, Type::End, _) => {
                assert_eq!(open.pop().expect("an open element").0, name);
            }
            Event::Tag(name, kind, attributes) => {
                if name == "svg" {
                    figure.size.width = number(&attributes, "width");
                    figure.size.height = number(&attributes, "height");
                }
                figure.enter(name, &attributes, &open);
                if matches!(kind, Type::Start) {
                    open.push((name.into(), attributes));
                }
            }
            Event::Text(text) => figure.text(text.trim(), &open),
            Event::Error(error) => panic!("{error}"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    figure
}

impl Figure {
    fn enter(&mut self, name: &str, attributes: &Attributes, open: &[(String, Attributes)]) {
        let state = attribute(attributes, "data-state");
        if !state.is_empty() {
            let path = attribute(attributes, "data-path").to_owned();
            let frame = Frame { x: 0, y: 0, width: 0, height: 0 };
            self.boxes.push(Drawn { path, state: state.into(), frame, texts: Vec::new() });
        }
        if let Some(sample) = attributes.get("data-legend") {
            self.legend.push(sample.to_string());
        }
        let in_box = open.last().is_some_and(|(_, around)| around.contains_key("data-state"));
        if let Some(last) =
            self.boxes.last_mut().filter(|last| in_box && name == "rect" && last.frame.width == 0)
        {
            last.frame = frame(attributes);
        }
    }

    fn text(&mut self, text: &str, open: &[(String, Attributes)]) {
        let names: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
        match names[..] {
            ["svg", "title"] => self.title = text.into(),
            ["svg", "desc"] => self.description = text.into(),
            ["svg", "g", "text"] if open[1].1.contains_key("data-state") => {
                let last = self.boxes.last_mut().expect("a box");
                last.texts.push(text.into());
                let (around, within) = (last.frame, text_frame(&open[2].1, text));
                assert!(around.holds(within), "{text} is wider than {}", last.path);
            }
            [.., "text"] => {
                let (_, attributes) = open.last().expect("an element");
                self.texts.push((text.into(), text_frame(attributes, text)));
            }
            _ => {}
        }
    }

    /// The state of a box.
    pub(super) fn state(&self, path: &str) -> &str {
        &self.found(path).state
    }

    pub(super) fn found(&self, path: &str) -> &Drawn {
        let found = self.boxes.iter().find(|drawn| drawn.path == path);
        found.unwrap_or_else(|| panic!("no {path} in {:?}", self.boxes))
    }

    pub(super) fn says(&self, text: &str) -> bool {
        self.texts.iter().any(|(found, _)| found == text)
    }

    /// Every box and every text is on the page, no box on another one.
    pub(super) fn assert_tidy(&self) {
        for drawn in &self.boxes {
            assert!(self.size.holds(drawn.frame), "{drawn:?} is not within {:?}", self.size);
        }
        for (text, place) in &self.texts {
            assert!(self.size.holds(*place), "{text} at {place:?} is not within {:?}", self.size);
            let hit = self.boxes.iter().find(|drawn| drawn.frame.meets(*place));
            assert!(hit.is_none(), "{text} lies on {hit:?}");
        }
        for (number, one) in self.boxes.iter().enumerate() {
            let hit = self.boxes[..number].iter().find(|other| other.frame.meets(one.frame));
            assert!(hit.is_none(), "{one:?} lies on {hit:?}");
        }
        for (number, (text, place)) in self.texts.iter().enumerate() {
            let hit = self.texts[..number].iter().find(|(_, other)| other.meets(*place));
            assert!(hit.is_none(), "{text} lies on {hit:?}");
        }
    }
}

impl Frame {
    fn holds(self, other: Self) -> bool {
        other.x >= self.x
            && other.y >= self.y
            && other.x + other.width <= self.x + self.width
            && other.y + other.height <= self.y + self.height
    }

    fn meets(self, other: Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}
