//! The structure of a model, read from the paths of its parameters.

use super::tally::Tally;
use super::words::readable;
use crate::levels::is_embedding;
use crate::{FreezePlan, PlanRow};

/// Which stack of layers something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stack {
    /// The only stack, or what an encoder and a decoder share.
    Common,
    Encoder,
    Decoder,
}

impl Stack {
    /// Its name, with which paths of its parameters begin.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Common => "",
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        }
    }
}

/// A height in a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Below the layers.
    Embeddings,
    /// A layer, by its number.
    Layer(usize),
    /// Above the layers, by the name of the module: `final_norm`, `pooler`, `head`.
    Above(String),
}

/// A small module next to a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Adapter {
    /// The map it is next to.
    pub(super) map: String,
    pub(super) tally: Tally,
}

/// A module at some height: `attention`, `ffn_norm`, `token_embedding`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) name: String,
    /// Without its adapters.
    pub(super) own: Tally,
    pub(super) adapters: Vec<Adapter>,
}

/// Everything at one height of one stack.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) stack: Stack,
    pub(super) place: Place,
    pub(super) parts: Vec<Part>,
}

impl Level {
    /// All its parameters, those of adapters among them.
    pub(super) fn tally(&self) -> Tally {
        let adapters = self.parts.iter().flat_map(|part| &part.adapters).map(|adapter| &adapter.tally);
        Tally::sum(self.parts.iter().map(|part| &part.own).chain(adapters))
    }

    /// True if only adapters train.
    pub(super) fn trains_by_adapters(&self) -> bool {
        let mut parts = self.parts.iter();
        self.tally().trained > 0 && parts.all(|part| part.own.trained == 0)
    }

    fn part(&mut self, name: &str) -> &mut Part {
        let found = self.parts.iter().position(|part| part.name == name).unwrap_or_else(|| {
            self.parts.push(Part { name: name.into(), own: Tally::default(), adapters: Vec::new() });
            self.parts.len() - 1
        });
        &mut self.parts[found]
    }
}

impl Part {
    fn adapter(&mut self, map: &str) -> &mut Adapter {
        let found = self.adapters.iter().position(|adapter| adapter.map == map).unwrap_or_else(|| {
            self.adapters.push(Adapter { map: map.into(), tally: Tally::default() });
            self.adapters.len() - 1
        });
        &mut self.adapters[found]
    }
}

/// Where a parameter is.
struct Spot<'a> {
    stack: Stack,
    place: Place,
    part: &'a str,
    /// The map of the adapter that it belongs to.
    adapted: Option<&'a str>,
}

impl<'a> Spot<'a> {
    fn of(path: &'a str) -> Self {
        let (stack, rest) = match (path.strip_prefix("encoder."), path.strip_prefix("decoder.")) {
            (Some(rest), _) => (Stack::Encoder, rest),
            (_, Some(rest)) => (Stack::Decoder, rest),
            _ => (Stack::Common, path),
        };
        let (modules, adapted) = match rest.split_once(".adapter.") {
            Some((map, _)) => (map, map.rsplit('.').next()),
            None => (rest.rsplit_once('.').map_or(rest, |(modules, _)| modules), None),
        };
        let mut names = modules.split('.');
        let first = names.next().unwrap_or(modules);
        let layer = (first == "layers").then(|| names.next()?.parse().ok()).flatten();
        let (place, part) = match layer {
            Some(layer) => (Place::Layer(layer), names.next().unwrap_or("layer")),
            None if is_embedding(rest) => (Place::Embeddings, first),
            None => (Place::Above(first.into()), names.next().unwrap_or(first)),
        };
        Self { stack, place, part, adapted }
    }
}

/// A model as a list of heights.
pub(super) struct Outline {
    /// From the bottom to the top: what is common to both stacks, an encoder, a decoder, what is common.
    pub(super) levels: Vec<Level>,
}

impl Outline {
    pub(super) fn of(plan: &FreezePlan) -> Self {
        let mut outline = Self { levels: Vec::new() };
        for row in &plan.rows {
            outline.add(row);
        }
        // Stable: modules above the layers keep the order that they have in the model.
        outline.levels.sort_by_key(|level| match (&level.place, level.stack) {
            (Place::Embeddings, Stack::Common) => (0, 0, 0),
            (place, Stack::Encoder) => (1, height(place).0, height(place).1),
            (place, Stack::Decoder) => (2, height(place).0, height(place).1),
            (place, Stack::Common) => (3, height(place).0, height(place).1),
        });
        outline
    }

