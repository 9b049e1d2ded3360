//! What each field of PEFT's `LoraConfig` means for an adapter that is merged.

use serde_json::{Map, Value};

/// What becomes of a field.
enum Field {
    /// It is read, and decides what is computed.
    Read,
    /// It decides how the adapter began, was trained or is run, and nothing of what its tensors mean.
    Irrelevant,
    /// It changes what the tensors mean, unless it is absent, null, false or empty, or one of these values.
    Plain(&'static [&'static str], Remedy),
}

/// What to do about an adapter that is computed otherwise.
#[derive(Clone, Copy)]
enum Remedy {
    /// PEFT merges it.
    Merge,
    /// PEFT makes a plain one of it.
    Convert,
    /// It cannot be merged at all.
    None,
}

impl Remedy {
    fn text(self) -> &'static str {
        match self {
            Self::Merge => "merge it with PEFT (`merge_and_unload`) and use the model that this gives",
            Self::Convert => {
                "its training began with other base weights; save it with PEFT's `save_pretrained(..., \
                 path_initial_model_for_weight_conversion=...)`, which makes a plain adapter of it, or merge it \
                 with PEFT"
            }
            Self::None => {
                "it acts only on some tokens, or on several adapters, so that no merged weights exist"
            }
        }
    }
}

use Field::{Irrelevant, Plain, Read};

/// Every field of PEFT 0.21's `LoraConfig`, its base classes included.
const FIELDS: &[(&str, Field)] = &[
    ("alora_invocation_tokens", Plain(&[], Remedy::None)),
    ("alpha_pattern", Read),
    ("arrow_config", Plain(&[], Remedy::None)),
    ("auto_mapping", Read),
    ("base_model_name_or_path", Read),
    ("bias", Read),
    ("corda_config", Irrelevant),
    ("ensure_weight_tying", Read),
    ("eva_config", Irrelevant),
    ("exclude_modules", Read),
    // PEFT corrects it by the type of the module.
    ("fan_in_fan_out", Irrelevant),
    ("inference_mode", Irrelevant),
    // The other ways replace the base's weights when the adapter is put on it.
    (
        "init_lora_weights",
        Plain(&["true", "\"gaussian\"", "\"eva\"", "\"orthogonal\"", "\"mica\""], Remedy::Convert),
    ),
    ("kasa_config", Plain(&[], Remedy::Merge)),
    ("layer_replication", Plain(&[], Remedy::Merge)),
    ("layers_pattern", Read),
    ("layers_to_transform", Read),
    ("loftq_config", Irrelevant),
    ("lora_alpha", Read),
    ("lora_bias", Plain(&[], Remedy::Merge)),
    ("lora_dropout", Read),
    ("lora_ga_config", Irrelevant),
    ("megatron_config", Plain(&[], Remedy::Merge)),
    ("megatron_core", Irrelevant),
    ("modules_to_save", Read),
    ("monteclora_config", Plain(&[], Remedy::Merge)),
    ("peft_type", Plain(&["\"LORA\""], Remedy::Merge)),
    ("peft_version", Irrelevant),
    ("qalora_group_size", Irrelevant),
    ("r", Read),
    ("rank_pattern", Read),
    ("revision", Read),
    ("runtime_config", Irrelevant),
    ("target_modules", Read),
    ("target_parameters", Plain(&[], Remedy::Merge)),
    ("task_type", Read),
    ("trainable_token_indices", Plain(&[], Remedy::Merge)),
    ("use_bdlora", Plain(&[], Remedy::Merge)),
    ("use_dora", Plain(&[], Remedy::Merge)),
    ("use_qalora", Plain(&[], Remedy::Merge)),
    ("use_rslora", Read),
    // Another backward pass; the tensors mean the same.
    ("velora_config", Irrelevant),
];

/// A line for each field that may change what is computed and is not supported; unknown fields are among them.
pub(super) fn unsupported(raw: &Map<String, Value>) -> Vec<String> {
    let kind = raw.get("peft_type");
    if kind.is_none_or(|kind| kind != "LORA") {
        let kind = kind.map_or("missing".into(), Value::to_string);
        return vec![format!("peft_type is {kind}, only \"LORA\" is supported; {}", Remedy::Merge.text())];
    }
    raw.iter().filter_map(|(name, value)| refusal(name, value)).collect()
}

fn refusal(name: &str, value: &Value) -> Option<String> {
    if is_empty(value) {
        return None;
    }
    let text = value.to_string();
    let shown: String = text.chars().take(80).collect();
    match FIELDS.iter().find(|(field, _)| *field == name) {
        Some((_, Read | Irrelevant)) => None,
        Some((_, Plain(plain, remedy))) => (!plain.contains(&text.as_str()))
            .then(|| format!("{name} = {shown} is not supported: {}", remedy.text())),
        None => Some(format!(
            "{name} = {shown} is not known and may change what is computed; remove it if it does not, else {}",
            Remedy::Merge.text()
        )),
    }
}

/// Null, false, or without content.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(field: &str, value: Value) -> Vec<String> {
        let mut raw = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8});
        raw[field] = value;
        unsupported(raw.as_object().unwrap())
    }

    #[test]
    fn what_is_computed_otherwise_is_refused_by_name() {
        for (field, value) in [
            ("use_dora", json!(true)),
            ("use_qalora", json!(true)),
            ("lora_bias", json!(true)),
            ("init_lora_weights", json!("pissa")),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("init_lora_weights", json!("olora")),
            ("init_lora_weights", json!("corda")),
            ("init_lora_weights", json!("loftq")),
            ("init_lora_weights", json!("lora_ga")),
            ("peft_type", json!("IA3")),
            ("peft_type", json!("ADALORA")),
            ("peft_type", Value::Null),
            ("layer_replication", json!([[0, 2]])),
            ("trainable_token_indices", json!([1])),
            ("trainable_token_indices", json!({"embed_tokens": [0]})),
            ("target_parameters", json!(["experts.gate_up_proj"])),
            ("alora_invocation_tokens", json!([1, 2])),
            ("arrow_config", json!({"top_k": 3})),
            ("kasa_config", json!({"beta": 1})),
            ("monteclora_config", json!({"num_samples": 8})),
            ("megatron_config", json!({"a": 1})),
            ("use_bdlora", json!({"nblocks": 2})),
            ("from_the_future", json!(1)),
        ] {
            let lines = lines(field, value);
            assert_eq!(lines.len(), 1, "{field}: {lines:?}");
            assert!(lines[0].contains(field), "{lines:?}");
        }
    }

    #[test]
    fn what_changes_nothing_is_passed_over() {
        for (field, value) in [
            ("use_dora", json!(false)),
            ("init_lora_weights", json!(false)),
            ("init_lora_weights", json!("gaussian")),
            ("init_lora_weights", json!("eva")),
            ("layer_replication", Value::Null),
            ("loftq_config", json!({"loftq_bits": 4})),
            ("megatron_core", json!("megatron.core")),
            ("qalora_group_size", json!(16)),
            ("fan_in_fan_out", json!(true)),
            ("from_the_future", json!({})),
            ("from_the_future", Value::Null),
        ] {
            assert_eq!(lines(field, value), Vec::<String>::new(), "{field}");
        }
    }
}
