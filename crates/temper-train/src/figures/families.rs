//! The families of models as a time line and a tree.

use burn::tensor::Device;
use serde::Deserialize;
use serde_json::{Map, Value};
use temper_freeze::{count_text, layer_count};
use temper_models::{Backbone, Model, ModelConfig, ModelError};

use super::language::{Language, Word};
use crate::TrainError;
use crate::charts::{Anchor, Canvas, Caption, Colour, GRID, Label, Line, MUTED, SERIES, fitted};

const TABLE: &str = include_str!("families.toml");

const WIDTH: f64 = 868.0;
const MARGIN: f64 = 16.0;
/// Left of the first column: years.
const YEARS: f64 = 52.0;
const BOX: (f64, f64) = (232.0, 88.0);
/// Between columns; the lines of the tree are there.
const GAP: f64 = 42.0;
const PITCH: f64 = BOX.1 + 12.0;
const TOP: f64 = 88.0;

/// The part of the Transformer that a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Encoder,
    Both,
    Decoder,
}

impl Kind {
    fn column(self) -> usize {
        self as usize
    }

    fn word(self) -> Word {
        match self {
            Self::Encoder => Word::Encoder,
            Self::Both => Word::EncoderAndDecoder,
            Self::Decoder => Word::Decoder,
        }
    }

    fn colour(self) -> Colour {
        SERIES[[0, 2, 1][self.column()]]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NormPlace {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Positions {
    Learned,
    Rotary,
    Alibi,
    Relative,
    Sinusoidal,
}

impl Positions {
    fn word(self) -> Word {
        match self {
            Self::Learned => Word::Learned,
            Self::Rotary => Word::Rotary,
            Self::Alibi => Word::Alibi,
            Self::Relative => Word::Relative,
            Self::Sinusoidal => Word::Sinusoidal,
        }
    }
}

/// A row of families.toml.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    name: String,
    /// Year and month of its paper or release.
    date: String,
    kind: Kind,
    /// The family that it was made from.
    parent: Option<String>,
    /// Its name in config.json; none where there is no model to load.
    model_type: Option<String>,
    /// The checkpoint whose sizes are shown.
    checkpoint: Option<String>,
    /// What that checkpoint's configuration has other than the defaults.
    #[serde(default)]
    config: Map<String, Value>,
    paper: String,
    norm: Option<NormPlace>,
    positions: Option<Positions>,
    activation: Option<String>,
    /// What is new, in English and in Traditional Chinese.
    change: [String; 2],
}

#[derive(Deserialize)]
struct Table {
    family: Vec<Family>,
}

/// Sizes of a checkpoint, counted in a model of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    layers: usize,
    width: usize,
    parameters: usize,
}

impl Family {
    fn year(&self) -> &str {
        self.date.split('-').next().unwrap_or_default()
    }

    fn is_from(&self, other: &Self) -> bool {
        self.parent.as_ref() == Some(&other.name)
    }

    fn outline(&self, device: &Device) -> Result<Option<Model>, ModelError> {
        let Some(model_type) = &self.model_type else { return Ok(None) };
        let mut raw = self.config.clone();
        raw.insert("model_type".into(), model_type.as_str().into());
        // T5 has no default for the token that decoding begins with.
        raw.insert("decoder_start_token_id".into(), 0.into());
        let config = ModelConfig::parse(&Value::Object(raw).to_string())?;
        Ok(Some(Model::outline(&config, device)))
    }

    fn sizes(&self, device: &Device) -> Result<Option<Sizes>, ModelError> {
        let sizes = |model: Model| {
            let table = model.parameters();
            Sizes {
                // Layers that share their weights count as often as they run.
                layers: model.backbone.layer_count().max(layer_count(&table)),
                width: model.backbone.hidden_size(),
                parameters: table.total(),
            }
        };
        Ok(self.outline(device)?.map(sizes))
    }
}

/// A family with its place in the figure.
struct Placed {
    family: Family,
    sizes: Option<Sizes>,
    row: usize,
}

impl Placed {
    fn at(&self) -> (f64, f64) {
        (column_left(self.family.kind.column()), TOP + PITCH * self.row as f64)
    }

    fn middle(&self) -> f64 {
        self.at().1 + BOX.1 / 2.0
    }

    /// Its sizes in words.
    fn facts(&self, language: Language) -> String {
        match self.sizes {
            Some(Sizes { layers, width, parameters }) => {
                let layers = match language {
                    Language::English => format!("{layers} layers"),
                    Language::TraditionalChinese => format!("{layers} 層"),
                };
                format!("{layers} \u{d7} {width}{}{}", language.comma(), count_text(parameters))
            }
            None if self.family.name == "Transformer" => String::new(),
            None => language.word(Word::NotPublished).to_owned(),
        }
    }

