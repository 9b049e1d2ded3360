//! A classifier reads the token that transformers reads, in rows that contain padding or end in it: alone, packed
//! with others, and from states of the frozen layers that were kept.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{changed, fixture};
use serde_json::{Value, json};
use temper_models::{Backbone, HeadRequest, HeadTask, Mode, Model, ModelConfig, Pooling, Rows, TokenBatch};

const CLOSE: f32 = 1e-5;

struct Record {
    name: String,
    changes: Value,
    rows: Vec<Vec<u32>>,
    /// `None` where transformers refuses the row.
    logits: Vec<Option<Vec<f32>>>,
}

fn records() -> Vec<Record> {
    let text = std::fs::read_to_string(fixture("padding.json")).expect("the fixture is committed");
    let records: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let record = |record: &Value| Record {
        name: format!("zoo/{}-sequence-classification", record["case"].as_str().expect("a name")),
        changes: record["changes"].clone(),
        rows: serde_json::from_value(record["rows"].clone()).expect("rows"),
        logits: serde_json::from_value(record["logits"].clone()).expect("logits"),
    };
    records.iter().map(record).collect()
}

/// The model of a record, with its configuration.
fn folder(record: &Record) -> tempfile::TempDir {
    changed(&fixture(&record.name), |_, config| {
        for (key, value) in record.changes.as_object().expect("an object") {
            config[key] = value.clone();
        }
    })
}

fn load(dir: &Path) -> Model {
    Model::load(dir, &HeadRequest::FromConfig, &Device::flex()).expect("loads").model
}

fn batch(rows: &[&Vec<u32>]) -> TokenBatch {
    let ids: Vec<u32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
    let lengths: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
    TokenBatch::new(&ids, &vec![0; ids.len()], &lengths, &Device::flex())
}

fn logits(model: &Model, batch: &TokenBatch) -> Vec<f32> {
    model.classify(batch, Mode::Evaluate).expect("a classifier").into_data().iter::<f32>().collect()
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (left, right) in ours.iter().zip(theirs) {
        assert!((left - right).abs() < CLOSE, "{what}: {ours:?}, not {theirs:?}");
    }
}

#[test]
fn rows_are_read_where_transformers_reads_them() {
    let mut compared = 0;
    for record in records().iter().filter(|record| record.logits.iter().any(Option::is_some)) {
        let model = load(folder(record).path());
        let known: Vec<(&Vec<u32>, &Vec<f32>)> = record
            .rows
            .iter()
            .zip(&record.logits)
            .filter_map(|(row, logits)| Some((row, logits.as_ref()?)))
            .collect();
        for (row, theirs) in &known {
            let what = format!("{} {} {row:?}", record.name, record.changes);
            assert_close(&logits(&model, &batch(&[row])), theirs, &what);
            compared += 1;
        }
        let rows: Vec<&Vec<u32>> = known.iter().map(|(row, _)| *row).collect();
        let theirs: Vec<f32> = known.iter().flat_map(|(_, logits)| logits.iter().copied()).collect();
        let packed = batch(&rows);
        assert_close(&logits(&model, &packed), &theirs, &record.name);
        for depth in 0..=model.backbone.layer_count() {
            let kept = packed.clone().with_trunk(model.trunk(&packed, depth));
            assert_close(&logits(&model, &kept), &theirs, &format!("{} from depth {depth}", record.name));
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn rows_that_transformers_refuses_have_no_place() {
    let mut refused = 0;
    for record in records() {
        let unread: Vec<&Vec<u32>> = record
            .rows
            .iter()
            .zip(&record.logits)
            .filter(|(_, logits)| logits.is_none())
            .map(|(row, _)| row)
            .collect();
        let dir = folder(&record);
        if unread.len() == record.rows.len() {
            let error =
                Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex()).expect_err("refused");
            assert!(error.to_string().contains("eos_token_id is not a token id"), "{error}");
            refused += 1;
            continue;
        }
        let rows = load(dir.path()).head.expect("a head").rows();
        for row in unread {
            let ids: Vec<i32> = row.iter().map(|&id| id as i32).collect();
            assert_eq!(rows.place(&ids), None, "{} {row:?}", record.name);
            refused += 1;
        }
    }
    assert_eq!(refused, 10);
}

#[test]
fn a_new_classifier_knows_its_padding_before_it_trains() {
    let request = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels: vec!["a".into(), "b".into()],
        pooling: Pooling::Pooler,
        seed: 1,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let rows_of = |dir: &Path| {
        let loaded = Model::load(dir, &request, &Device::flex()).expect("loads");
        (loaded.model.head.expect("a head").rows(), loaded.config)
    };
    for name in ["gpt2", "openai-gpt", "gpt-neo", "bloom", "falcon-7b", "falcon-rw", "llama"] {
        for nothing in [Value::Null, json!(-1), json!(48)] {
            let dir = changed(&fixture(&format!("zoo/{name}-causal-lm")), |_, config| {
                config["pad_token_id"] = nothing.clone();
            });
            let (rows, config) = rows_of(dir.path());
            // Without that setting, the end of a text is the padding, and the rule follows it.
            assert_eq!((rows, config.padding()), (Rows::LastExcept(2), Some(2)), "{name}");
            assert!(config.reads_by_padding());
            let named = ModelConfig::read(dir.path()).expect("read").with_padding(5).expect("accepted");
            let loaded = Model::load_with(named, dir.path(), &request, &Device::flex()).expect("loads");
            assert_eq!(loaded.model.head.expect("a head").rows(), Rows::LastExcept(5), "{name}");
            assert_eq!(loaded.config.saved()["pad_token_id"], 5);
        }
    }
    for name in ["bert", "roberta", "distilbert", "t5", "bart"] {
        let dir = fixture(&format!("zoo/{name}-sequence-classification"));
        assert!(!ModelConfig::read(&dir).expect("read").reads_by_padding(), "{name}");
    }
}
