//! config.json of a model that is written: what the source's file says of itself and no longer holds.

use serde_json::{Map, Value, json};

/// Keys that are left out, whatever the head.
///
/// What stays: sizes and switches of the architecture, token ids, `tie_word_embeddings` (transformers 5 compares the
/// stored matrices, and T5 reads its scale from it), `is_encoder_decoder`, `transformers_version` (the spelling of the
/// keys is that version's), and what Temper does not know.
const STALE: &[&str] = &[
    // The weights are plain f32: transformers would look for packed ones.
    "quantization_config",
    "compression_config",
    "quantization",
    // Where the source lay.
    "_name_or_path",
    "_commit_hash",
    // Code next to the source, which is neither read nor written here.
    "auto_map",
    "custom_pipelines",
    // How the source was run: transformers would refuse without that library.
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_attn_implementation_autoset",
    "_flash_attn_2_enabled",
    "experts_implementation",
    "_experts_implementation",
    "gradient_checkpointing",
    // Tuples in place of named outputs, in old versions.
    "torchscript",
    "return_dict",
    // Old versions would cut these heads off again; the weights have all that the sizes say.
    "pruned_heads",
    // Names of adapters that were next to the source.
    "adapters",
    "adapter_fusion_models",
    // Derived from `id2label`; some old files contradict it.
    "_num_labels",
];

/// The configuration as it is written next to weights in f32.
pub(crate) fn saved(raw: &Map<String, Value>) -> Map<String, Value> {
    let mut raw = raw.clone();
    for key in STALE {
        raw.shift_remove(*key);
    }
    // It counts only where there is no table of names.
    if raw.get("id2label").is_some_and(Value::is_object) {
        raw.shift_remove("num_labels");
    }
    // transformers takes `dtype` where both are there; old versions know `torch_dtype` alone.
    for key in ["dtype", "torch_dtype"] {
        if let Some(value) = raw.get_mut(key) {
            *value = json!("float32");
        }
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_longer_holds_is_left_out_and_the_rest_stays() {
        let stale = json!({
            "_name_or_path": "/tmp/x", "_attn_implementation": "flash_attention_2", "auto_map": {"AutoModel": "m.M"},
            "torchscript": true, "return_dict": false, "pruned_heads": {"0": [1]}, "_num_labels": 5,
            "quantization_config": {"load_in_4bit": true}, "adapters": {}, "gradient_checkpointing": true,
        });
        let kept = json!({
            "model_type": "gpt2", "tie_word_embeddings": true, "transformers_version": "4.30.0",
            "pad_token_id": 0, "num_labels": 3, "task_specific_params": {"a": 1}, "use_cache": false,
        });
        let (Value::Object(stale), Value::Object(kept)) = (stale, kept) else { panic!("objects") };
        let raw = kept.clone().into_iter().chain(stale).collect();
        assert_eq!(saved(&raw), kept);
    }

    #[test]
    fn the_type_is_the_one_that_is_written() {
        let raw = Map::from_iter([
            ("torch_dtype".to_owned(), json!("bfloat16")),
            ("dtype".to_owned(), json!("float16")),
            ("num_labels".to_owned(), json!(7)),
            ("id2label".to_owned(), json!({"0": "a", "1": "b"})),
        ]);
        let saved = saved(&raw);
        assert_eq!((&saved["torch_dtype"], &saved["dtype"]), (&json!("float32"), &json!("float32")));
        assert!(!saved.contains_key("num_labels"));
        assert!(super::saved(&Map::new()).is_empty());
    }
}
