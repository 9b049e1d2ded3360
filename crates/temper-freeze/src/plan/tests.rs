//! Tests of freeze plans.

use super::*;

fn table(paths: &[&str]) -> ParameterTable {
    let parameter =
        |path: &&str| Parameter { path: path.to_string(), shape: vec![2], id: ParamId::new(), trains: true };
    ParameterTable { parameters: paths.iter().map(parameter).collect() }
}

fn twelve_layers() -> ParameterTable {
    let mut paths = vec!["token_embedding.weight".to_owned(), "embedding_norm.bias".to_owned()];
    paths.extend((0..12).map(|layer| format!("layers.{layer}.ffn.inner.weight")));
    paths.extend(["pooler.weight".to_owned(), "head.output.weight".to_owned()]);
    table(&paths.iter().map(String::as_str).collect::<Vec<_>>())
}

fn trained(strategy: &str, new: &[String]) -> Vec<String> {
    let plan = FreezePlan::new(&strategy.parse().unwrap(), &twelve_layers(), new).unwrap();
    plan.rows.into_iter().filter(|row| row.trains).map(|row| row.path).collect()
}

#[test]
fn a_layer_number_is_matched_whole() {
    assert_eq!(trained("pattern:layers\\.1\\..*", &[]), ["layers.1.ffn.inner.weight"]);
}

#[test]
fn strategies_pick_what_they_say() {
    assert_eq!(trained("all", &[]).len(), 16);
    assert_eq!(trained("head", &[]), ["head.output.weight"]);
    assert_eq!(
        trained("last:2", &[]),
        ["layers.10.ffn.inner.weight", "layers.11.ffn.inner.weight", "pooler.weight", "head.output.weight"]
    );
    assert_eq!(
        trained("embeddings", &[]),
        ["token_embedding.weight", "embedding_norm.bias", "head.output.weight"]
    );
    assert_eq!(trained("freeze-embeddings", &[]).len(), 14);
}

#[test]
fn an_encoder_lies_below_its_decoder() {
    let paths = [
        "token_embedding.weight",
        "encoder.relative_bias.weight",
        "encoder.layers.0.ffn.inner.weight",
        "encoder.layers.1.ffn.inner.weight",
        "encoder.final_norm.weight",
        "decoder.position_embedding.weight",
        "decoder.layers.0.ffn.inner.weight",
        "decoder.final_norm.weight",
        "head.output.weight",
    ];
    let trained = |strategy: &str| -> Vec<bool> {
        let plan = FreezePlan::new(&strategy.parse().unwrap(), &table(&paths), &[]).unwrap();
        plan.rows.into_iter().map(|row| row.trains).collect()
    };
    let [no, yes] = [false, true];
    assert_eq!(trained("last:1"), [no, no, no, no, no, no, yes, yes, yes]);
    assert_eq!(trained("last:2"), [no, no, no, yes, yes, no, yes, yes, yes]);
    assert_eq!(trained("embeddings"), [yes, yes, no, no, no, yes, no, no, yes]);
    assert!(FreezePlan::new(&"last:4".parse().unwrap(), &table(&paths), &[]).is_err());
}

#[test]
fn random_parameters_always_train() {
    assert_eq!(trained("head", &["pooler.weight".into()]), ["pooler.weight", "head.output.weight"]);
}

