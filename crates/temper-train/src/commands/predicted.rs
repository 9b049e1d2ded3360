//! How predictions are written: lines with TABs, csv or JSON lines.

use serde_json::{Map, Value as Json};
use temper_data::{UnlabelledText, Value};

use crate::TrainError;
use crate::tasks::{Decoded, Inputs};
use crate::terminal::field;

/// How `temper predict` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PredictFormat {
    /// Columns with TABs between and without a header: those kept, the prediction, the texts.
    Tsv,
    /// A header line, then rows. An object has a column for each of its parts, such as probabilities.positive.
    Csv,
    /// One JSON object for each text.
    Jsonl,
}

/// The prefix of a part of the prediction whose name is also that of a kept column.
const PREDICTED: &str = "predicted_";

/// Predictions as rows of text.
pub(super) struct PredictionRows<'a> {
    format: PredictFormat,
    kept: &'a [String],
    inputs: Inputs,
    /// The columns of a csv file, known with its first prediction.
    header: Option<Vec<String>>,
    /// Blank lines before that.
    waiting: usize,
}

impl<'a> PredictionRows<'a> {
    pub(super) fn new(format: PredictFormat, kept: &'a [String], inputs: Inputs) -> Self {
        Self { format, kept, inputs, header: None, waiting: 0 }
    }

    /// The row of a text.
    ///
    /// # Errors
    /// [`TrainError::File`] if csv cannot be written.
    pub(super) fn text(&mut self, text: &UnlabelledText, decoded: Decoded) -> Result<String, TrainError> {
        match self.format {
            PredictFormat::Tsv => Ok(tab_separated(text, &decoded)),
            PredictFormat::Jsonl => Ok(Json::Object(self.fields(text, decoded)).to_string() + "\n"),
            PredictFormat::Csv => {
                let cells = flat(self.fields(text, decoded));
                let (mut rows, mut first) = (Vec::new(), None);
                let header = self.header.get_or_insert_with(|| {
                    let names: Vec<String> = cells.iter().map(|(name, _)| name.clone()).collect();
                    first = Some(names.clone());
                    names
                });
                let blank = vec![String::new(); header.len()];
                if let Some(names) = first {
                    rows.push(names);
                    rows.extend(std::iter::repeat_n(blank, std::mem::take(&mut self.waiting)));
                }
                let cell =
                    |name: &String| cells.iter().find(|(other, _)| other == name).map(|(_, cell)| cell);
                rows.push(header.iter().map(|name| cell(name).cloned().unwrap_or_default()).collect());
                csv_of(&rows)
            }
        }
    }

    /// The row of a blank line. Blank lines have rows so that the n-th row belongs to the n-th line of the input.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub(super) fn blank(&mut self) -> Result<String, TrainError> {
        match (self.format, &self.header) {
            (PredictFormat::Tsv, _) => Ok("\n".into()),
            (PredictFormat::Jsonl, _) => {
                let empty = Map::from_iter([(self.inputs.first.to_owned(), Json::from(""))]);
                Ok(Json::Object(empty).to_string() + "\n")
            }
            (PredictFormat::Csv, Some(header)) => csv_of(&[vec![String::new(); header.len()]]),
            (PredictFormat::Csv, None) => {
                self.waiting += 1;
                Ok(String::new())
            }
        }
    }

    /// The kept columns, the texts, and the parts of the prediction.
    fn fields(&self, text: &UnlabelledText, decoded: Decoded) -> Map<String, Json> {
        let Inputs { first, second, .. } = self.inputs;
        let mut row: Map<String, Json> = self.kept.iter().cloned().zip(text.kept.iter().map(json)).collect();
        row.insert(first.to_owned(), text.text.clone().into());
        row.extend(text.pair.iter().map(|pair| (second.to_owned(), pair.clone().into())));
        for (mut name, value) in decoded.fields {
            while row.contains_key(&name) {
                name.insert_str(0, PREDICTED);
            }
            row.insert(name, value);
        }
        row
    }
}

fn tab_separated(text: &UnlabelledText, decoded: &Decoded) -> String {
    let kept = text.kept.iter().map(|cell| field(&in_a_cell(&json(cell))).into_owned());
    let texts =
        [Some(&text.text), text.pair.as_ref()].into_iter().flatten().map(|text| field(text).into_owned());
    let columns: Vec<String> = kept.chain([decoded.line.clone()]).chain(texts).collect();
    columns.join("\t") + "\n"
}

/// A cell as a JSON value.
fn json(cell: &Value) -> Json {
    match cell {
        Value::Null | Value::Other(_) => Json::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Struct(parts) => {
            Json::Object(parts.iter().map(|(name, part)| (name.clone(), json(part))).collect())
        }
    }
}

/// A value as the text of a cell: a list as JSON, a missing value as an empty cell.
fn in_a_cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Named cells. An object has a cell for each of its parts, with a dot between the names as in pandas' `json_normalize`.
fn flat(fields: Map<String, Json>) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for (name, value) in fields {
        match value {
            Json::Object(parts) => {
                let part = |(part, value): (String, Json)| (format!("{name}.{part}"), in_a_cell(&value));
                cells.extend(parts.into_iter().map(part));
            }
            value => cells.push((name, in_a_cell(&value))),
        }
    }
    cells
}

fn csv_of(rows: &[Vec<String>]) -> Result<String, TrainError> {
    let failed = |error: String| TrainError::content("csv", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(|error| failed(error.to_string()))?;
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decoded() -> Decoded {
        let fields = json!({"label": "a\tb", "probabilities": {"a\tb": 0.75, "c": 0.25}, "logits": [1, 2]});
        let Json::Object(fields) = fields else { unreachable!() };
        Decoded { line: "a\\tb\t0.7500".into(), fields }
    }

    fn text() -> UnlabelledText {
        let kept = vec![Value::Int(7), Value::Text("x\ty".into()), Value::Null];
        UnlabelledText { text: "one,\ntwo".into(), kept, ..UnlabelledText::default() }
    }

    fn written(format: PredictFormat) -> String {
        let kept = ["id", "label", "none"].map(String::from);
        let mut rows = PredictionRows::new(format, &kept, Inputs::TEXTS);
        let all = [rows.blank(), rows.text(&text(), decoded()), rows.blank()];
        all.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn lines_have_the_kept_columns_first_and_escape_tabs_and_line_breaks() {
        assert_eq!(written(PredictFormat::Tsv), "\n7\tx\\ty\t\ta\\tb\t0.7500\tone,\\ntwo\n\n");
    }

    #[test]
    fn csv_has_one_header_and_a_column_for_each_part() {
        let expected = "id,label,none,text,predicted_label,probabilities.a\tb,probabilities.c,logits\n\
                        ,,,,,,,\n\
                        7,x\ty,,\"one,\ntwo\",a\tb,0.75,0.25,\"[1,2]\"\n\
                        ,,,,,,,\n";
        assert_eq!(written(PredictFormat::Csv), expected);
    }

    #[test]
    fn objects_keep_the_types_of_cells() {
        let written = written(PredictFormat::Jsonl);
        let lines: Vec<Json> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0], &lines[2]), (&json!({"text": ""}), &json!({"text": ""})));
        let expected = json!({"id": 7, "label": "x\ty", "none": null, "text": "one,\ntwo", "predicted_label": "a\tb",
            "probabilities": {"a\tb": 0.75, "c": 0.25}, "logits": [1, 2]});
        assert_eq!(lines[1], expected);
    }
}
