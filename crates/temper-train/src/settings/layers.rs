//! Where the values of settings come from: defaults < preset < the model that a run starts from < file < `TEMPER_*`
//! environment < flags.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use clap::builder::ValueParser;
use clap::error::ContextKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use config::{Config, ConfigError, Environment};
use serde::{Deserialize, Serialize};
use temper_hub::near_names;

use super::{ModelDefaults, Settings};
use crate::TrainError;

/// A named set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A first run on a laptop: about five minutes of training on two cores.
    Cpu,
    /// The whole dataset, three epochs.
    Full,
}

impl Preset {
    /// The settings that it changes.
    fn values(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Measured with MiniLM on two cores (docs/BENCHMARKS.md).
            Self::Cpu => &[
                ("num_train_epochs", "1"),
                ("learning_rate", "5e-5"),
                ("max_train_samples", "8000"),
                ("max_train_tokens", "160000"),
                ("max_eval_samples", "500"),
                ("max_test_samples", "2000"),
            ],
            Self::Full => &[],
        }
    }
}

/// Settings by their names, as they are written.
type Values = BTreeMap<String, String>;

/// The settings that flags give; what is absent is left to the layers below.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SettingFlags {
    /// By name.
    pub given: Values,
}

impl Args for SettingFlags {
    /// The flags of all settings, with their help and defaults. Any value is accepted here: what cannot work is reported all
    /// at once, with that of other layers.
    fn augment_args(command: Command) -> Command {
        let settings = Settings::augment_args(Command::new("settings"));
        let taken = settings.get_arguments().map(|flag| flag.clone().value_parser(ValueParser::string()));
        command.args(taken.collect::<Vec<_>>())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = known_keys().into_iter().filter_map(|key| {
            let is_given = matches.value_source(&key) == Some(ValueSource::CommandLine);
            let value = is_given.then(|| matches.get_raw(&key)?.next_back()).flatten()?;
            Some((key, value.to_string_lossy().into_owned()))
        });
        Ok(Self { given: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given.extend(Self::from_arg_matches(matches)?.given);
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::of(&Values::new()).expect("defaults are within the limits, as a test shows")
    }
}

impl Settings {
    /// The settings with these values, and the default for others.
    fn of(values: &Values) -> Result<Self, clap::Error> {
        let flags = values.iter().map(|(key, value)| format!("--{}={value}", key.replace('_', "-")));
        let command = Self::augment_args(Command::new("settings").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(flags)?)
    }

    /// Refuses values that cannot work, all at once.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let value = serde_json::to_value(self).unwrap_or_default();
        let written = value.as_object().into_iter().flatten().filter_map(|(key, value)| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some((key.clone(), text.clone())),
            value => Some((key.clone(), value.to_string())),
        });
        checked(&written.collect()).map(drop)
    }
}

/// The settings with these values.
///
/// # Errors
/// [`TrainError::Usage`] with all that cannot work.
fn checked(values: &Values) -> Result<Settings, TrainError> {
    let refusal = |(key, value): (&String, &String)| {
        let error = Settings::of(&Values::from([(key.clone(), value.clone())])).err()?;
        Some(format!("  {key} {value}: {}", reason(&error)))
    };
    let wrong: Vec<String> = values.iter().filter_map(refusal).collect();
    if !wrong.is_empty() {
        return Err(TrainError::Usage(format!("settings that cannot work:\n{}", wrong.join("\n"))));
    }
    let settings = Settings::of(values).map_err(|error| TrainError::Usage(reason(&error)))?;
    settings.check_intervals()?;
    Ok(settings)
}

/// Why a value is refused, without what clap says to people at a command line.
fn reason(error: &clap::Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    let allowed = || match error.get(ContextKind::ValidValue)? {
        clap::error::ContextValue::Strings(names) => Some(format!("it must be one of {}", names.join(", "))),
        _ => None,
    };
    source.or_else(allowed).unwrap_or_else(|| error.kind().to_string())
}