#[test]
fn fixed_parameters_never_train() {
    let table = table(&["head.output.weight", "head.fixed_bias"]);
    let plan = FreezePlan::new(&"all".parse().unwrap(), &table, &[]).unwrap();
    assert_eq!(plan.rows.iter().map(|row| row.trains).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn impossible_plans_are_refused() {
    let plan = |name: &str| FreezePlan::new(&name.parse().unwrap(), &twelve_layers(), &[]);
    assert!(matches!(plan("last:13"), Err(FreezeError::TooManyLayers { available: 12, .. })));
    assert!(matches!(plan("layers:3-12"), Err(FreezeError::TooManyLayers { .. })));
    let error = plan("pattern:layers").unwrap_err();
    assert!(matches!(&error, FreezeError::NoMatch { pattern, .. } if pattern == "layers"), "{error}");
}

#[test]
fn norms_and_biases_train_with_the_head() {
    assert_eq!(trained("norms+head", &[]), ["embedding_norm.bias", "head.output.weight"]);
    assert_eq!(trained("biases+head", &[]), ["embedding_norm.bias", "head.output.weight"]);
    assert_eq!(
        trained("layers:1-2", &[]),
        ["layers.1.ffn.inner.weight", "layers.2.ffn.inner.weight", "head.output.weight"]
    );
}

fn begin(plan: &FreezePlan) -> Vec<(&str, usize)> {
    plan.rows.iter().filter_map(|row| Some((row.path.as_str(), row.unfreezes?))).collect()
}

#[test]
fn gradual_goes_down_from_the_head() {
    for (name, span, total_steps) in
        [("gradual", 10, 140), ("gradual:7", 7, 140), ("gradual:2epoch", 60, 900)]
    {
        let run = RunLength { total_steps, steps_per_epoch: 30 };
        let plan = FreezePlan::new(&name.parse().unwrap(), &twelve_layers(), &[]).unwrap().over(run);
        let steps: std::collections::HashMap<_, _> = begin(&plan).into_iter().collect();
        assert_eq!(steps["head.output.weight"], 0);
        assert_eq!(steps["pooler.weight"], 0);
        assert_eq!(steps["layers.11.ffn.inner.weight"], span);
        assert_eq!(steps["layers.0.ffn.inner.weight"], 12 * span);
        assert_eq!(steps["embedding_norm.bias"], 13 * span);
        assert!(plan.unfreezes_at(span) && !plan.unfreezes_at(span + 1) && !plan.unfreezes_at(0));
        assert_eq!(plan.trainable_in(2 * span), 8);
    }
}

#[test]
fn what_would_begin_after_the_last_step_is_frozen_and_said() {
    let run = RunLength { total_steps: 31, steps_per_epoch: 31 };
    let gradual = "gradual:10".parse().unwrap();
    let plan = FreezePlan::new(&gradual, &twelve_layers(), &[]).unwrap().over(run);
    // Head and pooler, then three layers, at steps 10, 20 and 30.
    assert_eq!(plan.trainable(), 2 * 5);
    assert_eq!(plan.trainable_in(30), plan.trainable());
    let late = plan.late().unwrap();
    assert_eq!(late, Late { parameters: 2 * 11, first_step: 40, total_steps: 31 });
    let frozen = plan.rows.iter().filter(|row| row.group == "frozen" && row.unfreezes.is_none());
    assert_eq!(frozen.count(), 11);
    let long = RunLength { total_steps: 131, ..run };
    assert_eq!(FreezePlan::new(&gradual, &twelve_layers(), &[]).unwrap().over(long).late(), None);
}

#[test]
fn a_run_shorter_than_the_groups_still_unfreezes() {
    let run = RunLength { total_steps: 3, steps_per_epoch: 3 };
    let plan = FreezePlan::new(&"gradual".parse().unwrap(), &twelve_layers(), &[]).unwrap().over(run);
    assert!(plan.unfreezes_at(1));
}

#[test]
fn rates_fall_from_the_head_down() {
    let plan = FreezePlan::new(&"all".parse().unwrap(), &twelve_layers(), &[]).unwrap();
    let plan = plan.with_layer_decay(0.5).unwrap();
    let rate = |path: &str| plan.rows.iter().find(|row| row.path == path).unwrap().rate;
    assert_eq!(rate("head.output.weight"), 1.0);
    assert_eq!(rate("pooler.weight"), 1.0);
    assert_eq!(rate("layers.11.ffn.inner.weight"), 0.5);
    assert_eq!(rate("layers.0.ffn.inner.weight"), 0.5_f64.powi(12));
    assert_eq!(rate("token_embedding.weight"), 0.5_f64.powi(13));
    for wrong in [0.0, -1.0, 1.5, f64::NAN] {
        let plan = FreezePlan::new(&"all".parse().unwrap(), &twelve_layers(), &[]).unwrap();
        assert!(plan.with_layer_decay(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn groups_of_a_file_say_rate_and_step() {
    let groups = r#"{"group": [{"pattern": "layers\\.11\\..*", "rate": 0.5, "from_step": 4}, {"pattern": "head\\..*|layers\\..*"}]}"#;
    let plan = FreezePlan::new(&groups.parse().unwrap(), &twelve_layers(), &[]).unwrap();
    let row = |path: &str| plan.rows.iter().find(|row| row.path == path).unwrap();
    let upper = row("layers.11.ffn.inner.weight");
    assert_eq!((upper.rate, upper.unfreezes), (0.5, Some(4)));
    assert_eq!(row("layers.1.ffn.inner.weight").unfreezes, Some(0));
    assert_eq!(row("pooler.weight").unfreezes, None);
}

#[test]
fn decay_leaves_out_biases_and_norms() {
    for (path, expected) in [
        ("layers.0.ffn.inner.weight", true),
        ("layers.0.ffn.inner.bias", false),
        ("layers.0.attention_norm.weight", false),
        ("token_embedding.weight", true),
    ] {
        assert_eq!(decays(path), expected, "{path}");
    }
}
