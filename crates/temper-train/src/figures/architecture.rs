//! A model's architecture, with a text on its way through it.

use temper_models::ParameterTable;

use super::flow::Flow;
use super::language::{Language, Word};
use crate::charts::{
    Anchor, Canvas, Caption, GRID, Label, Line, MUTED, SERIES, grouped, number_text, text_width,
};

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
/// Where the norms begin.
const LEFT: f64 = 236.0;
const PITCH: f64 = 24.0;
const TOP: f64 = 84.0;
const LEADING: f64 = 17.0;
/// Tokens are written upwards where their columns are narrower than this.
const NARROW: f64 = 52.0;

/// What is drawn.
pub(crate) struct Architecture<'a> {
    pub(crate) model: &'a str,
    /// Attention heads of a layer, where config.json says so.
    pub(crate) heads: Option<u64>,
    pub(crate) table: &'a ParameterTable,
    /// The parts from the bottom to the top, each with its number of parameters.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) flow: &'a Flow,
    /// Rows and columns of the token embedding.
    pub(crate) vocabulary: [usize; 2],
}

/// One module of a layer.
struct Module {
    name: String,
    /// Of its weight.
    shape: String,
    count: usize,
}

impl Architecture<'_> {
    /// The figure as an SVG document.
    pub(crate) fn draw(&self, language: Language) -> String {
        let modules = self.modules();
        let tokens = self.flow.tokens.len();
        let foot = TOP + PITCH * self.parts.len() as f64;
        // Tokens, then their ids.
        let names = foot + self.token_height() + 22.0;
        let lower = names + 40.0;
        let grid = grid_pitch(tokens);
        let height =
            lower + 40.0 + (LEADING * (modules.len() as f64 + 1.0)).max(grid * tokens as f64 + 62.0) + MARGIN;
        let mut canvas = Canvas::new(WIDTH, height.ceil());
        let title = language.says(self.model, language.word(Word::Architecture));
        canvas.text(Label::new(MARGIN, 28.0, &title).sized(16.0).bold());
        let facts = self.facts(language);
        canvas.text(Label::new(MARGIN, 48.0, &facts).coloured(MUTED));
        canvas.text(Label::new(LEFT, TOP - 10.0, language.word(Word::HiddenStateNorms)).bold());
        self.stack(&mut canvas, language, foot);
        self.norms(&mut canvas, foot);
        self.tokens(&mut canvas, foot);
        self.layer(&mut canvas, language, &modules, lower);
        self.mask(&mut canvas, language, lower);
        let description = self.description(language, &facts);
        canvas.document(Caption { title: &title, description: &description, language: language.tag() })
    }

    /// Sizes in words.
    fn facts(&self, language: Language) -> String {
        let [vocabulary, width] = self.vocabulary;
        let layers = self.parts.iter().filter(|(name, _)| name.contains("layer ")).count();
        let mut facts = vec![(Word::Layers, layers), (Word::Width, width)];
        facts.extend(self.heads.map(|heads| (Word::Heads, heads as usize)));
        facts.extend([(Word::Vocabulary, vocabulary), (Word::Parameters, self.table.total())]);
        let said = facts.iter().map(|(word, value)| format!("{} {}", language.word(*word), grouped(*value)));
        said.collect::<Vec<_>>().join(language.comma())
    }

    /// A box for each part, from the embeddings at the bottom to the head, with what it holds.
    fn stack(&self, canvas: &mut Canvas, language: Language, foot: f64) {
        let width = LEFT - MARGIN - 28.0;
        for (number, (name, count)) in self.parts.iter().enumerate() {
            let y = foot - PITCH * (number as f64 + 1.0);
            let colour = if name.contains("layer ") { SERIES[0] } else { SERIES[2] };
            let shown = language.part(name);
            let count = grouped(*count);
            let tooltip = language.says(&shown, &format!("{count} {}", language.word(Word::Parameters)));
            canvas.shade((MARGIN, y + 2.0), (width, PITCH - 4.0), (colour, 0.16), &tooltip);
            canvas.text(Label::new(MARGIN + 8.0, y + 16.0, &shown));
            canvas.text(
                Label::small(MARGIN + width - 8.0, y + 16.0, &count).anchored(Anchor::End).coloured(MUTED),
            );
        }
    }

    /// A row for each hidden state, next to the part that it comes from; darker is longer.
    fn norms(&self, canvas: &mut Canvas, foot: f64) {
        // By its logarithm: in some models the norm of the first token is a hundred times that of the others.
        let norms = || self.flow.norms.iter().flatten().copied().filter(|norm| *norm > 0.0);
        let (shortest, longest) = (norms().fold(f64::INFINITY, f64::min), norms().fold(0.0, f64::max));
        let span = (longest / shortest).ln().max(f64::MIN_POSITIVE);
        let pitch = self.column();
        for (state, part) in self.flow.norms.iter().zip(self.shown()) {
            let y = foot - PITCH * (part as f64 + 1.0);
            for (column, (norm, (token, _))) in state.iter().zip(&self.flow.tokens).enumerate() {
                let x = LEFT + pitch * column as f64;
                let share = 0.06 + 0.44 * ((norm / shortest).ln() / span).clamp(0.0, 1.0);
                let text = number_text(*norm);
                canvas.shade(
                    (x + 1.0, y + 2.0),
                    (pitch - 2.0, PITCH - 4.0),
                    (SERIES[1], share),
                    &format!("{token}: {text}"),
                );
                let text = rounded(*norm);
                if text_width(&text, 10.0) <= pitch {
                    let label = Label::new(x + pitch / 2.0, y + 16.0, &text).sized(10.0);
                    canvas.text(label.anchored(Anchor::Middle));
                }
            }
        }
    }

    /// The parts that have a hidden state: embeddings and layers of each stack. The embeddings that an encoder and a
    /// decoder share are drawn once, so that a decoder's begins without.
    fn shown(&self) -> Vec<usize> {
        let has_state = |name: &str| name.contains("layer ") || name == "embeddings";
        let parts = self.parts.iter().enumerate();
        parts.filter(|(_, (name, _))| has_state(name)).map(|(number, _)| number).collect()
    }

    fn column(&self) -> f64 {
        ((WIDTH - MARGIN - LEFT) / self.flow.tokens.len().max(1) as f64).min(70.0)
    }

    fn token_height(&self) -> f64 {
        if self.column() >= NARROW { 16.0 } else { 8.0 + self.longest_token() }
    }

    fn longest_token(&self) -> f64 {
        self.flow.tokens.iter().map(|(token, _)| text_width(token, 12.0)).fold(0.0, f64::max)
    }

    /// The tokens under their columns, with their ids.
    fn tokens(&self, canvas: &mut Canvas, foot: f64) {
        let (pitch, height) = (self.column(), self.token_height());
        for (column, (token, id)) in self.flow.tokens.iter().enumerate() {
            let x = LEFT + pitch * (column as f64 + 0.5);
            if pitch >= NARROW {
                canvas.text(Label::new(x, foot + 16.0, token).anchored(Anchor::Middle));
            } else {
                canvas.upright(Label::new(x + 4.0, foot + 4.0 + height / 2.0, token));
            }
            let id = id.to_string();
            if text_width(&id, 9.0) <= pitch {
                canvas.text(Label::small(x, foot + height + 16.0, &id).sized(9.0).anchored(Anchor::Middle));
            }
        }
    }

    /// The modules of layer 0.
    fn modules(&self) -> Vec<Module> {
        let mut modules: Vec<Module> = Vec::new();
        for parameter in &self.table.parameters {
            let path = parameter.path.strip_prefix("encoder.").unwrap_or(&parameter.path);
            let Some((name, kind)) = path.strip_prefix("layers.0.").and_then(|path| path.rsplit_once('.'))
            else {
                continue;
            };
            let shape = parameter.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" \u{d7} ");
            match modules.iter_mut().find(|module| module.name == name) {
                Some(module) => {
                    module.count += parameter.count();
                    if kind == "weight" {
                        module.shape = shape;
                    }
                }
                None => modules.push(Module { name: name.into(), shape, count: parameter.count() }),
            }
        }
        modules
    }

    fn layer(&self, canvas: &mut Canvas, language: Language, modules: &[Module], top: f64) {
        canvas.text(Label::new(MARGIN, top, language.word(Word::OneLayer)).bold());
        let columns = [MARGIN, 228.0, 340.0];
        let heads = [Word::Module, Word::Shape, Word::Parameters];
        let row = |canvas: &mut Canvas, y: f64, texts: [&str; 3], muted: bool| {
            for ((x, text), anchor) in
                columns.iter().zip(texts).zip([Anchor::Start, Anchor::End, Anchor::End])
            {
                let label = Label::new(*x, y, text).sized(11.0).anchored(anchor);
                canvas.text(if muted { label.coloured(MUTED) } else { label });
            }
        };
        row(canvas, top + 22.0, heads.map(|word| language.word(word)), true);
        canvas.line((MARGIN, top + 28.0), (340.0, top + 28.0), Line::new(GRID, 1.0));
        for (number, module) in modules.iter().enumerate() {
            let y = top + 42.0 + LEADING * number as f64;
            row(canvas, y, [&module.name, &module.shape, &grouped(module.count)], false);
        }
    }

    /// A cell for each pair of tokens: filled where the one of the row attends to the one of the column.
    fn mask(&self, canvas: &mut Canvas, language: Language, top: f64) {
        let (tokens, pitch) = (self.flow.tokens.len(), grid_pitch(self.flow.tokens.len()));
        let left = WIDTH - MARGIN - pitch * tokens as f64;
        let title = Label::new(WIDTH - MARGIN, top, language.word(Word::WhoSeesWhom));
        canvas.text(title.bold().anchored(Anchor::End));
        let note = language.word(Word::RowsSeeColumns);
        canvas.text(Label::small(WIDTH - MARGIN, top + 18.0, note).anchored(Anchor::End));
        let first = top + 34.0;
        for (row, (token, _)) in self.flow.tokens.iter().enumerate() {
            let y = first + pitch * row as f64;
            let label = Label::small(left - 6.0, y + pitch / 2.0 + 4.0, token);
            canvas.text(label.anchored(Anchor::End));
            for (column, (other, _)) in self.flow.tokens.iter().enumerate() {
                let (at, size) = ((left + pitch * column as f64 + 1.0, y + 1.0), (pitch - 2.0, pitch - 2.0));
                match self.flow.attends[row][column] {
                    true => {
                        let said = format!("{token} {} {other}", language.word(Word::Sees));
                        canvas.bar(at, size, SERIES[0], &said);
                    }
                    false => canvas.frame(at, size, Line::new(GRID, 1.0)),
                }
            }
        }
    }

    /// For those who cannot see the figure.
    fn description(&self, language: Language, facts: &str) -> String {
        let tokens: Vec<&str> = self.flow.tokens.iter().map(|(token, _)| token.as_str()).collect();
        let mean = |state: &Vec<f64>| rounded(state.iter().sum::<f64>() / state.len().max(1) as f64);
        let means: Vec<String> = self.flow.norms.iter().map(mean).collect();
        let pairs = self.flow.attends.iter().flatten();
        let (all, seen) = (pairs.clone().count(), pairs.filter(|sees| **sees).count());
        match language {
            Language::English => format!(
                "{facts}. Tokens: {}. Mean norm of the hidden states, from the embeddings up: {}. Of {all} pairs of tokens {seen} attend.",
                tokens.join(" "),
                means.join(", ")
            ),
            Language::TraditionalChinese => format!(
                "{facts}。詞元：{}。隱藏狀態的平均範數，由嵌入層往上：{}。{all} 對詞元中有 {seen} 對看得到。",
                tokens.join(" "),
                means.join("、")
            ),
        }
    }
}

