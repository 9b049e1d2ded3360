//! `adapter_config.json`, as PEFT writes it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::peft_fields::unsupported;
use super::peft_pattern::Pattern;
use super::peft_targets::{Names, PeftTargets, Targets};
use super::targets::ALL_LINEAR;
use crate::FreezeError;

/// Name of the configuration in an adapter's folder.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of the weights in an adapter's folder.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// The part of an adapter's configuration that says what to compute, and on what.
#[derive(Clone, Debug)]
pub struct PeftConfig {
    /// The adapter's task, such as `SEQ_CLS`.
    pub task_type: Option<String>,
    /// The class of the base model, such as `BertModel`, where it is noted: mostly without a task.
    pub architecture: Option<String>,
    /// Hub id or folder of the base model that the adapter was trained on.
    pub base_model: Option<String>,
    /// Revision of the base model on the Hub.
    pub revision: Option<String>,
    /// Rank of an adapter without an entry in `rank_pattern`.
    pub r: usize,
    /// Alpha of an adapter without an entry in `alpha_pattern`.
    pub lora_alpha: f64,
    /// Dropout on the input of the path.
    pub lora_dropout: f64,
    /// True if alpha is divided by the square root of the rank.
    use_rslora: bool,
    /// In the file's order, of which the first that matches counts.
    rank_pattern: Vec<(Pattern, usize)>,
    alpha_pattern: Vec<(Pattern, f64)>,
    pub(super) bias: TrainedBias,
    /// True if the modules that are tied to a completely stored module are stored, too.
    pub(super) keeps_ties: bool,
    /// Ends of names of modules that are stored whole.
    pub(super) modules_to_save: Vec<String>,
    pub(super) targets: PeftTargets,
}

/// Which biases an adapter stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TrainedBias {
    #[default]
    None,
    /// Those of modules with an adapter.
    LoraOnly,
    All,
}

impl PeftConfig {
    /// Reads the configuration in an adapter's folder.
    ///
    /// # Errors
    /// [`FreezeError::Adapter`] for a file that cannot be read, [`FreezeError::AdapterMisfit`] with every field
    /// that cannot be honoured.
    pub fn read(dir: &Path) -> Result<Self, FreezeError> {
        let path = dir.join(ADAPTER_CONFIG);
        let broken = |reason: String| FreezeError::Adapter { path: path.clone(), reason };
        if !path.is_file() {
            return Err(broken("is missing; give the local folder in which PEFT saved the adapter".into()));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
        let raw: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let mut fields = Fields { raw: &raw, problems: unsupported(&raw) };
        let config = fields.config();
        match fields.problems {
            problems if problems.is_empty() => Ok(config),
            problems => Err(FreezeError::AdapterMisfit { path: PathBuf::from(&path), problems }),
        }
    }

    /// Rank of the adapter on a module.
    pub(super) fn rank(&self, module: &str) -> Result<usize, String> {
        Ok(first(&self.rank_pattern, module)?.unwrap_or(self.r))
    }

    /// What the product of the matrices on a module is multiplied by.
    pub(super) fn scale(&self, module: &str) -> Result<f64, String> {
        let alpha = first(&self.alpha_pattern, module)?.unwrap_or(self.lora_alpha);
        let rank = self.rank(module)? as f64;
        Ok(alpha / if self.use_rslora { rank.sqrt() } else { rank })
    }
}

/// The value of the first pattern that the end of a module's name matches.
fn first<V: Copy>(patterns: &[(Pattern, V)], module: &str) -> Result<Option<V>, String> {
    for (pattern, value) in patterns {
        if pattern.matches(module)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// The fields of a file, and what is wrong with those that were read.
struct Fields<'a> {
    raw: &'a Map<String, Value>,
    problems: Vec<String>,
}

/// A name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

impl Fields<'_> {
    fn config(&mut self) -> PeftConfig {
        let mapping: Option<Map<String, Value>> = self.get("auto_mapping");
        let modules_to_save: Vec<String> = self.get("modules_to_save").unwrap_or_default();
        let class = mapping.as_ref().and_then(|mapping| mapping.get("base_model_class")?.as_str());
        PeftConfig {
            task_type: self.get("task_type"),
            architecture: class.map(str::to_owned),
            base_model: self.get("base_model_name_or_path"),
            revision: self.get("revision"),
            // PEFT's defaults are 8.
            r: self.rank("r", self.raw.get("r")).unwrap_or(8),
            lora_alpha: self.get("lora_alpha").unwrap_or(8.0),
            lora_dropout: self.dropout(),
            use_rslora: self.get("use_rslora").unwrap_or_default(),
            rank_pattern: self.patterns("rank_pattern", Self::rank),
            alpha_pattern: self.patterns("alpha_pattern", Self::alpha),
            bias: self.get("bias").unwrap_or_default(),
            keeps_ties: self.get("ensure_weight_tying").unwrap_or_default(),
            targets: self.targets(&modules_to_save),
            modules_to_save,
        }
    }

    /// A field's value; `None` where it is absent, null or wrong.
    fn get<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.raw.get(name).filter(|value| !value.is_null())?;
        T::deserialize(value).map_err(|error| self.problems.push(format!("{name}: {error}"))).ok()
    }

