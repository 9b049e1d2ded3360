//! What a run takes from the model that it starts from.

use serde::Serialize;
use temper_data::Truncation;
use temper_models::Pooling;

use super::Settings;

/// What a run takes from the model that it starts from, as a layer of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelDefaults {
    /// Maximum length of an example in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_seq_length: Option<usize>,
    /// What of a longer text is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncation: Option<Truncation>,
    /// Tokens that neighbouring windows share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) doc_stride: Option<usize>,
    /// What the classification head reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pooling: Option<Pooling>,
}

impl ModelDefaults {
    /// What to say of a run with these settings that starts from a model of this name.
    pub fn notices(&self, model: &str, settings: &Settings) -> Vec<String> {
        fn sort<T: PartialEq + Copy>(
            sorted: &mut [Vec<String>; 2],
            (name, of_model, of_run): (&str, Option<T>, T),
            words: impl Fn(T) -> String,
        ) {
            match of_model {
                Some(value) if value == of_run => sorted[0].push(format!("{name} {}", words(value))),
                Some(value) => {
                    sorted[1].push(format!("{name} {} (here {})", words(value), words(of_run)));
                }
                None => {}
            }
        }
        let mut sorted = [Vec::new(), Vec::new()];
        let pooling = |pooling: Pooling| format!("{pooling:?}").to_lowercase();
        sort(&mut sorted, ("max_seq_length", self.max_seq_length, settings.max_seq_length), |n| {
            n.to_string()
        });
        sort(&mut sorted, ("truncation", self.truncation, settings.truncation), |t| t.to_string());
        sort(&mut sorted, ("pooling", self.pooling, settings.pooling), pooling);
        let [taken, other] = sorted;
        let mut notices = Vec::new();
        if !taken.is_empty() {
            notices.push(format!("taken from {model}: {}", taken.join(", ")));
        }
        if !other.is_empty() {
            notices.push(format!("{model} has {}", other.join(", ")));
        }
        notices
    }
}
