//! The weight map: literal data, complete and reversible.
//!
//! A name matches at most one row. `{}` stands for a layer's number. The same rows read a
//! checkpoint and write it back.

use super::Fusion;

/// How a stored tensor differs from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The same values in the same order.
    Same,
    /// A matrix stored `[out, in]` that we keep as `[in, out]`.
    Transposed,
    /// A vector that is stored as a matrix with one row.
    OneRow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// One tensor; how it is stored.
    Copy(Layout),
    /// `.weight` and `.bias` of a linear map; how the weight is stored.
    Linear(Layout),
    Norm,
    /// Several linear maps in one stored tensor.
    Fused(Layout, Fusion),
    Ignore,
    Foreign,
}

/// One row: a name in Hugging Face's checkpoint and the path of our parameter.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    theirs: &'static str,
    /// The paths; unused ones, after the others, are empty.
    ours: [&'static str; 3],
    rule: Rule,
}

/// One tensor, stored as it is.
pub const fn copy(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours: [ours, "", ""], rule: Rule::Copy(Layout::Same) }
}

/// One matrix, stored `[out, in]` (`[in, out]` here): a linear map whose bias has another name.
pub const fn matrix(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours: [ours, "", ""], rule: Rule::Copy(Layout::Transposed) }
}

/// A vector that is stored as a matrix with one row.
pub const fn one_row(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours: [ours, "", ""], rule: Rule::Copy(Layout::OneRow) }
}

/// `.weight` (`[out, in]` there, `[in, out]` here) and `.bias` of an `nn.Linear`.
pub const fn linear(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours: [ours, "", ""], rule: Rule::Linear(Layout::Transposed) }
}

/// `.weight` (`[in, out]` there, too) and `.bias` of GPT's `Conv1D`.
pub const fn conv1d(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours: [ours, "", ""], rule: Rule::Linear(Layout::Same) }
}

/// `.weight` and `.bias` of a norm; TensorFlow's `.gamma` and `.beta` are read too.
pub const fn norm(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours: [ours, "", ""], rule: Rule::Norm }
}

/// Three linear maps that are stored as one `nn.Linear`.
pub const fn fused_linear(theirs: &'static str, ours: [&'static str; 3], fusion: Fusion) -> Row {
    Row { theirs, ours, rule: Rule::Fused(Layout::Transposed, fusion) }
}

/// Two linear maps that are stored as one `nn.Linear`, one after the other.
pub const fn fused_pair(theirs: &'static str, [first, second]: [&'static str; 2]) -> Row {
    let rule = Rule::Fused(Layout::Transposed, Fusion::Blocks);
    Row { theirs, ours: [first, second, ""], rule }
}

/// Three linear maps that are stored as one `Conv1D`, one after the other.
pub const fn fused_conv1d(theirs: &'static str, ours: [&'static str; 3]) -> Row {
    Row { theirs, ours, rule: Rule::Fused(Layout::Same, Fusion::Blocks) }
}

/// A buffer that carries no weight, or a copy of a weight that is tied.
pub const fn ignore(theirs: &'static str) -> Row {
    Row { theirs, ours: [""; 3], rule: Rule::Ignore }
}

/// A weight of another head: left out, and reported as dropped. May end in `*`.
pub const fn foreign(theirs: &'static str) -> Row {
    Row { theirs, ours: [""; 3], rule: Rule::Foreign }
}

/// Where a stored tensor goes, or where our parameters are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name in the checkpoint.
    pub name: String,
    /// Our parameters in it, such as `layers.0.ffn.inner.weight`; more than one where they are fused.
    pub paths: Vec<String>,
    /// How the stored values differ.
    pub layout: Layout,
    /// How the outputs of fused parameters are arranged.
    pub fusion: Fusion,
}

/// The parameters that a row gets from a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It fills parameters.
    Parameters(Place),
    /// A buffer without weights.
    Ignored,
    /// A weight of another head.
    Foreign,
}

/// A family's rows and the prefix its names carry under a head.
#[derive(Clone, Copy, Debug)]
pub struct WeightMap {
    /// Present in checkpoints with a head (`bert.`), absent without.
    pub prefix: &'static str,
    /// The rows, without the prefix.
    pub rows: &'static [Row],
    /// Groups of [`Fusion::Groups`]: heads of keys and values.
    pub groups: usize,
}

impl Row {
    /// What becomes of the tensor of that name, if the row knows it.
    pub fn target(&self, name: &str) -> Option<Target> {
        let place = |number: &str, suffix: Option<&str>, layout, fusion| {
            let path = |path: &str| match suffix {
                Some(suffix) => format!("{}.{suffix}", insert(path, number)),
                None => insert(path, number),
            };
            let paths = self.ours().map(path).collect();
            Some(Target::Parameters(Place { name: name.to_owned(), paths, layout, fusion }))
        };
        match self.rule {
            Rule::Ignore => matches(self.theirs, name).map(|_| Target::Ignored),
            Rule::Foreign => matches(self.theirs, name).map(|_| Target::Foreign),
            Rule::Copy(layout) => place(&matches(self.theirs, name)?, None, layout, Fusion::Blocks),
            Rule::Linear(_) | Rule::Norm | Rule::Fused(..) => {
                let (stem, suffix) = name.rsplit_once('.')?;
                let (suffix, layout, fusion) = self.read_suffix(suffix)?;
                place(&matches(self.theirs, stem)?, Some(suffix), layout, fusion)
            }
        }
    }