    fn rank(&mut self, name: &str, value: Option<&Value>) -> Option<usize> {
        let value = value.filter(|value| !value.is_null())?;
        let rank = value.as_u64().and_then(|rank| usize::try_from(rank).ok()).filter(|&rank| rank > 0);
        if rank.is_none() {
            self.problems.push(format!("{name} = {value} is not a rank; a rank is a whole number above 0"));
        }
        rank
    }

    fn alpha(&mut self, name: &str, value: Option<&Value>) -> Option<f64> {
        let alpha = value.and_then(Value::as_f64);
        if alpha.is_none() {
            let value = value.map_or_else(String::new, Value::to_string);
            self.problems.push(format!("{name} = {value} is not a number"));
        }
        alpha
    }

    fn dropout(&mut self) -> f64 {
        let dropout = self.get("lora_dropout").unwrap_or(0.0);
        // Merging does not depend on it, but what the adapter computes while it trains does.
        if !(0.0..1.0).contains(&dropout) {
            self.problems.push(format!("lora_dropout = {dropout} is not a probability below 1"));
            return 0.0;
        }
        dropout
    }

    /// A field that leads from patterns to values.
    fn patterns<V>(
        &mut self,
        name: &str,
        read: fn(&mut Self, &str, Option<&Value>) -> Option<V>,
    ) -> Vec<(Pattern, V)> {
        let given: Map<String, Value> = self.get(name).unwrap_or_default();
        let mut patterns = Vec::new();
        for (key, value) in &given {
            let value = read(self, &format!("{name}, {key:?}"), Some(value));
            let pattern = self.pattern(name, Pattern::end(key));
            patterns.extend(pattern.zip(value));
        }
        patterns
    }

    fn pattern(&mut self, name: &str, pattern: Result<Pattern, String>) -> Option<Pattern> {
        pattern.map_err(|reason| self.problems.push(format!("{name}: {reason}"))).ok()
    }

    fn targets(&mut self, modules_to_save: &[String]) -> PeftTargets {
        let whole = modules_to_save.iter().map(String::as_str).chain(self.heads().iter().copied());
        let whole = whole.filter_map(|name| self.pattern("modules_to_save", Pattern::within(name))).collect();
        let layers: Option<OneOrMore<u64>> = self.get("layers_to_transform");
        let lists: Option<OneOrMore<String>> = self.get("layers_pattern");
        let lists = lists.map(OneOrMore::into_vec).unwrap_or_default();
        PeftTargets {
            targets: match self.raw.get("target_modules").and_then(Value::as_str) {
                Some(given) if given.to_lowercase() == ALL_LINEAR => Some(Targets::AllLinear),
                _ => self.names("target_modules").map(Targets::Names),
            },
            exclude: self.names("exclude_modules"),
            whole,
            layers: layers.map(OneOrMore::into_vec).unwrap_or_default(),
            layer_lists: lists
                .iter()
                .filter(|name| !name.is_empty())
                .filter_map(|name| self.pattern("layers_pattern", Pattern::layers(name)))
                .collect(),
        }
    }

