//! Metrics as an object of JSON: by name, in their order.

use serde::{Deserialize, Deserializer, Serializer};
use serde_json::{Map, Value};

/// Writes `{"accuracy": 0.9, ...}`.
pub(crate) fn serialize<S: Serializer>(metrics: &[(String, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}

/// Reads it. JSON has no NaN: it is written as null.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, f64)>, D::Error> {
    let metrics = Map::<String, Value>::deserialize(deserializer)?;
    Ok(metrics.into_iter().map(|(name, value)| (name, value.as_f64().unwrap_or(f64::NAN))).collect())
}