    /// Its norms, positions and activation in words.
    fn wiring(&self, language: Language) -> String {
        let norm = self.family.norm.map(|norm| match norm {
            NormPlace::Before => language.word(Word::NormBefore),
            NormPlace::After => language.word(Word::NormAfter),
        });
        let positions = self.family.positions.map(|positions| language.word(positions.word()));
        let parts = [norm, positions, self.family.activation.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(language.comma())
    }

    fn change(&self, language: Language) -> &str {
        language.pick(&self.family.change[0], &self.family.change[1])
    }
}

/// The time line and tree as an SVG document.
///
/// # Errors
/// [`TrainError::Model`] where a family does not read its row of the table.
pub(crate) fn draw(language: Language, device: &Device) -> Result<String, TrainError> {
    let placed = placed(device)?;
    let rows = placed.iter().map(|family| family.row + 1).max().unwrap_or(0);
    let mut canvas = Canvas::new(WIDTH, TOP + PITCH * rows as f64 + MARGIN);
    let title = language.word(Word::TimeLine);
    canvas.text(Label::new(MARGIN, 30.0, title).sized(16.0).bold());
    for kind in [Kind::Encoder, Kind::Both, Kind::Decoder] {
        let middle = column_left(kind.column()) + BOX.0 / 2.0;
        let label = Label::new(middle, TOP - 16.0, language.word(kind.word())).sized(13.0).bold();
        canvas.text(label.anchored(Anchor::Middle).coloured(kind.colour()));
    }
    years(&mut canvas, &placed);
    for (number, parent) in placed.iter().enumerate() {
        // Each family has a line of its own to those in its column.
        let lane =
            placed[..number].iter().filter(|other| has_line(other, &placed, parent.family.kind)).count();
        for child in placed.iter().filter(|child| child.family.is_from(&parent.family)) {
            edge(&mut canvas, (parent, lane), child);
        }
    }
    placed.iter().for_each(|family| family_box(&mut canvas, family, language));
    let description: Vec<String> = placed.iter().map(|family| described(family, language)).collect();
    let end = language.pick(". ", "。");
    let caption = Caption { title, description: &description.join(end), language: language.tag() };
    Ok(canvas.document(caption))
}

fn families() -> Vec<Family> {
    let table: Result<Table, _> = toml::from_str(TABLE);
    // Built in, and read by the tests.
    table.map(|table| table.family).unwrap_or_default()
}

/// From the top to the bottom by date; a row may hold one of each column, of the same year.
fn placed(device: &Device) -> Result<Vec<Placed>, TrainError> {
    let mut families = families();
    families.sort_by(|one, other| one.date.cmp(&other.date));
    let (mut free, mut last) = ([0; 3], 0);
    let mut placed: Vec<Placed> = Vec::new();
    for family in families {
        let column = family.kind.column();
        let begins_year = placed.last().is_some_and(|before| before.family.year() != family.year());
        last = free[column].max(last + usize::from(begins_year));
        free[column] = last + 1;
        placed.push(Placed { sizes: family.sizes(device)?, family, row: last });
    }
    Ok(placed)
}

fn column_left(column: usize) -> f64 {
    MARGIN + YEARS + (BOX.0 + GAP) * column as f64
}

/// Each year at its first family.
fn years(canvas: &mut Canvas, placed: &[Placed]) {
    let mut shown = "";
    for family in placed {
        let year = family.family.year();
        if year != shown {
            let y = family.at().1;
            canvas.line((MARGIN, y - 6.0), (WIDTH - MARGIN, y - 6.0), Line::new(GRID, 1.0));
            canvas.text(Label::new(MARGIN, y + 10.0, year).bold().coloured(MUTED));
            shown = year;
        }
    }
}

/// Whether a line leads from a family of this kind to another of the same kind.
fn has_line(parent: &Placed, placed: &[Placed], kind: Kind) -> bool {
    let is_child = |child: &Placed| child.family.kind == kind && child.family.is_from(&parent.family);
    parent.family.kind == kind && placed.iter().any(is_child)
}

/// A line from a family to one that was made from it: within a column along its left side, between columns through the
/// gap.
fn edge(canvas: &mut Canvas, (parent, lane): (&Placed, usize), child: &Placed) {
    let (from, to) = (parent.family.kind.column(), child.family.kind.column());
    let ((from_left, _), (to_left, _)) = (parent.at(), child.at());
    let (start, trunk, end) = match to.cmp(&from) {
        std::cmp::Ordering::Equal => (from_left, from_left - 8.0 - 6.0 * lane as f64, to_left),
        std::cmp::Ordering::Greater => (from_left + BOX.0, to_left - GAP + 6.0, to_left),
        std::cmp::Ordering::Less => (from_left, to_left + BOX.0 + 12.0, to_left + BOX.0),
    };
    let (top, bottom) = (parent.middle(), child.middle());
    let points = [(start, top), (trunk, top), (trunk, bottom), (end, bottom)];
    canvas.path(points.into_iter(), Line::new(child.family.kind.colour(), 1.5));
    canvas.point((end, bottom), 3.0, child.family.kind.colour(), 0);
}

fn family_box(canvas: &mut Canvas, placed: &Placed, language: Language) {
    let ((x, y), family) = (placed.at(), &placed.family);
    let colour = family.kind.colour();
    let tooltip = format!("{} ({}): {}", family.name, family.date, family.paper);
    canvas.bar((x, y), BOX, crate::charts::GROUND, &tooltip);
    canvas.shade((x, y), BOX, (colour, 0.1), &tooltip);
    let dashes = if placed.sizes.is_some() { "" } else { "5 4" };
    canvas.frame((x, y), BOX, Line { dashes, ..Line::new(colour, 1.0) });
    canvas.text(Label::new(x + 8.0, y + 18.0, &family.name).sized(13.0).bold());
    let date = Label::small(x + BOX.0 - 8.0, y + 18.0, &family.date);
    canvas.text(date.anchored(Anchor::End));
    canvas.text(Label::new(x + 8.0, y + 35.0, &placed.facts(language)).sized(11.0));
    canvas.text(Label::new(x + 8.0, y + 50.0, &placed.wiring(language)).sized(10.0));
    for (line, text) in fitted(placed.change(language), 10.0, BOX.0 - 16.0).iter().enumerate() {
        canvas.text(Label::small(x + 8.0, y + 66.0 + 13.0 * line as f64, text).sized(10.0));
    }
}

/// A family in a sentence, for those who cannot see the figure.
fn described(placed: &Placed, language: Language) -> String {
    let family = &placed.family;
    let (kind, facts, wiring) =
        (language.word(family.kind.word()), placed.facts(language), placed.wiring(language));
    let from = match (&family.parent, language) {
        (None, _) => String::new(),
        (Some(parent), Language::English) => format!("from {parent}"),
        (Some(parent), Language::TraditionalChinese) => format!("源自 {parent}"),
    };
    let facts = match &family.checkpoint {
        Some(checkpoint) => format!("{facts} ({checkpoint})"),
        None => facts,
    };
    let parts =
        [kind.to_owned(), from, facts, wiring, placed.change(language).to_owned(), family.paper.clone()];
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    language.says(&format!("{} ({})", family.name, family.date), &said.join(language.semicolon()))
}

#[cfg(test)]
mod tests {
    use temper_hub::catalogue;

