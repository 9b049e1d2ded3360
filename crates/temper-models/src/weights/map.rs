//! The weight map: literal data, complete and reversible.
//!
//! A name matches at most one row. `{}` stands for a layer's number. The same rows read a
//! checkpoint and write it back.

/// How a stored tensor differs from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The same values in the same order.
    Same,
    /// A matrix stored `[out, in]` that we keep as `[in, out]`.
    Transposed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Copy,
    Linear,
    Norm,
    Ignore,
    Foreign,
}

/// One row: a name in Hugging Face's checkpoint and the path of our parameter.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    theirs: &'static str,
    ours: &'static str,
    rule: Rule,
}

/// One tensor, stored as it is.
pub const fn copy(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours, rule: Rule::Copy }
}

/// `.weight` (`[out, in]` there, `[in, out]` here) and `.bias` of an `nn.Linear`.
pub const fn linear(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours, rule: Rule::Linear }
}

/// `.weight` and `.bias` of a norm; TensorFlow's `.gamma` and `.beta` are read too.
pub const fn norm(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours, rule: Rule::Norm }
}

/// A buffer that carries no weight.
pub const fn ignore(theirs: &'static str) -> Row {
    Row { theirs, ours: "", rule: Rule::Ignore }
}

/// A weight of another head: left out, and reported as dropped. May end in `*`.
pub const fn foreign(theirs: &'static str) -> Row {
    Row { theirs, ours: "", rule: Rule::Foreign }
}

/// Where a stored tensor goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Our parameter.
    Parameter {
        /// Its path, such as `layers.0.ffn.inner.weight`.
        path: String,
        /// How the stored values differ.
        layout: Layout,
    },
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
}

impl WeightMap {
    /// Where the tensor of that name goes; `None` when no row knows it.
    pub fn target(&self, name: &str) -> Option<Target> {
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        self.rows.iter().find_map(|row| row.target(name))
    }

    /// The stored name, without the prefix, of one of our parameters.
    pub fn stored_name(&self, path: &str) -> Option<(String, Layout)> {
        self.rows.iter().find_map(|row| row.stored_name(path))
    }
}

impl Row {
    /// Where the tensor of that name goes, if the row knows it.
    pub fn target(&self, name: &str) -> Option<Target> {
        match self.rule {
            Rule::Ignore => matches(self.theirs, name).map(|_| Target::Ignored),
            Rule::Foreign => matches(self.theirs, name).map(|_| Target::Foreign),
            Rule::Copy => {
                let number = matches(self.theirs, name)?;
                Some(Target::Parameter { path: insert(self.ours, &number), layout: Layout::Same })
            }
            Rule::Linear | Rule::Norm => {
                let (stem, suffix) = name.rsplit_once('.')?;
                let (suffix, layout) = self.read_suffix(suffix)?;
                let number = matches(self.theirs, stem)?;
                Some(Target::Parameter { path: format!("{}.{suffix}", insert(self.ours, &number)), layout })
            }
        }
    }

    /// The stored name of one of our parameters, if the row knows it.
    pub fn stored_name(&self, path: &str) -> Option<(String, Layout)> {
        match self.rule {
            Rule::Ignore | Rule::Foreign => None,
            Rule::Copy => Some((insert(self.theirs, &matches(self.ours, path)?), Layout::Same)),
            Rule::Linear | Rule::Norm => {
                let (stem, suffix) = path.rsplit_once('.')?;
                let (suffix, layout) = self.read_suffix(suffix)?;
                let number = matches(self.ours, stem)?;
                Some((format!("{}.{suffix}", insert(self.theirs, &number)), layout))
            }
        }
    }

    fn read_suffix(&self, suffix: &str) -> Option<(&'static str, Layout)> {
        match (self.rule, suffix) {
            (Rule::Linear, "weight") => Some(("weight", Layout::Transposed)),
            (Rule::Norm, "weight" | "gamma") => Some(("weight", Layout::Same)),
            (Rule::Linear, "bias") | (Rule::Norm, "bias" | "beta") => Some(("bias", Layout::Same)),
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

    const MAP: WeightMap = WeightMap {
        prefix: "bert.",
        rows: &[
            copy("emb.weight", "token_embedding.weight"),
            linear("layer.{}.dense", "layers.{}.ffn.inner"),
            norm("layer.{}.LayerNorm", "layers.{}.ffn_norm"),
            ignore("emb.position_ids"),
            foreign("cls.*"),
        ],
    };

    fn parameter(path: &str, layout: Layout) -> Option<Target> {
        Some(Target::Parameter { path: path.into(), layout })
    }

    #[test]
    fn reads_with_and_without_prefix_and_by_old_names() {
        assert_eq!(MAP.target("bert.emb.weight"), parameter("token_embedding.weight", Layout::Same));
        assert_eq!(MAP.target("emb.weight"), parameter("token_embedding.weight", Layout::Same));
        assert_eq!(
            MAP.target("layer.11.dense.weight"),
            parameter("layers.11.ffn.inner.weight", Layout::Transposed)
        );
        assert_eq!(
            MAP.target("layer.1.LayerNorm.gamma"),
            parameter("layers.1.ffn_norm.weight", Layout::Same)
        );
        assert_eq!(MAP.target("layer.1.LayerNorm.beta"), parameter("layers.1.ffn_norm.bias", Layout::Same));
    }

    #[test]
    fn refuses_what_no_row_knows() {
        for name in ["layer.x.dense.weight", "layer..dense.weight", "layer.1.dense.gamma", "emb.weights", ""]
        {
            assert_eq!(MAP.target(name), None, "{name}");
        }
        assert_eq!(MAP.target("cls.predictions.bias"), Some(Target::Foreign));
        assert_eq!(MAP.target("emb.position_ids"), Some(Target::Ignored));
    }

    #[test]
    fn every_path_finds_its_name_back() {
        for name in ["emb.weight", "layer.3.dense.weight", "layer.3.dense.bias", "layer.10.LayerNorm.bias"] {
            let Some(Target::Parameter { path, layout }) = MAP.target(name) else { panic!("{name}") };
            assert_eq!(MAP.stored_name(&path), Some((name.to_owned(), layout)));
        }
    }
}
