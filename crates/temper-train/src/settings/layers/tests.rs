//! Tests of where settings come from.

use serde_json::json;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>().into_iter()
}

fn flags(pairs: &[(&str, &str)]) -> SettingFlags {
    let given = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    SettingFlags { given: given.collect() }
}

#[test]
fn defaults_are_within_the_limits() {
    Settings::default().check().unwrap();
    assert_eq!(Settings::default().max_seq_length, 128);
    assert!(Settings::default().frozen_dropout && !Settings::default().gradient_checkpointing);
}

#[test]
fn what_is_written_is_read_again() {
    let values = [
        ("max_steps", "7"),
        ("truncation", "head-tail"),
        ("pooling", "cls"),
        ("trunk_cache", "file"),
        ("precision", "bf16"),
        ("max_grad_norm", "inf"),
        ("gradient_checkpointing", "true"),
        ("strategy", "pattern:a,b"),
    ];
    let settings = checked(&flags(&values).given).unwrap();
    settings.check().unwrap();
    let text = toml::to_string(&settings).unwrap();
    assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
}

#[test]
fn later_layers_win() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    std::fs::write(&file, "learning_rate = 1e-3\nseed = 1\nmax_steps = 5\n").unwrap();
    let variables = environment(&[("TEMPER_SEED", "2"), ("TEMPER_MAX_STEPS", "6"), ("TEMPER_MIRROR", "/m")]);
    let settings = resolve(
        Preset::Cpu,
        &ModelDefaults::default(),
        Some(&file),
        variables,
        &flags(&[("max_steps", "7")]),
    )
    .unwrap();
    assert_eq!(settings.num_train_epochs, 1, "preset over default");
    assert_eq!(settings.learning_rate, 1e-3, "file over preset");
    assert_eq!(settings.seed, 2, "environment over file");
    assert_eq!(settings.max_steps, Some(7), "flag over environment");
    assert_eq!(settings.max_seq_length, 128, "default");
}

#[test]
fn the_settings_of_a_run_are_taken_from_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    let settings = checked(&flags(&[("learning_rate", "1e-3"), ("strategy", "last:2")]).given).unwrap();
    let mut recorded = toml::Table::try_from(&settings).unwrap();
    recorded.insert("padding".into(), "longest".into());
    let request = toml::Table::from_iter([("settings".to_owned(), toml::Value::Table(recorded))]);
    let record = toml::Table::from_iter([
        ("temper".to_owned(), "0.1.0".into()),
        ("request".to_owned(), toml::Value::Table(request)),
    ]);
    std::fs::write(&file, toml::to_string(&record).unwrap()).unwrap();
    let resolved = |flag: &[(&str, &str)]| {
        resolve(Preset::Cpu, &ModelDefaults::default(), Some(&file), environment(&[]), &flags(flag)).unwrap()
    };
    assert_eq!(resolved(&[]), settings);
    assert_eq!(resolved(&[("seed", "7")]), Settings { seed: 7, ..settings });
}

#[test]
fn an_unknown_key_is_named_with_a_near_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    std::fs::write(&file, "lerning_rate = 1e-3\n").unwrap();
    let error = resolve(Preset::Full, &ModelDefaults::default(), Some(&file), environment(&[]), &flags(&[]))
        .unwrap_err();
    assert!(error.to_string().contains("lerning_rate (did you mean learning_rate?)"), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn a_misspelt_variable_is_named_with_a_near_one() {
    let check = |names: &[&str]| check_environment(names.iter().map(ToString::to_string));
    check(&["TEMPER_SEED", "TEMPER_MIRROR", "TEMPERATURE", "HOME"]).unwrap();
    let error = check(&["TEMPER_LERNING_RATE", "TEMPER_MIROR"]).unwrap_err();
    assert!(
        error.to_string().contains("TEMPER_LERNING_RATE (did you mean TEMPER_LEARNING_RATE?)"),
        "{error}"
    );
    assert!(error.to_string().contains("TEMPER_MIROR (did you mean TEMPER_MIRROR?)"), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn a_recorded_setting_that_is_no_more_is_passed_over() {
    let mut recorded = serde_json::to_value(Settings::default()).unwrap();
    recorded["padding"] = json!("longest");
    assert_eq!(serde_json::from_value::<Settings>(recorded).unwrap(), Settings::default());
}

#[test]
fn impossible_values_are_listed_together() {
    let flags = flags(&[("learning_rate", "-1"), ("num_train_epochs", "0"), ("warmup_ratio", "2")]);
    let error = resolve(Preset::Full, &ModelDefaults::default(), None, environment(&[]), &flags)
        .unwrap_err()
        .to_string();
    for name in ["learning_rate", "num_train_epochs", "warmup_ratio"] {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    let error = resolve(
        Preset::Full,
        &ModelDefaults::default(),
        None,
        environment(&[("TEMPER_SEED", "many")]),
        &flags(&[]),
    )
    .unwrap_err();
    assert!(error.to_string().contains("seed"), "{error}");
}
