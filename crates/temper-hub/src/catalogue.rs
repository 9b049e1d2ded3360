//! The models known by a short name; the list itself is `models.toml`.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::source::{PackageSource, Source};

/// The models that have a short name, and the short names without a public model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// In the order in which they should be shown.
    #[serde(rename = "model")]
    pub models: Vec<CatalogueEntry>,
    /// Names of models without published weights.
    pub not_public: NotPublicNames,
}

/// A model with a short name.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// The short name.
    pub name: String,
    /// The name on the Hub, `org/name`.
    pub hub: String,
    /// The architecture: the `model_type` of its config.json.
    pub family: String,
    /// Numbers in its weights: the pretrained backbone and, where it is not the token embedding, its map to
    /// the vocabulary.
    pub parameters: u64,
    /// What it can be fine-tuned for, in the Hub's names of tasks, best first.
    pub tasks: Vec<String>,
    /// The licence of its weights, an SPDX name where there is one.
    pub licence: String,
    /// True if the Hub gives it only to accounts that have accepted its terms.
    #[serde(default)]
    pub gated: bool,
    /// Short name of the model that may be in when this one cannot be reached.
    pub stand_in: Option<String>,
    /// A Python package that carries a copy.
    #[serde(skip_serializing)]
    pub package: Option<PackageSource>,
}

/// Names of models whose weights were never published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotPublicNames {
    /// How the names begin, in lower case, with `-` between their parts.
    pub names: Vec<String>,
    /// Short names of open models of the same kind.
    pub stand_ins: Vec<String>,
}

/// The catalogue that is built into this crate.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        // Part of the program, not input: the test below reads it.
        toml::from_str(include_str!("models.toml")).expect("the built-in models.toml is well-formed")
    });
    &CATALOGUE
}

impl CatalogueEntry {
    /// Where its files can come from.
    pub fn source(&self) -> Source {
        Source { hub: Some(self.hub.clone()), package: self.package.clone() }
    }

    fn is_called(&self, name: &str) -> bool {
        let last = self.hub.rsplit('/').next().unwrap_or_default();
        [self.name.as_str(), self.hub.as_str(), last].iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl Catalogue {
    /// The entry of a short name, a Hub name, or a Hub name without its organisation.
    pub fn find(&self, name: &str) -> Option<&CatalogueEntry> {
        self.models.iter().find(|entry| entry.is_called(name))
    }

    /// All short names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|entry| entry.name.as_str())
    }

    /// Whether this is the name of a model without published weights.
    pub fn is_not_public(&self, name: &str) -> bool {
        let plain = name.to_lowercase().replace(['_', ' '], "-");
        let plain = plain.strip_prefix("openai/").unwrap_or(&plain);
        // Whole, or with the size or date of a version: `gpt-4-turbo`, `gpt-4o-2024-08-06`.
        let mut rests = self.not_public.names.iter().filter_map(|known| plain.strip_prefix(known.as_str()));
        rests.any(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_entry_is_usable() {
        let catalogue = catalogue();
        let names: HashSet<&str> = catalogue.names().collect();
        assert_eq!(names.len(), catalogue.models.len(), "a name is used twice");
        for entry in &catalogue.models {
            assert_eq!(entry.source().check(), Ok(()), "{}", entry.name);
            assert!(entry.parameters > 10_000_000 && !entry.tasks.is_empty(), "{}", entry.name);
            assert!(!catalogue.is_not_public(&entry.name), "{}", entry.name);
            if let Some(stand_in) = &entry.stand_in {
                assert!(names.contains(stand_in.as_str()), "{stand_in}");
            }
            if let Some(package) = &entry.package {
                let is_whole = package.files.contains_key(crate::hub::GGUF);
                assert!(is_whole || package.files.contains_key("config.json"));
            }
        }
        for stand_in in &catalogue.not_public.stand_ins {
            assert!(names.contains(stand_in.as_str()), "{stand_in}");
        }
    }

    #[test]
    fn well_known_models_have_their_usual_names() {
        for (name, family) in [
            ("distilbert", "distilbert"),
            ("xlm-roberta", "xlm-roberta"),
            ("camembert", "camembert"),
            ("electra-base-discriminator", "electra"),
            ("albert-base-v2", "albert"),
            ("ModernBERT-base", "modernbert"),
            ("openai-gpt", "openai-gpt"),
            ("GPT2-medium", "gpt2"),
            ("gpt-neo-125M", "gpt_neo"),
            ("t5-small", "t5"),
            ("flan-t5-small", "t5"),
            ("bart-base", "bart"),
            ("Llama-3.2-1B", "llama"),
            ("Qwen2.5-0.5B", "qwen2"),
            ("Qwen3-0.6B", "qwen3"),
            ("falcon-rw-1b", "falcon"),
            ("bloom-560m", "bloom"),
        ] {
            assert_eq!(catalogue().find(name).unwrap().family, family, "{name}");
        }
        assert!(catalogue().find("llama").unwrap().gated && !catalogue().find("tinyllama").unwrap().gated);
    }

    #[test]
    fn an_entry_has_three_names() {
        for name in ["bert", "BERT-base-uncased", "google-bert/bert-base-uncased"] {
            assert_eq!(catalogue().find(name).unwrap().name, "bert");
        }
        assert!(catalogue().find("someone/bert-base-uncased").is_none());
    }

    #[test]
    fn closed_models_are_known_in_every_spelling() {
        for name in ["gpt3", "GPT-3", "gpt_4", "openai/gpt-4", "GPT-3.5", "ChatGPT", "gpt-3.5-turbo-0125"] {
            assert!(catalogue().is_not_public(name), "{name}");
        }
        for name in ["gpt", "gpt2", "gpt-neo", "gpt4all", "gpt-oss-20b", "someone/gpt-4"] {
            assert!(!catalogue().is_not_public(name), "{name}");
        }
    }
}
