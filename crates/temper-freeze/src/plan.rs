use std::fmt;

use burn::module::{Module, ParamGroup, ParamId};
use serde::Serialize;
use temper_models::{Parameter, ParameterTable, is_adapter};

use crate::levels::{Stacks, is_embedding};
use crate::{FreezeError, Strategy};

/// What happens to one parameter.
#[derive(Clone, Debug, Serialize)]
pub struct PlanRow {
    /// Its path.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Number of elements.
    pub count: usize,
    /// Whether it trains.
    pub trains: bool,
    /// Whether weight decay touches it: not biases, not norms.
    pub decays: bool,
    /// Its learning-rate group.
    pub group: &'static str,
    #[serde(skip)]
    pub(crate) id: ParamId,
}

/// A strategy worked out for one model.
#[derive(Clone, Debug)]
pub struct FreezePlan {
    /// One row a parameter, in the model's order.
    pub rows: Vec<PlanRow>,
}

impl FreezePlan {
    /// Works a strategy out; `new` lists the parameters that were drawn at random.
    ///
    /// # Errors
    /// [`FreezeError::TooManyLayers`], [`FreezeError::NoMatch`] and [`FreezeError::NoAdapters`].
    pub fn new(strategy: &Strategy, table: &ParameterTable, new: &[String]) -> Result<Self, FreezeError> {
        check(strategy, table)?;
        let stacks = Stacks::of(table);
        let row = |parameter: &Parameter| {
            let picked = trains(strategy, &parameter.path, stacks) || new.contains(&parameter.path);
            let trains = picked && !parameter.is_fixed();
            PlanRow {
                path: parameter.path.clone(),
                shape: parameter.shape.clone(),
                count: parameter.count(),
                trains,
                decays: decays(&parameter.path),
                group: group(&parameter.path, trains),
                id: parameter.id,
            }
        };
        Ok(Self { rows: table.parameters.iter().map(row).collect() })
    }

    /// Makes the parameters that train ask for gradients, and the others not.
    pub fn apply<M: Module>(&self, module: M) -> M {
        let frozen = self.ids(|row| !row.trains);
        let trained = self.ids(|row| row.trains);
        module
            .set_require_grad_group(ParamGroup::from_ids(frozen), false)
            .set_require_grad_group(ParamGroup::from_ids(trained), true)
    }

    /// Ids of the rows that a condition picks.
    pub fn ids(&self, picked: impl Fn(&PlanRow) -> bool) -> Vec<ParamId> {
        self.rows.iter().filter(|row| picked(row)).map(|row| row.id).collect()
    }

    /// Path of the parameter with that id.
    pub fn path_of(&self, id: ParamId) -> Option<&str> {
        self.rows.iter().find(|row| row.id == id).map(|row| row.path.as_str())
    }

    /// Number of elements in all parameters.
    pub fn total(&self) -> usize {
        self.rows.iter().map(|row| row.count).sum()
    }

    /// Number of elements that train.
    pub fn trainable(&self) -> usize {
        self.rows.iter().filter(|row| row.trains).map(|row| row.count).sum()
    }

    /// Totals in one line.
    pub fn summary(&self) -> String {
        let (trainable, total) = (self.trainable(), self.total());
        let percent = 100.0 * trainable as f64 / total.max(1) as f64;
        format!("{trainable} of {total} parameters train ({percent:.2} %)")
    }
}

impl fmt::Display for FreezePlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.path.len()).max().unwrap_or(0).max("parameter".len());
        writeln!(out, "{:width$}  {:>14}  {:>12}  {:<6}  group", "parameter", "shape", "count", "trains")?;
        for row in &self.rows {
            let shape = format!("{:?}", row.shape);
            let trains = if row.trains { "yes" } else { "no" };
            writeln!(out, "{:width$}  {shape:>14}  {:>12}  {trains:<6}  {}", row.path, row.count, row.group)?;
        }
        write!(out, "{}", self.summary())
    }
}

fn check(strategy: &Strategy, table: &ParameterTable) -> Result<(), FreezeError> {
    match strategy {
        Strategy::LastLayers(asked) if *asked > Stacks::of(table).layers() => {
            Err(FreezeError::TooManyLayers { asked: *asked, available: Stacks::of(table).layers() })
        }
        Strategy::Lora if !table.parameters.iter().any(|parameter| is_adapter(&parameter.path)) => {
            Err(FreezeError::NoAdapters)
        }
        Strategy::Patterns(patterns) => {
            let unmatched = patterns
                .iter()
                .find(|pattern| !table.parameters.iter().any(|parameter| pattern.is_match(&parameter.path)));
            match unmatched {
                None => Ok(()),
                Some(pattern) => Err(FreezeError::NoMatch {
                    pattern: pattern.as_str().into(),
                    example: table.parameters.last().map_or(String::new(), |last| last.path.clone()),
                }),
            }
        }
        _ => Ok(()),
    }
}

