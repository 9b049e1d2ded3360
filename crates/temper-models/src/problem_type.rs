//! What a classifier's outputs mean: `problem_type` of config.json, as transformers reads it.

use serde_json::Value;

use crate::{ModelConfig, ModelError};

/// What the outputs of a classifier of sequences mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMeaning {
    /// One of several labels: softmax over the outputs.
    SingleLabel,
    /// Each label by itself, and so a single output that is no regression: sigmoid of each.
    MultiLabel,
    /// Numbers as they are.
    Regression,
}

impl OutputMeaning {
    /// The `problem_type` of config.json.
    pub fn problem_type(self) -> &'static str {
        match self {
            Self::SingleLabel => "single_label_classification",
            Self::MultiLabel => "multi_label_classification",
            Self::Regression => "regression",
        }
    }
}

impl<B> ModelConfig<B> {
    /// What so many outputs mean, as transformers 5.23's text-classification pipeline takes them
    /// (pipelines/text_classification.py; configuration_utils.py for what it refuses).
    ///
    /// # Errors
    /// [`ModelError::Config`] for a `problem_type` that transformers refuses.
    pub fn output_meaning(&self, outputs: usize) -> Result<OutputMeaning, ModelError> {
        let refused = |reason: String| Err(ModelError::Config { reason });
        match self.raw().get("problem_type").unwrap_or(&Value::Null) {
            Value::Null if outputs == 1 => Ok(OutputMeaning::MultiLabel),
            Value::Null => Ok(OutputMeaning::SingleLabel),
            Value::String(name) if name == "regression" => Ok(OutputMeaning::Regression),
            Value::String(name) if name == "multi_label_classification" => Ok(OutputMeaning::MultiLabel),
            Value::String(name) if name == "single_label_classification" && outputs == 1 => refused(
                "problem_type is single_label_classification, but the model has one output; \
                 write regression or multi_label_classification, whichever it was trained for"
                    .into(),
            ),
            Value::String(name) if name == "single_label_classification" => Ok(OutputMeaning::SingleLabel),
            other => refused(format!(
                "problem_type is {other}; it must be single_label_classification, \
                 multi_label_classification or regression"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meaning(problem_type: Value, outputs: usize) -> Result<OutputMeaning, String> {
        let mut raw = serde_json::Map::from_iter([("model_type".to_owned(), json!("bert"))]);
        let sizes = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"];
        raw.extend(sizes.map(|size| (size.to_owned(), json!(4))));
        raw.extend(["intermediate_size", "max_position_embeddings"].map(|size| (size.to_owned(), json!(8))));
        if !problem_type.is_null() {
            raw.insert("problem_type".into(), problem_type);
        }
        let config = crate::registry::parse(raw).expect("a configuration");
        config.output_meaning(outputs).map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_mean_what_they_mean_to_the_pipeline() {
        use OutputMeaning::{MultiLabel, Regression, SingleLabel};
        assert_eq!(meaning(Value::Null, 3), Ok(SingleLabel));
        assert_eq!(meaning(Value::Null, 1), Ok(MultiLabel));
        assert_eq!(meaning(json!("single_label_classification"), 2), Ok(SingleLabel));
        assert_eq!(meaning(json!("multi_label_classification"), 3), Ok(MultiLabel));
        assert_eq!(meaning(json!("regression"), 1), Ok(Regression));
        assert_eq!(meaning(json!("regression"), 3), Ok(Regression));
    }

    #[test]
    fn what_transformers_refuses_is_refused() {
        assert!(meaning(json!("single_label_classification"), 1).unwrap_err().contains("one output"));
        assert!(meaning(json!("ranking"), 2).unwrap_err().contains("\"ranking\""));
        assert!(meaning(json!(2), 2).unwrap_err().contains("problem_type is 2"));
    }
}
