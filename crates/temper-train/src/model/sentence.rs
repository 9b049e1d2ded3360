//! What a folder of sentence-transformers says of how a text becomes a vector: modules.json and the files
//! of its modules, after sentence-transformers 6.2.

use std::path::Path;

use serde_json::{Map, Value};
use temper_models::TextPooling;

use crate::TrainError;

/// Names that the file of the transformer module has had.
const TRANSFORMER_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Keys of a pooling's configuration in the order in which their vectors are joined, with the names that
/// newer files have.
const POOLINGS: [(&str, &str, TextPooling); 6] = [
    ("pooling_mode_cls_token", "cls", TextPooling::Cls),
    ("pooling_mode_max_tokens", "max", TextPooling::Max),
    ("pooling_mode_mean_tokens", "mean", TextPooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", TextPooling::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", "weightedmean", TextPooling::WeightedMean),
    ("pooling_mode_lasttoken", "lasttoken", TextPooling::Last),
];

/// How sentence-transformers makes a vector of a text with a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SentenceModel {
    /// What is pooled; the vectors follow each other.
    pub(crate) poolings: Vec<TextPooling>,
    /// Whether the tokens of a prompt count.
    pub(crate) include_prompt: bool,
    /// Whether vectors are scaled to length 1.
    pub(crate) normalize: bool,
    /// Tokens of a text at most, special tokens included.
    pub(crate) max_seq_length: Option<usize>,
    /// Whether texts are put into lower case first.
    pub(crate) do_lower_case: bool,
    /// Texts that may be put before a text, by name.
    prompts: Map<String, Value>,
    default_prompt: Option<String>,
}

impl SentenceModel {
    /// Reads modules.json of a folder and what it names; `None` without one.
    ///
    /// # Errors
    /// [`TrainError::File`] for what cannot be understood or is not computed here.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, TrainError> {
        let path = dir.join("modules.json");
        if !path.is_file() {
            return Ok(None);
        }
        let modules: Vec<Map<String, Value>> = parse(&path)?;
        let mut model = Self::transformer(dir)?;
        // The modules follow each other: transformer, pooling, and then what changes the vector.
        let mut stage = 0;
        for module in &modules {
            let word = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let (class, place) = (word("type"), word("path"));
            let name = class.rsplit('.').next().unwrap_or_default();
            stage = match (name, stage) {
                ("Transformer", 0) if place.is_empty() => 1,
                ("Pooling", 1) => {
                    model.pool(&dir.join(place).join("config.json"))?;
                    2
                }
                ("Normalize", 2) => {
                    model.normalize = true;
                    2
                }
                // Nothing drops out of a vector that is only computed.
                ("Dropout", 1 | 2) => stage,
                _ => return Err(unsupported(&path, &format!("the module {class} in {place:?}"))),
            };
        }
        if stage < 2 {
            return Err(unsupported(&path, "a model without a pooling module"));
        }
        Ok(Some(model))
    }

    /// What the first module and the model as a whole say.
    fn transformer(dir: &Path) -> Result<Self, TrainError> {
        let path = TRANSFORMER_FILES.map(|name| dir.join(name)).into_iter().find(|path| path.is_file());
        let own = path.as_deref().map(parse::<Map<String, Value>>).transpose()?.unwrap_or_default();
        let path = path.unwrap_or_else(|| dir.join(TRANSFORMER_FILES[0]));
        match own.get("transformer_task").and_then(Value::as_str) {
            None | Some("feature-extraction") => {}
            Some(task) => return Err(unsupported(&path, &format!("transformer_task {task}"))),
        }
        let max_seq_length = match own.get("max_seq_length").unwrap_or(&Value::Null) {
            Value::Null => None,
            value => Some(value.as_u64().filter(|&length| length > 0).ok_or_else(|| {
                TrainError::content(&path, format!("max_seq_length is {value}; it must be above 0"))
            })? as usize),
        };
        let path = dir.join("config_sentence_transformers.json");
        let whole: Map<String, Value> = if path.is_file() { parse(&path)? } else { Map::new() };
        match whole.get("model_type").and_then(Value::as_str) {
            None | Some("SentenceTransformer") => {}
            Some(kind) => return Err(unsupported(&path, &format!("model_type {kind}"))),
        }
        Ok(Self {
            poolings: Vec::new(),
            include_prompt: true,
            normalize: false,
            max_seq_length,
            do_lower_case: own.get("do_lower_case") == Some(&Value::Bool(true)),
            prompts: whole.get("prompts").and_then(Value::as_object).cloned().unwrap_or_default(),
            default_prompt: whole.get("default_prompt_name").and_then(Value::as_str).map(String::from),
        })
    }

    fn pool(&mut self, path: &Path) -> Result<(), TrainError> {
        let config: Map<String, Value> = parse(path)?;
        let by_name = |name: &Value| {
            let found = POOLINGS.iter().find(|(_, known, _)| name == known);
            found
                .map(|(_, _, pooling)| *pooling)
                .ok_or_else(|| unsupported(path, &format!("pooling_mode {name}")))
        };
        self.poolings = match config.get("pooling_mode") {
            Some(Value::Array(names)) => names.iter().map(by_name).collect::<Result<_, _>>()?,
            Some(name) => vec![by_name(name)?],
            None => {
                let is_on = |key: &str| config.get(key) == Some(&Value::Bool(true));
                POOLINGS.iter().filter(|(key, ..)| is_on(key)).map(|(.., pooling)| *pooling).collect()
            }
        };
        if self.poolings.is_empty() {
            self.poolings = vec![TextPooling::Mean];
        }
        self.include_prompt = config.get("include_prompt") != Some(&Value::Bool(false));
        Ok(())
    }

    /// The prompt of a name, or the one that the model uses where none is named; empty for none.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a name that the model does not have.
    pub(crate) fn prompt(&self, name: Option<&str>) -> Result<String, TrainError> {
        let Some(name) = name.or(self.default_prompt.as_deref()) else { return Ok(String::new()) };
        match self.prompts.get(name) {
            Some(Value::String(prompt)) => Ok(prompt.clone()),
            Some(Value::Null) => Ok(String::new()),
            _ => {
                let known: Vec<&str> = self.prompts.keys().map(String::as_str).collect();
                Err(TrainError::Usage(format!(
                    "the model has no prompt named {name}; it has: {}; --prompt gives one of your own",
                    if known.is_empty() { "none".into() } else { known.join(", ") }
                )))
            }
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| TrainError::content(path, format!("{error}; modules.json needs it")))?;
    serde_json::from_str(&text).map_err(|error| TrainError::content(path, error))
}