/// Merges the layers.
///
/// `environment` holds pairs such as `("TEMPER_LEARNING_RATE", "3e-5")`; names that are no setting
/// are left to others (`TEMPER_MIRROR`).
///
/// # Errors
/// [`TrainError::Usage`] for a key that is no setting, with near names, and for values that cannot work.
pub fn resolve(
    preset: Preset,
    model: &ModelDefaults,
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &SettingFlags,
) -> Result<Settings, TrainError> {
    let usage = |error: ConfigError| TrainError::Usage(error.to_string());
    let known = known_keys();
    let mut layers = Config::builder();
    let file = file.map(|file| of_file(file, &known)).transpose()?;
    // What a run records is all of its settings: neither a preset nor the model fills anything in.
    if !matches!(file, Some(FileSettings::Recorded(_))) {
        for (key, value) in preset.values() {
            layers = layers.set_default(key, *value).map_err(usage)?;
        }
        layers = layers.add_source(Config::try_from(model).map_err(usage)?);
    }
    if let Some(FileSettings::Own(table) | FileSettings::Recorded(table)) = file {
        layers = layers.add_source(Config::try_from(&table).map_err(usage)?);
    }
    let own = environment.filter(|(name, _)| {
        name.strip_prefix("TEMPER_").is_some_and(|key| known.contains(&key.to_lowercase()))
    });
    let environment = Environment::with_prefix("TEMPER").source(Some(own.collect()));
    let layers = layers.add_source(environment).add_source(Config::try_from(&flags.given).map_err(usage)?);
    let values: BTreeMap<String, config::Value> =
        layers.build().and_then(Config::try_deserialize).map_err(usage)?;
    let written = values.into_iter().map(|(key, value)| {
        let text = value.into_string();
        text.map(|text| (key.clone(), text)).map_err(|error| TrainError::Usage(format!("{key}: {error}")))
    });
    checked(&written.collect::<Result<_, _>>()?)
}

/// Variables of the environment that are no settings: the first four for every command, the others for the workspace's
/// tests, which start this program, too.
const OTHER_VARIABLES: [&str; 15] = [
    "TEMPER_MIRROR",
    "TEMPER_CACHE",
    "TEMPER_PYTHON",
    "TEMPER_LOG",
    "TEMPER_ZOO",
    "TEMPER_TOKENIZERS",
    "TEMPER_REFERENCE_PYTHON",
    "TEMPER_TOKENIZER_CASES",
    "TEMPER_TOKENIZER_SAVED",
    "TEMPER_HOSTILE_CASES",
    "TEMPER_MUTATIONS",
    "TEMPER_FUZZ_INPUTS",
    "TEMPER_FUZZ_MINUTES",
    "TEMPER_FUZZ_SEED",
    "TEMPER_FUZZ_WORKER",
];

/// Refuses variables `TEMPER_...` that nothing reads, with near names: a misspelt one would be a setting that is
/// silently not applied.
///
/// # Errors
/// [`TrainError::Usage`].
pub(crate) fn check_environment(names: impl Iterator<Item = String>) -> Result<(), TrainError> {
    let settings = known_keys().into_iter().map(|key| format!("TEMPER_{}", key.to_uppercase()));
    let known: Vec<String> = settings.chain(OTHER_VARIABLES.map(String::from)).collect();
    let unknown: Vec<String> = names
        .filter(|name| name.starts_with("TEMPER_") && !known.contains(name))
        .map(|name| suggested(&name, &known))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(TrainError::Usage(format!("environment variables that are not settings:\n{}", unknown.join("\n"))))
}

/// A line that names what is unknown, and what may have been meant.
fn suggested(unknown: &str, known: &[String]) -> String {
    match near_names(unknown, known.iter().map(String::as_str)).first() {
        Some(near) => format!("  {unknown} (did you mean {near}?)"),
        None => format!("  {unknown}"),
    }
}

/// The names of all settings.
fn known_keys() -> Vec<String> {
    let command = Settings::augment_args(Command::new("settings"));
    command.get_arguments().map(|argument| argument.get_id().to_string()).collect()
}

/// The settings in a file.
enum FileSettings {
    /// Those that its own keys name.
    Own(toml::Table),
    /// Those that the run.toml of a run records.
    Recorded(toml::Table),
}

fn of_file(file: &Path, known: &[String]) -> Result<FileSettings, TrainError> {
    let usage = |error: String| TrainError::Usage(format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| usage(error.to_string()))?;
    let mut table: toml::Table = toml::from_str(&text).map_err(|error| usage(error.to_string()))?;
    let recorded = table.get_mut("request").and_then(|request| request.get_mut("settings"));
    match recorded {
        Some(toml::Value::Table(recorded)) => {
            // Another version may have recorded what is no setting any more.
            let known = std::mem::take(recorded).into_iter().filter(|(key, _)| known.contains(key));
            Ok(FileSettings::Recorded(known.collect()))
        }
        _ => {
            check_keys(file, table.keys())?;
            Ok(FileSettings::Own(table))
        }
    }
}

/// Refuses names in a file that are no settings, with near names.
///
/// # Errors
/// [`TrainError::Usage`].
pub(crate) fn check_keys<'a>(file: &Path, keys: impl Iterator<Item = &'a String>) -> Result<(), TrainError> {
    let known = known_keys();
    let unknown: Vec<String> =
        keys.filter(|key| !known.contains(key)).map(|key| suggested(key, &known)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(TrainError::Usage(format!(
        "{} has keys that are not settings:\n{}",
        file.display(),
        unknown.join("\n")
    )))
}