    /// Where one of our parameters is stored, if the row knows it.
    pub fn place_of(&self, path: &str) -> Option<Place> {
        let number_in = |stem: &str| self.ours().find_map(|ours| matches(ours, stem));
        match self.rule {
            Rule::Ignore | Rule::Foreign => None,
            Rule::Copy(_) => self.stored(&insert(self.theirs, &number_in(path)?)),
            Rule::Linear(_) | Rule::Norm | Rule::Fused(..) => {
                let (stem, suffix) = path.rsplit_once('.')?;
                let stored = insert(self.theirs, &number_in(stem)?);
                self.stored(&format!("{stored}.{}", self.read_suffix(suffix)?.0))
            }
        }
    }

    fn ours(&self) -> impl Iterator<Item = &'static str> {
        self.ours.into_iter().filter(|path| !path.is_empty())
    }

    fn stored(&self, name: &str) -> Option<Place> {
        match self.target(name) {
            Some(Target::Parameters(place)) => Some(place),
            _ => None,
        }
    }

    fn read_suffix(&self, suffix: &str) -> Option<(&'static str, Layout, Fusion)> {
        match (self.rule, suffix) {
            (Rule::Linear(layout), "weight") => Some(("weight", layout, Fusion::Blocks)),
            (Rule::Fused(layout, fusion), "weight") => Some(("weight", layout, fusion)),
            (Rule::Fused(_, fusion), "bias") => Some(("bias", Layout::Same, fusion)),
            (Rule::Norm, "weight" | "gamma") => Some(("weight", Layout::Same, Fusion::Blocks)),
            (Rule::Linear(_), "bias") | (Rule::Norm, "bias" | "beta") => {
                Some(("bias", Layout::Same, Fusion::Blocks))
            }
            _ => None,
        }
    }
}

/// Matches a pattern with at most one `{}` or a `*` at its end; gives the number found.
fn matches(pattern: &str, name: &str) -> Option<String> {
    if let Some(start) = pattern.strip_suffix('*') {
        return name.starts_with(start).then(String::new);
    }
    let Some((before, after)) = pattern.split_once("{}") else {
        return (pattern == name).then(String::new);
    };
    let number = name.strip_prefix(before)?.strip_suffix(after)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.to_owned())
}

fn insert(pattern: &str, number: &str) -> String {
    pattern.replacen("{}", number, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row; 8] = [
        copy("emb.weight", "token_embedding.weight"),
        matrix("decoder.weight", "head.output.weight"),
        linear("layer.{}.dense", "layers.{}.ffn.inner"),
        norm("layer.{}.LayerNorm", "layers.{}.ffn_norm"),
        ignore("emb.position_ids"),
        foreign("cls.*"),
        conv1d("h.{}.fc", "layers.{}.ffn.outer"),
        fused_linear(
            "layer.{}.qkv",
            ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
            Fusion::Groups,
        ),
    ];

    fn target(name: &str) -> Option<Target> {
        ROWS.iter().find_map(|row| row.target(name))
    }

    fn place(name: &str) -> Place {
        let Some(Target::Parameters(place)) = target(name) else { panic!("{name}") };
        place
    }

    #[test]
    fn names_lead_to_paths() {
        for (name, path, layout) in [
            ("emb.weight", "token_embedding.weight", Layout::Same),
            ("decoder.weight", "head.output.weight", Layout::Transposed),
            ("layer.11.dense.weight", "layers.11.ffn.inner.weight", Layout::Transposed),
            ("layer.1.LayerNorm.gamma", "layers.1.ffn_norm.weight", Layout::Same),
            ("layer.1.LayerNorm.beta", "layers.1.ffn_norm.bias", Layout::Same),
            ("h.3.fc.weight", "layers.3.ffn.outer.weight", Layout::Same),
        ] {
            assert_eq!((place(name).paths, place(name).layout), (vec![path.to_owned()], layout));
        }
        let fused = place("layer.2.qkv.weight");
        assert_eq!(fused.paths[2], "layers.2.attention.value.weight");
        assert_eq!((fused.layout, fused.fusion), (Layout::Transposed, Fusion::Groups));
    }

    #[test]
    fn refuses_what_no_row_knows() {
        for name in ["layer.x.dense.weight", "layer..dense.weight", "layer.1.dense.gamma", "emb.weights", ""]
        {
            assert_eq!(target(name), None, "{name}");
        }
        assert_eq!(target("cls.predictions.bias"), Some(Target::Foreign));
        assert_eq!(target("emb.position_ids"), Some(Target::Ignored));
    }

    #[test]
    fn every_path_finds_its_place_back() {
        for name in [
            "emb.weight",
            "decoder.weight",
            "layer.3.dense.weight",
            "layer.3.dense.bias",
            "layer.10.LayerNorm.bias",
            "layer.4.qkv.bias",
        ] {
            for path in &place(name).paths {
                let found = ROWS.iter().find_map(|row| row.place_of(path));
                assert_eq!(found, Some(place(name)));
            }
        }
    }
}