fn grid_pitch(tokens: usize) -> f64 {
    (300.0 / tokens.max(1) as f64).clamp(12.0, 22.0)
}

/// A norm in three digits.
fn rounded(norm: f64) -> String {
    match norm {
        _ if norm >= 100.0 => format!("{norm:.0}"),
        _ if norm >= 10.0 => format!("{norm:.1}"),
        _ => format!("{norm:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use temper_models::{Parameter, parameter_id};

    use super::*;
    use crate::charts::assert_inside;

    fn table() -> ParameterTable {
        let parameter = |path: &str, shape: &[usize]| Parameter {
            path: path.into(),
            shape: shape.into(),
            id: parameter_id(path),
            trains: false,
        };
        ParameterTable {
            parameters: vec![
                parameter("token_embedding.weight", &[10, 4]),
                parameter("layers.0.attention.query.weight", &[4, 4]),
                parameter("layers.0.attention.query.bias", &[4]),
                parameter("layers.1.attention.query.weight", &[4, 4]),
            ],
        }
    }

    fn flow(tokens: usize) -> Flow {
        let names = ["[CLS]", "the", "extraordinarily", "quiet"];
        Flow {
            tokens: (0..tokens).map(|number| (names[number % 4].to_owned(), number as u32)).collect(),
            norms: (0..3)
                .map(|state| (0..tokens).map(|token| 1.5 + 10.0 * (state + token) as f64).collect())
                .collect(),
            attends: (0..tokens).map(|row| (0..tokens).map(|column| column <= row).collect()).collect(),
        }
    }

    fn drawn(tokens: usize, language: Language) -> String {
        let (table, flow) = (table(), flow(tokens));
        let parts = ["embeddings", "layer 0", "layer 1", "head"];
        let parts = parts.iter().map(|part| (part.to_string(), 12345)).collect();
        let figure = Architecture {
            model: "org/tiny",
            heads: Some(2),
            table: &table,
            parts,
            flow: &flow,
            vocabulary: [10, 4],
        };
        figure.draw(language)
    }

    #[test]
    fn what_is_drawn_is_what_was_given_and_stays_inside() {
        for language in [Language::English, Language::TraditionalChinese] {
            for tokens in [1, 4, super::super::flow::MOST_TOKENS] {
                assert_inside(&drawn(tokens, language));
            }
        }
        let svg = drawn(3, Language::English);
        // Sizes, the modules of layer 0 with bias, norms of three states, and the pairs of a causal mask.
        for words in
            ["parameters 76", ">4 \u{d7} 4<", ">20<", ">1.50<", ">41.5<", "Of 9 pairs of tokens 6 attend"]
        {
            assert!(svg.contains(words), "{words} is not in {svg}");
        }
        assert_eq!(svg.matches("fill=\"#0b5fa5\"><title>").count(), 6, "filled cells of the mask");
        assert!(drawn(3, Language::TraditionalChinese).contains("9 對詞元中有 6 對看得到"));
    }
}