    fn names(&mut self, name: &str) -> Option<Names> {
        match self.get::<OneOrMore<String>>(name)? {
            OneOrMore::One(given) if given.is_empty() => None,
            OneOrMore::One(given) => self.pattern(name, Pattern::whole(&given)).map(Names::Pattern),
            OneOrMore::More(names) => Some(Names::List(names)),
        }
    }

    /// The modules that PEFT stores whole for a task, whatever `modules_to_save` says.
    fn heads(&self) -> &'static [&'static str] {
        match self.raw.get("task_type").and_then(Value::as_str) {
            Some("SEQ_CLS" | "TOKEN_CLS") => &["classifier", "score"],
            Some("QUESTION_ANS") => &["qa_outputs"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<PeftConfig, FreezeError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(ADAPTER_CONFIG), value.to_string()).unwrap();
        PeftConfig::read(dir.path())
    }

    #[test]
    fn patterns_win_over_the_defaults() {
        let config = read(&json!({
            "peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "init_lora_weights": true,
            "rank_pattern": {"self.query": 2, "layer\\.1\\..*value": 3}, "alpha_pattern": {"value": 1.5},
        }))
        .unwrap();
        let rank = |name: &str| config.rank(name).unwrap();
        assert_eq!(rank("encoder.layer.0.attention.self.query"), 2);
        assert_eq!(rank("encoder.layer.1.attention.self.value"), 3);
        assert_eq!(rank("encoder.layer.11.attention.self.value"), 4);
        assert_eq!(rank("encoder.layer.0.myself.query"), 4, "from a dot on");
        assert_eq!(config.scale("encoder.layer.1.attention.self.value"), Ok(0.5));
        assert_eq!(config.scale("encoder.layer.1.attention.self.query"), Ok(4.0));
    }

    #[test]
    fn the_first_pattern_in_the_file_counts() {
        let text = r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"value": 12, "self.value": 16}}"#;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(ADAPTER_CONFIG), text).unwrap();
        assert_eq!(PeftConfig::read(dir.path()).unwrap().scale("self.value"), Ok(3.0));
        std::fs::write(dir.path().join(ADAPTER_CONFIG), text.replace("\"value\"", "\"z?value\"")).unwrap();
        assert_eq!(PeftConfig::read(dir.path()).unwrap().scale("self.value"), Ok(3.0));
    }

    #[test]
    fn a_rank_stabilised_adapter_is_divided_by_the_root_of_its_rank() {
        let config = read(&json!({
            "peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": true, "rank_pattern": {"value": 16},
        }))
        .unwrap();
        assert_eq!((config.scale("query"), config.scale("value")), (Ok(4.0), Ok(2.0)));
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let error = read(&json!({
            "peft_type": "LORA", "r": 0, "lora_alpha": "8", "use_rslora": 1, "bias": "some", "use_dora": true,
            "rank_pattern": {"(": 2, "value": -1}, "alpha_pattern": {"value": null}, "lora_dropout": 2,
            "modules_to_save": "classifier", "layers_to_transform": [-1], "target_modules": {"a": 1},
            "exclude_modules": "[",
        }))
        .unwrap_err();
        let text = error.to_string();
        let FreezeError::AdapterMisfit { problems, .. } = error else { panic!("{text}") };
        for word in [
            "r = 0",
            "lora_alpha:",
            "use_rslora:",
            "bias:",
            "use_dora = true",
            "rank_pattern: \"(\"",
            "rank_pattern, \"value\" = -1",
            "alpha_pattern, \"value\" = null",
            "lora_dropout = 2",
            "modules_to_save:",
            "layers_to_transform:",
            "target_modules:",
            "exclude_modules: \"[\"",
        ] {
            assert!(problems.iter().any(|line| line.starts_with(word)), "{word} is not in {text}");
        }
    }
}