fn trains(strategy: &Strategy, path: &str, stacks: Stacks) -> bool {
    let head = path.starts_with("head.");
    match strategy {
        Strategy::All => true,
        Strategy::Head => head,
        Strategy::LastLayers(count) => !is_embedding(path) && stacks.level(path) + count >= stacks.layers(),
        Strategy::Embeddings => head || is_embedding(path),
        Strategy::FreezeEmbeddings => !is_embedding(path),
        Strategy::Lora => head || is_adapter(path),
        Strategy::Patterns(patterns) => patterns.iter().any(|pattern| pattern.is_match(path)),
    }
}

/// Loshchilov and Hutter's decay is for matrices; BERT's recipe leaves out biases and norms.
fn decays(path: &str) -> bool {
    let is_norm = path.rsplit('.').nth(1).is_some_and(|module| module.ends_with("norm"));
    !is_norm && !path.ends_with(".bias")
}

fn group(path: &str, trains: bool) -> &'static str {
    match (trains, decays(path)) {
        (false, _) => "frozen",
        (true, true) => "decay",
        (true, false) => "no decay",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> ParameterTable {
        let parameter = |path: &&str| Parameter {
            path: path.to_string(),
            shape: vec![2],
            id: ParamId::new(),
            trains: true,
        };
        ParameterTable { parameters: paths.iter().map(parameter).collect() }
    }

    fn twelve_layers() -> ParameterTable {
        let mut paths = vec!["token_embedding.weight".to_owned(), "embedding_norm.bias".to_owned()];
        paths.extend((0..12).map(|layer| format!("layers.{layer}.ffn.inner.weight")));
        paths.extend(["pooler.weight".to_owned(), "head.output.weight".to_owned()]);
        table(&paths.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn trained(strategy: &str, new: &[String]) -> Vec<String> {
        let plan = FreezePlan::new(&strategy.parse().unwrap(), &twelve_layers(), new).unwrap();
        plan.rows.into_iter().filter(|row| row.trains).map(|row| row.path).collect()
    }

    #[test]
    fn a_layer_number_is_matched_whole() {
        assert_eq!(trained("pattern:layers\\.1\\..*", &[]), ["layers.1.ffn.inner.weight"]);
    }

    #[test]
    fn strategies_pick_what_they_say() {
        assert_eq!(trained("all", &[]).len(), 16);
        assert_eq!(trained("head", &[]), ["head.output.weight"]);
        assert_eq!(
            trained("last:2", &[]),
            [
                "layers.10.ffn.inner.weight",
                "layers.11.ffn.inner.weight",
                "pooler.weight",
                "head.output.weight"
            ]
        );
        assert_eq!(
            trained("embeddings", &[]),
            ["token_embedding.weight", "embedding_norm.bias", "head.output.weight"]
        );
        assert_eq!(trained("freeze-embeddings", &[]).len(), 14);
    }

    #[test]
    fn an_encoder_lies_below_its_decoder() {
        let paths = [
            "token_embedding.weight",
            "encoder.relative_bias.weight",
            "encoder.layers.0.ffn.inner.weight",
            "encoder.layers.1.ffn.inner.weight",
            "encoder.final_norm.weight",
            "decoder.position_embedding.weight",
            "decoder.layers.0.ffn.inner.weight",
            "decoder.final_norm.weight",
            "head.output.weight",
        ];
        let trained = |strategy: &str| -> Vec<bool> {
            let plan = FreezePlan::new(&strategy.parse().unwrap(), &table(&paths), &[]).unwrap();
            plan.rows.into_iter().map(|row| row.trains).collect()
        };
        let [no, yes] = [false, true];
        assert_eq!(trained("last:1"), [no, no, no, no, no, no, yes, yes, yes]);
        assert_eq!(trained("last:2"), [no, no, no, yes, yes, no, yes, yes, yes]);
        assert_eq!(trained("embeddings"), [yes, yes, no, no, no, yes, no, no, yes]);
        assert!(FreezePlan::new(&"last:4".parse().unwrap(), &table(&paths), &[]).is_err());
    }

    #[test]
    fn random_parameters_always_train() {
        assert_eq!(trained("head", &["pooler.weight".into()]), ["pooler.weight", "head.output.weight"]);
    }

    #[test]
    fn fixed_parameters_never_train() {
        let table = table(&["head.output.weight", "head.fixed_bias"]);
        let plan = FreezePlan::new(&"all".parse().unwrap(), &table, &[]).unwrap();
        assert_eq!(plan.rows.iter().map(|row| row.trains).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn impossible_plans_are_refused() {
        let plan = |name: &str| FreezePlan::new(&name.parse().unwrap(), &twelve_layers(), &[]);
        assert!(matches!(plan("last:13"), Err(FreezeError::TooManyLayers { asked: 13, available: 12 })));
        assert!(matches!(plan("pattern:layers"), Err(FreezeError::NoMatch { .. })));
    }

    #[test]
    fn decay_leaves_out_biases_and_norms() {
        for (path, expected) in [
            ("layers.0.ffn.inner.weight", true),
            ("layers.0.ffn.inner.bias", false),
            ("layers.0.attention_norm.weight", false),
            ("token_embedding.weight", true),
        ] {
            assert_eq!(decays(path), expected, "{path}");
        }
    }
}