fn unsupported(path: &Path, what: &str) -> TrainError {
    TrainError::content(
        path,
        format!(
            "{what} is not supported, and without it the vectors would be different; --pooling gives plain pooled hidden states"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = r#"[{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}"#;

    fn read(modules: &str, files: &[(&str, &str)]) -> Result<SentenceModel, TrainError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        std::fs::write(dir.path().join("modules.json"), modules).unwrap();
        std::fs::write(dir.path().join("1_Pooling/config.json"), "{}").unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        SentenceModel::read(dir.path()).map(|model| model.expect("modules.json is there"))
    }

    fn poolings(config: &str) -> Vec<TextPooling> {
        read(&format!("{MODULES}]"), &[("1_Pooling/config.json", config)]).unwrap().poolings
    }

    #[test]
    fn poolings_are_those_of_the_file_in_their_order() {
        use TextPooling::{Cls, Last, Max, Mean, MeanSqrtLen, WeightedMean};
        assert_eq!(poolings("{}"), [Mean]);
        assert_eq!(poolings(r#"{"pooling_mode_mean_tokens": false}"#), [Mean]);
        assert_eq!(poolings(r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#), [Cls]);
        let all = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true,
            "pooling_mode_max_tokens": true, "pooling_mode_cls_token": true,
            "pooling_mode_weightedmean_tokens": true, "pooling_mode_mean_sqrt_len_tokens": true}"#;
        assert_eq!(poolings(all), [Cls, Max, Mean, MeanSqrtLen, WeightedMean, Last]);
        assert_eq!(poolings(r#"{"pooling_mode": "lasttoken"}"#), [Last]);
        assert_eq!(poolings(r#"{"pooling_mode": ["mean", "cls"], "include_prompt": false}"#), [Mean, Cls]);
    }

    #[test]
    fn the_other_files_are_read() {
        let modules = format!(
            r#"{MODULES}, {{"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}}]"#
        );
        let model = read(
            &modules,
            &[
                ("sentence_bert_config.json", r#"{"max_seq_length": 7, "do_lower_case": true}"#),
                (
                    "config_sentence_transformers.json",
                    r#"{"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": "query"}"#,
                ),
            ],
        )
        .unwrap();
        assert!(model.normalize && model.do_lower_case && model.include_prompt);
        assert_eq!(model.max_seq_length, Some(7));
        assert_eq!(model.prompt(None).unwrap(), "q: ");
        assert_eq!(model.prompt(Some("document")).unwrap(), "");
        assert!(model.prompt(Some("passage")).unwrap_err().to_string().contains("query, document"));
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let dense =
            format!(r#"{MODULES}, {{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}}]"#);
        let message = |modules: &str, files: &[(&str, &str)]| read(modules, files).unwrap_err().to_string();
        assert!(message(&dense, &[]).contains("sentence_transformers.models.Dense"));
        let plain = format!("{MODULES}]");
        assert!(
            message(&plain, &[("1_Pooling/config.json", r#"{"pooling_mode": "median"}"#)]).contains("median")
        );
        let task = [("sentence_bert_config.json", r#"{"transformer_task": "fill-mask"}"#)];
        assert!(message(&plain, &task).contains("fill-mask"));
        let kind = [("config_sentence_transformers.json", r#"{"model_type": "CrossEncoder"}"#)];
        assert!(message(&plain, &kind).contains("CrossEncoder"));
        assert!(message("[]", &[]).contains("without a pooling module"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("modules.json"), &plain).unwrap();
        assert!(SentenceModel::read(dir.path()).unwrap_err().to_string().contains("1_Pooling"));
    }
}