    fn add(&mut self, row: &PlanRow) {
        let spot = Spot::of(&row.path);
        let is_there = |level: &Level| level.stack == spot.stack && level.place == spot.place;
        let found = self.levels.iter().position(is_there).unwrap_or_else(|| {
            self.levels.push(Level { stack: spot.stack, place: spot.place, parts: Vec::new() });
            self.levels.len() - 1
        });
        let part = self.levels[found].part(spot.part);
        match spot.adapted {
            Some(map) => part.adapter(map).tally.add(row),
            None => part.own.add(row),
        }
    }
}

/// The parts of a model that a figure draws at one height, from the bottom to the top: "embeddings", "layer 3",
/// "decoder layer 3", "head"; each with its rows of the plan.
pub(crate) fn parts_of(plan: &FreezePlan) -> Vec<(String, Vec<&PlanRow>)> {
    let levels = Outline::of(plan).levels;
    let part = |(first, level): (usize, &Level)| {
        let label = Run { first, count: 1 }.label(&levels);
        let name = [level.stack.name(), &label].join(" ").trim().to_owned();
        let is_here = |row: &&PlanRow| {
            let spot = Spot::of(&row.path);
            spot.stack == level.stack && spot.place == level.place
        };
        (name, plan.rows.iter().filter(is_here).collect())
    };
    levels.iter().enumerate().map(part).collect()
}

fn height(place: &Place) -> (usize, usize) {
    match place {
        Place::Embeddings => (0, 0),
        Place::Layer(layer) => (1, *layer),
        Place::Above(_) => (2, 0),
    }
}

/// Up to this many layers a stack is drawn layer by layer; of more, those in a row that are alike are one.
const DRAWN_SINGLY: usize = 12;

/// Levels that a figure draws as one: a single one, or several layers that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Place of the lowest in the outline.
    pub(super) first: usize,
    /// How many.
    pub(super) count: usize,
}

/// Divides the levels of one stack, or of several, into what is drawn as one, from the bottom to the top.
pub(super) fn runs(levels: &[Level], alike: impl Fn(usize, usize) -> bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, level) in levels.iter().enumerate() {
        let layers = |other: &&Level| other.stack == level.stack && matches!(other.place, Place::Layer(_));
        let collapses = levels.iter().filter(layers).count() > DRAWN_SINGLY;
        match runs.last_mut() {
            Some(run) if collapses && follows(&levels[index - 1], level) && alike(run.first, index) => {
                run.count += 1;
            }
            _ => runs.push(Run { first: index, count: 1 }),
        }
    }
    runs
}

fn follows(lower: &Level, upper: &Level) -> bool {
    let (Place::Layer(below), Place::Layer(above)) = (&lower.place, &upper.place) else { return false };
    lower.stack == upper.stack && below + 1 == *above
}

impl Run {
    /// The name of what is drawn: "embeddings", "layer 3", "layers 4-27", "final norm".
    pub(super) fn label(self, levels: &[Level]) -> String {
        match &levels[self.first].place {
            Place::Embeddings => "embeddings".into(),
            Place::Layer(layer) if self.count == 1 => format!("layer {layer}"),
            Place::Layer(layer) => format!("layers {layer}\u{2013}{}", layer + self.count - 1),
            Place::Above(name) => readable(name),
        }
    }

    /// For scripts and tests that read a figure: the path, with the numbers of all layers.
    pub(super) fn path(self, levels: &[Level]) -> String {
        let level = &levels[self.first];
        let path = match &level.place {
            Place::Embeddings => "embeddings".into(),
            Place::Layer(layer) if self.count == 1 => format!("layers.{layer}"),
            Place::Layer(layer) => format!("layers.{layer}-{}", layer + self.count - 1),
            Place::Above(name) => name.clone(),
        };
        if level.stack == Stack::Common { path } else { format!("{}.{path}", level.stack.name()) }
    }
}
