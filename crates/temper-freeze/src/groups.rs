//! A strategy written in a file.

use std::fmt;
use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::FreezeError;
use crate::path_regex::anchored;

/// Groups of parameters that train; what no group names is frozen.
///
/// ```toml
/// [[group]]
/// pattern = 'head\..*'
///
/// [[group]]
/// pattern = 'layers\.[45]\..*'
/// rate = 0.5
/// from_step = 100
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "GroupsFile")]
pub struct TrainedGroups {
    #[serde(rename = "group")]
    groups: Vec<TrainedGroup>,
}

/// One group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedGroup {
    /// A regular expression that the whole path must match. The first group that matches decides.
    pub pattern: String,
    /// Factor on the learning rate.
    #[serde(default = "one")]
    pub rate: f64,
    /// The optimiser step, counted from 0, from which on the group trains.
    #[serde(default)]
    pub from_step: usize,
    #[serde(skip)]
    regex: Option<Regex>,
}

/// The file before its patterns are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupsFile {
    group: Vec<TrainedGroup>,
}

fn one() -> f64 {
    1.0
}

impl TryFrom<GroupsFile> for TrainedGroups {
    type Error = String;

    fn try_from(file: GroupsFile) -> Result<Self, String> {
        if file.group.is_empty() {
            return Err("has no [[group]]".into());
        }
        let checked = file.group.into_iter().map(|group| {
            if !(group.rate.is_finite() && group.rate > 0.0) {
                return Err(format!("rate = {} of \"{}\" must be above 0", group.rate, group.pattern));
            }
            let regex = anchored(&group.pattern).map_err(|error| format!("has an invalid regex: {error}"))?;
            Ok(TrainedGroup { regex: Some(regex), ..group })
        });
        Ok(Self { groups: checked.collect::<Result<_, _>>()? })
    }
}

impl TrainedGroups {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`FreezeError::File`].
    pub fn read(path: &Path) -> Result<Self, FreezeError> {
        let refuse = |reason: String| FreezeError::File { path: path.into(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        toml::from_str(&text).map_err(|error| refuse(error.to_string()))
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The groups, in the order in which they are asked.
    pub fn groups(&self) -> &[TrainedGroup] {
        &self.groups
    }

    pub(crate) fn group_of(&self, path: &str) -> Option<&TrainedGroup> {
        self.groups.iter().find(|group| group.is_match(path))
    }
}

impl TrainedGroup {
    pub(crate) fn is_match(&self, path: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(path))
    }
}

/// JSON, on one line.
impl fmt::Display for TrainedGroups {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