    use super::*;
    use crate::charts::{assert_inside, text_width};

    fn device() -> Device {
        crate::device::backend::Backend::default_compiled().expect("a backend").device().expect("a device")
    }

    #[test]
    fn the_table_is_a_tree_that_the_registry_knows() {
        let families = families();
        assert!(families.len() > 15, "the table can be read");
        for family in &families {
            let parent = family.parent.as_ref();
            let known =
                |name: &String| families.iter().any(|other| other.name == *name && other.date <= family.date);
            assert!(parent.is_none_or(known), "{} has no parent before it", family.name);
            assert!(
                family.paper.contains("et al.")
                    || family.paper.contains("OpenAI")
                    || family.paper.contains("Team")
                    || family.paper.contains("Workshop")
            );
        }
        assert_eq!(families.iter().filter(|family| family.parent.is_none()).count(), 1, "one root");
    }

    /// What the table says of a family, its modules say, too.
    #[test]
    fn norms_positions_and_gates_are_those_of_the_modules() {
        for family in families() {
            let Some(model) = family.outline(&device()).expect("a configuration") else { continue };
            let table = model.parameters();
            let has = |part: &str| table.parameters.iter().any(|parameter| parameter.path.contains(part));
            let name = &family.name;
            assert_eq!(has("final_norm"), family.norm == Some(NormPlace::Before), "{name}: norms");
            assert_eq!(
                has("position_embedding"),
                family.positions == Some(Positions::Learned),
                "{name}: positions"
            );
            assert_eq!(has("relative"), family.positions == Some(Positions::Relative), "{name}: positions");
            let gated = family.activation.as_ref().is_some_and(|activation| activation.ends_with("GLU"));
            assert_eq!(has("gate"), gated, "{name}: gate");
        }
    }

    #[test]
    fn sizes_are_those_of_the_checkpoints() {
        let counted = families().into_iter().filter_map(|family| {
            let parameters = family.sizes(&device()).expect("a configuration")?.parameters;
            let known =
                catalogue().models.iter().find(|model| Some(&model.hub) == family.checkpoint.as_ref())?;
            Some((family.name, parameters, known.parameters))
        });
        let counted: Vec<_> = counted.collect();
        assert!(counted.len() > 8, "{counted:?}");
        for (name, parameters, known) in counted {
            let difference = (parameters as f64 - known as f64).abs() / known as f64;
            assert!(difference < 0.03, "{name}: {parameters}, the catalogue says {known}");
        }
    }

    #[test]
    fn words_fit_their_boxes() {
        for language in [Language::English, Language::TraditionalChinese] {
            assert_inside(&draw(language, &device()).expect("drawn"));
            for family in placed(&device()).expect("placed") {
                let lines = fitted(family.change(language), 10.0, BOX.0 - 16.0).len();
                assert!(lines <= 2, "{}", family.family.name);
                let wiring = text_width(&family.wiring(language), 10.0);
                assert!(0.88 * wiring <= BOX.0 - 16.0, "{}: {}", family.family.name, family.wiring(language));
            }
        }
    }
}
