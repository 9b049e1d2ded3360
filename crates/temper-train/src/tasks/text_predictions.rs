//! Predictions for texts.

use serde_json::{Map, Value, json};
use temper_data::TextLabel;
use temper_models::OutputMeaning;

use super::classified::Classified;
use super::decisions::LABEL_THRESHOLD;
use super::text_outputs::TextOutputs;
use super::{Decoded, Output, Predictions};
use crate::terminal::field;

/// What a model says of some texts.
pub(super) struct TextPredictions {
    pub(super) outputs: TextOutputs,
    /// One for each text; none until its output arrives.
    pub(super) rows: Vec<Option<Classified>>,
    /// The right labels; empty if they are unknown.
    pub(super) truth: Vec<TextLabel>,
}

impl TextPredictions {
    /// No predictions yet, for so many texts whose right labels are unknown.
    pub(super) fn new(outputs: TextOutputs, texts: usize) -> Self {
        Self { outputs, rows: vec![None; texts], truth: Vec::new() }
    }

    /// The predictions so far, with the right labels.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, &Classified, &TextLabel)> {
        let rows = self.rows.iter().zip(&self.truth).enumerate();
        rows.filter_map(|(example, (row, truth))| Some((example, row.as_ref()?, truth)))
    }

    /// Those with one right label.
    pub(super) fn single(&self) -> impl Iterator<Item = (usize, &Classified, usize)> {
        self.pairs().filter_map(|(example, row, truth)| match truth {
            TextLabel::One(label) => Some((example, row, *label)),
            _ => None,
        })
    }

    /// The labels that a text has, where they are independent.
    pub(super) fn predicted(&self, row: &Classified) -> Vec<bool> {
        let probabilities = row.independent_probabilities();
        probabilities.iter().map(|&probability| probability >= self.outputs.threshold).collect()
    }

    /// transformers' name of the function that turns logits into the printed values.
    fn function(&self) -> &'static str {
        match self.outputs.meaning {
            OutputMeaning::SingleLabel => "softmax",
            OutputMeaning::MultiLabel => "sigmoid",
            OutputMeaning::Regression => "none",
        }
    }

    fn by_name(&self, values: &[f64]) -> Value {
        let named = values.iter().enumerate().map(|(id, value)| (self.outputs.name(id), json!(value)));
        Value::Object(named.collect())
    }

    /// A prediction in words.
    fn decode_row(&self, prediction: &Classified) -> Decoded {
        match self.outputs.meaning {
            OutputMeaning::SingleLabel => self.decode_label(prediction),
            OutputMeaning::MultiLabel => {
                let probabilities = prediction.independent_probabilities();
                let threshold = self.outputs.threshold;
                let labels =
                    probabilities.iter().enumerate().filter(|(_, probability)| **probability >= threshold);
                let labels: Vec<String> = labels.map(|(id, _)| self.outputs.name(id)).collect();
                let mut fields = Map::from_iter([("labels".to_owned(), json!(labels))]);
                fields.insert("probabilities".into(), self.by_name(&probabilities));
                self.decode_each(&probabilities, fields, prediction)
            }
            OutputMeaning::Regression => {
                let values: Vec<f64> = prediction.logits.iter().map(|&logit| f64::from(logit)).collect();
                let fields = Map::from_iter([("values".to_owned(), self.by_name(&values))]);
                self.decode_each(&values, fields, prediction)
            }
        }
    }

    /// The label with the highest probability.
    fn decode_label(&self, prediction: &Classified) -> Decoded {
        let (label, probabilities) = (prediction.label(), prediction.probabilities());
        let mut fields = Map::new();
        fields.insert("label".into(), json!(self.outputs.name(label)));
        fields.insert("probabilities".into(), self.by_name(&probabilities));
        fields.insert("logits".into(), json!(prediction.logits));
        Decoded { line: format!("{}\t{:.4}", field(&self.outputs.name(label)), probabilities[label]), fields }
    }

    /// Every output by name, as `name=value`.
    fn decode_each(
        &self,
        values: &[f64],
        mut fields: Map<String, Value>,
        prediction: &Classified,
    ) -> Decoded {
        fields.insert("function".into(), json!(self.function()));
        fields.insert("logits".into(), json!(prediction.logits));
        let column = |(id, value): (usize, &f64)| format!("{}={value:.4}", field(&self.outputs.name(id)));
        let line = values.iter().enumerate().map(column).collect::<Vec<_>>().join("\t");
        Decoded { line, fields }
    }
}

impl Predictions for TextPredictions {
    fn decide_by(&mut self, record: &Map<String, Value>) {
        if let Some(threshold) = record.get(LABEL_THRESHOLD).and_then(Value::as_f64) {
            self.outputs.threshold = threshold;
        }
    }

    fn add(&mut self, feature: usize, output: Output) {
        self.rows[feature] = Some(Classified { logits: output.logits });
    }

    fn probabilities(&self, example: usize) -> Option<Vec<f64>> {
        let row = self.rows.get(example)?.as_ref()?;
        (self.outputs.meaning == OutputMeaning::SingleLabel).then(|| row.probabilities())
    }

    fn decode(&self, example: usize) -> Decoded {
        match &self.rows[example] {
            Some(row) => self.decode_row(row),
            None => Decoded { line: String::new(), fields: Map::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(logits: &[f32]) -> Classified {
        Classified { logits: logits.to_vec() }
    }

    #[test]
    fn outputs_are_said_to_be_what_they_are() {
        let labels: Vec<String> = vec!["a".into(), "b".into()];
        let decode = |meaning, logits: &[f32]| {
            let outputs = TextOutputs::new(labels.clone(), meaning);
            TextPredictions::new(outputs, 0).decode_row(&classified(logits))
        };
        let several = decode(OutputMeaning::MultiLabel, &[0.0, 3.0_f32.ln()]);
        assert_eq!(several.line, "a=0.5000\tb=0.7500");
        assert_eq!(several.fields["labels"], json!(["a", "b"]));
        assert_eq!(several.fields["function"], "sigmoid");
        assert!((several.fields["probabilities"]["b"].as_f64().unwrap() - 0.75).abs() < 1e-7);
        let none = decode(OutputMeaning::MultiLabel, &[-1.0, -2.0]);
        assert_eq!(none.fields["labels"], json!([]));
        let number = decode(OutputMeaning::Regression, &[-0.5, 7.0]);
        assert_eq!(number.line, "a=-0.5000\tb=7.0000");
        assert_eq!(number.fields["values"], json!({"a": -0.5, "b": 7.0}));
        assert_eq!(number.fields["function"], "none");
        assert!(!number.fields.contains_key("probabilities"));
    }
}
