//! Adapters of models whose output is their token embedding, and adapters that bring tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use temper_models::{BackboneModule, Model, ModelConfig};

use super::PeftAdapter;
use super::modules::{Module, OUTPUT_MAP};
use super::peft_load::MERGE_WITH_PEFT;
use crate::FreezeError;

const TABLE: &str = "token_embedding.weight";
const OUTPUTS: [&str; 2] = ["head.output.weight", "head.tokens.output.weight"];

/// Gives a tied model an output of its own where PEFT does: where the adapter stores one of the two matrices
/// whole in `modules_to_save`, or has a low-rank path on the output. True where it did.
///
/// What is stored twice with the same values, as `save_embedding_layers` does, is taken out of `whole`.
pub(super) fn tied<B: BackboneModule>(
    model: &mut Model<B>,
    config: &ModelConfig<B>,
    adapter: &PeftAdapter,
    whole: &mut BTreeMap<String, String>,
    problems: &mut Vec<String>,
) -> Result<bool, FreezeError> {
    let stored = |path: &str| model.stored_place(config, path).map(|place| place.name);
    let Some(table) = stored(TABLE) else { return Ok(false) };
    let has_copies = model.parameters().parameters.iter().any(|row| row.path.starts_with("decoder."));
    let output = OUTPUTS.iter().find_map(|path| stored(path)).filter(|_| model.is_tied());
    if let Some(output) = &output
        && is_stored_twice(model, adapter, whole, [&table, output])?
    {
        whole.remove(output);
    }
    let unties = match &output {
        Some(output) => unties(adapter, whole, [&table, output], problems),
        None => false,
    };
    if has_copies && (unties || whole.contains_key(&table)) {
        problems.push(format!(
            "{table} would differ from its copies in encoder, decoder and output; {MERGE_WITH_PEFT}"
        ));
        return Ok(false);
    }
    if unties && !model.untie() {
        problems.push(format!(
            "the model's output is its token embedding, scaled for that, and cannot differ; {MERGE_WITH_PEFT}"
        ));
        return Ok(false);
    }
    Ok(unties)
}

/// Whether two matrices that are one in the model are two under the adapter.
fn unties(
    adapter: &PeftAdapter,
    whole: &BTreeMap<String, String>,
    [table, output]: [&String; 2],
    problems: &mut Vec<String>,
) -> bool {
    let [saves_table, saves_output] = [table, output].map(|name| adapter.saves(name).is_some());
    let module = output.strip_suffix(".weight").unwrap_or(output);
    if adapter.factors.contains_key(module) {
        return true;
    }
    if names(adapter, module) {
        problems.push(format!(
            "{module} is among target_modules, but the file has neither lora_A nor lora_B of it"
        ));
    }
    match (whole.contains_key(table), whole.contains_key(output)) {
        (_, true) if saves_table || saves_output => true,
        (_, true) => {
            problems.push(format!(
                "{output} and {table} are one matrix in the model and two in the file, without modules_to_save; \
                 {MERGE_WITH_PEFT}"
            ));
            false
        }
        (true, false) => saves_table && !saves_output && !adapter.config.keeps_ties,
        (false, false) => {
            let is_lost = saves_output && !adapter.whole.contains_key(output);
            if is_lost {
                problems.push(format!("{output} is in modules_to_save, but the file does not have it"));
            }
            false
        }
    }
}

/// Whether the configuration names a module that the model does not have by itself, as it is tied.
fn names(adapter: &PeftAdapter, module: &str) -> bool {
    let output =
        Module { paths: vec![OUTPUT_MAP.into()], ranges: Vec::new(), sizes: [0, 0], is_conv1d: false };
    let modules = BTreeMap::from([(module.to_owned(), output)]);
    adapter.config.targets.of(&modules).ok().flatten().is_some_and(|named| !named.is_empty())
}

/// Whether the file has the output with the values of its token embedding, or of the model's where it has none.
fn is_stored_twice<B: BackboneModule>(
    model: &Model<B>,
    adapter: &PeftAdapter,
    whole: &BTreeMap<String, String>,
    [table, output]: [&String; 2],
) -> Result<bool, FreezeError> {
    let Some(output) = whole.get(output) else { return Ok(false) };
    let output = adapter.weights.values(output)?;
    Ok(match whole.get(table) {
        Some(table) => adapter.weights.values(table)? == output,
        None => model.backbone.token_table().into_data() == output,
    })
}

/// Fields of config.json that are others than in `config`.
pub(super) fn vocabulary_fields<B: BackboneModule>(
    model: &Model<B>,
    config: &ModelConfig<B>,
    unties: bool,
) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    if model.vocabulary() != config.bounds().vocab_size {
        fields.push(("vocab_size", json!(model.vocabulary())));
    }
    if unties {
        fields.push(("tie_word_embeddings", json!(false)));
    }
    fields
}
