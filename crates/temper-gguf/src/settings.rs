//! Reading config.json: numbers and switches by their names.

use serde_json::{Map, Value as Json};

/// A configuration, or an object in it.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a>(pub &'a Map<String, Json>);

impl<'a> Settings<'a> {
    /// What a key says; nothing where it says null.
    pub fn get(self, key: &str) -> Option<&'a Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A size, by the first of its names that is there.
    ///
    /// # Errors
    /// That there is none, or no whole number above zero.
    pub fn size(self, names: &[&str]) -> Result<usize, String> {
        let value = names.iter().find_map(|name| self.get(name));
        let size = value.and_then(Json::as_u64).and_then(|size| usize::try_from(size).ok());
        size.filter(|&size| size > 0).ok_or_else(|| format!("{} of config.json is not a size", names[0]))
    }

    /// A size, or another where the key is absent.
    ///
    /// # Errors
    /// As [`Self::size`], for a key that is there.
    pub fn size_or(self, name: &str, other: usize) -> Result<usize, String> {
        if self.get(name).is_some() { self.size(&[name]) } else { Ok(other) }
    }

    /// A number as a file has it, or another where the key is absent.
    ///
    /// # Errors
    /// That it is not a number.
    pub fn number_or(self, name: &str, other: f64) -> Result<f32, String> {
        let value = self.get(name).map_or(Some(other), Json::as_f64);
        value.map(|value| value as f32).ok_or_else(|| format!("{name} of config.json is not a number"))
    }

    /// A switch, or another where the key is absent.
    pub fn switch_or(self, name: &str, other: bool) -> bool {
        self.get(name).and_then(Json::as_bool).unwrap_or(other)
    }

    /// Refuses keys that say anything but what is given here: a file has no place for them.
    ///
    /// # Errors
    /// The first of these keys, with what it says.
    pub fn must_be(self, expected: &[(&str, Json)]) -> Result<(), String> {
        let other = expected.iter().find_map(|(key, value)| {
            let found = self.get(key)?;
            // 1 and 1.0 are one number.
            let is_same = found == value || found.as_f64().is_some_and(|found| Some(found) == value.as_f64());
            (!is_same).then_some((key, found))
        });
        match other {
            Some((key, found)) => {
                Err(format!("{key} of config.json is {found}, which such a file cannot say"))
            }
            None => Ok(()),
        }
    }

    /// Refuses a model without the head that predicts the next token.
    ///
    /// # Errors
    /// The class that `architectures` names.
    pub fn must_be_architecture(self, class: &str) -> Result<(), String> {
        let named = self.get("architectures").and_then(|names| names.get(0)?.as_str());
        match named.filter(|&name| name != class) {
            Some(other) => Err(format!("it is a {other}, and such a file holds a {class}")),
            None => Ok(()),
        }
    }
}
