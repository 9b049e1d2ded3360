//! Figures of plans and of comparisons, read back.

mod reader;

use std::path::Path;

use burn::module::ParamId;
use burn::tensor::Device;
use temper_models::{HeadRequest, Model, Parameter, ParameterTable};

use self::reader::{Drawn, read};
use super::{comparison_figure, plan_figure};
use crate::{FreezePlan, PlanRow, Strategy};

fn built(parameters: &[(String, usize)], trains: impl Fn(&str) -> bool) -> FreezePlan {
    let parameter = |(path, count): &(String, usize)| Parameter {
        path: path.clone(),
        shape: vec![*count],
        id: ParamId::new(),
        trains: true,
    };
    let table = ParameterTable { parameters: parameters.iter().map(parameter).collect() };
    let mut plan = plan(&table, "all").expect("a plan");
    for row in &mut plan.rows {
        row.trains = trains(&row.path);
        row.unfreezes = row.trains.then_some(0);
    }
    plan
}

/// Embeddings, layers of an attention and a norm, a head.
fn stack(layers: usize, trains: impl Fn(&str) -> bool) -> FreezePlan {
    built(&parameters(layers), trains)
}

fn parameters(layers: usize) -> Vec<(String, usize)> {
    let mut paths = vec!["token_embedding.weight".to_owned(), "embedding_norm.weight".to_owned()];
    for layer in 0..layers {
        paths.extend(
            ["attention.query.weight", "attention.query.bias", "attention_norm.weight"]
                .map(|part| format!("layers.{layer}.{part}")),
        );
    }
    paths.extend(["final_norm.weight".to_owned(), "head.output.weight".to_owned()]);
    paths.into_iter().map(|path| (path, 100)).collect()
}

fn table(fixture: &str) -> ParameterTable {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo");
    let loaded = Model::load(&fixtures.join(fixture), &HeadRequest::FromConfig, &Device::flex());
    loaded.expect("a model of the fixtures").model.parameters()
}

const FIXTURES: [&str; 5] = [
    "bert-sequence-classification",
    "gpt2-sequence-classification",
    "t5-seq2seq-lm",
    "bart-sequence-classification",
    "falcon-40b-causal-lm",
];

const STRATEGIES: [&str; 10] = [
    "all",
    "head",
    "last:1",
    "layers:0-0",
    "embeddings",
    "freeze-embeddings",
    "norms+head",
    "biases+head",
    "gradual:50",
    "pattern:.*\\.bias,.*norm\\..*",
];

fn plan(table: &ParameterTable, strategy: &str) -> Option<FreezePlan> {
    let strategy: Strategy = strategy.parse().expect("a strategy");
    // Families without biases refuse a pattern that asks for them.
    FreezePlan::new(&strategy, table, &[]).ok()
}

/// The state that the rows of a plan whose paths begin so should be drawn in.
fn expected(plan: &FreezePlan, path: &str) -> &'static str {
    let begins = |row: &&PlanRow| row.path.starts_with(&format!("{path}."));
    let [all, trained] = [false, true].map(|only| {
        let rows = plan.rows.iter().filter(begins).filter(|row| row.trains || !only);
        rows.map(|row| row.count).sum::<usize>()
    });
    let waits = plan.rows.iter().filter(begins).any(|row| row.unfreezes > Some(0));
    match trained {
        0 => "frozen",
        _ if trained < all => "partial",
        _ if waits => "later",
        _ => "trained",
    }
}

#[test]
fn every_part_of_every_layer_is_drawn_in_its_state() {
    for fixture in FIXTURES {
        let table = table(fixture);
        for strategy in STRATEGIES {
            let Some(plan) = plan(&table, strategy) else { continue };
            let figure = read(&plan_figure(&plan, fixture, strategy));
            figure.assert_tidy();
            let layers = plan.rows.iter().filter(|row| row.path.contains("layers."));
            let mut parts: Vec<String> = layers
                .map(|row| {
                    let names: Vec<&str> = row.path.split('.').collect();
                    let depth = if names[0] == "layers" { 3 } else { 4 };
                    names[..depth].join(".")
                })
                .collect();
            parts.dedup();
            assert!(parts.len() >= 4, "{fixture}: {parts:?}");
            for part in parts {
                assert_eq!(figure.state(&part), expected(&plan, &part), "{fixture} {strategy} {part}");
            }
            let in_layers = |drawn: &&Drawn| drawn.path.contains("layers.");
            let drawn: std::collections::HashSet<&str> =
                figure.boxes.iter().filter(in_layers).map(|drawn| drawn.path.as_str()).collect();
            assert_eq!(drawn.len(), figure.boxes.iter().filter(in_layers).count(), "drawn twice");
        }
    }
}

#[test]
fn a_comparison_has_a_column_a_strategy() {
    for fixture in FIXTURES {
        let table = table(fixture);
        let plans: Vec<(String, FreezePlan)> =
            STRATEGIES.iter().filter_map(|name| Some((name.to_string(), plan(&table, name)?))).collect();
        let columns: Vec<(String, &FreezePlan)> =
            plans.iter().map(|(name, plan)| (name.clone(), plan)).collect();
        let figure = read(&comparison_figure(fixture, &columns));
        figure.assert_tidy();
        let rows = figure.boxes.len() / columns.len();
        assert_eq!(rows * columns.len(), figure.boxes.len(), "{fixture}");
        let stacks: &[&str] = if table.parameters.iter().any(|row| row.path.starts_with("decoder.")) {
            &["encoder.", "decoder."]
        } else {
            &[""]
        };
        for (name, plan) in &plans {
            for layer in stacks.iter().flat_map(|stack| [0, 1].map(|layer| format!("{stack}layers.{layer}")))
            {
                assert_eq!(
                    figure.state(&format!("{name} {layer}")),
                    expected(plan, &layer),
                    "{fixture} {name}"
                );
            }
            assert!(figure.description.contains(&plan.summary()), "{}", figure.description);
        }
    }
}

#[test]
fn an_encoder_stands_beside_its_decoder() {
    let table = table("t5-seq2seq-lm");
    let svg = plan_figure(&plan(&table, "last:1").expect("a plan"), "t5", "last:1");
    let figure = read(&svg);
    let [encoder, decoder] =
        ["encoder", "decoder"].map(|stack| figure.found(&format!("{stack}.layers.0.attention")).frame);
    assert!(encoder.x + encoder.width < decoder.x);
    assert_eq!(encoder.y, decoder.y);
    let below = figure.found("embeddings.token_embedding").frame;
    assert!(below.y > figure.found("encoder.embeddings.relative_bias").frame.y);
    assert!(figure.boxes.iter().any(|drawn| drawn.path == "decoder.layers.1.cross_attention"));
    assert!(svg.contains("encoder to decoder"));
}

#[test]
fn thirty_two_layers_that_are_alike_are_one_row() {
    let upper =
        |path: &str| ["layers.30.", "layers.31.", "head."].iter().any(|start| path.starts_with(start));
    let plan = stack(32, upper);
    let figure = read(&plan_figure(&plan, "large", "last:2"));
    figure.assert_tidy();
    let paths: Vec<&str> = figure.boxes.iter().map(|drawn| drawn.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "embeddings.token_embedding",
            "embeddings.embedding_norm",
            "layers.0-29.attention",
            "layers.0-29.attention_norm",
            "layers.30-31.attention",
            "layers.30-31.attention_norm",
            "final_norm.final_norm",
            "head.output",
        ]
    );
    assert!(figure.says("layers 0\u{2013}29") && figure.says("30 \u{d7} 300"));
    assert_eq!(figure.state("layers.0-29.attention"), "frozen");
    assert_eq!(figure.state("layers.30-31.attention"), "trained");

    let all = stack(32, |_| true);
    let columns = [("all".to_owned(), &all), ("last:2".to_owned(), &plan)];
    let figure = read(&comparison_figure("large", &columns));
    figure.assert_tidy();
    assert_eq!(figure.state("all layers.0-29"), "trained");
    assert_eq!(figure.state("last:2 layers.0-29"), "frozen");
    assert_eq!(figure.boxes.len(), 2 * 5);
}

#[test]
fn twelve_layers_are_drawn_one_by_one_from_below() {
    let figure = read(&plan_figure(&stack(12, |_| false), "base", "none"));
    let heights: Vec<i32> =
        (0..12).map(|layer| figure.found(&format!("layers.{layer}.attention")).frame.y).collect();
    assert!(heights.windows(2).all(|pair| pair[0] > pair[1]), "{heights:?}");
    assert!(figure.found("embeddings.token_embedding").frame.y > heights[0]);
    assert!(figure.found("head.output").frame.y < heights[11]);
}

#[test]
fn thirty_two_layers_that_differ_fit_a_page() {
    let number = |path: &str| path.strip_prefix("layers.")?.split('.').next()?.parse::<usize>().ok();
    let alternating = stack(32, |path| number(path).is_some_and(|layer| layer % 2 == 0));
    let figure = read(&plan_figure(&alternating, "large", "every other one"));
    figure.assert_tidy();
    assert_eq!(figure.boxes.len(), 2 + 2 * 32 + 2);
    // An A4 page with margins has 1000 CSS pixels: text of 11 stays above 6 when it is scaled to fit.
    assert!(figure.size.height < 1700, "{:?}", figure.size);
}

#[test]
fn where_nothing_trains_everything_is_frozen() {
    let figure = read(&plan_figure(&stack(2, |_| false), "model", "none"));
    assert!(figure.boxes.iter().all(|drawn| drawn.state == "frozen"));
    assert!(figure.says("0 of 1000 parameters train (0.00 %)"));
    assert_eq!(figure.legend, ["trained", "frozen"]);
    read(&plan_figure(&built(&[], |_| true), "nothing", "all")).assert_tidy();
    read(&comparison_figure("nothing", &[])).assert_tidy();
}

#[test]
fn parts_that_train_in_part_say_how_much() {
    let figure = read(&plan_figure(&stack(2, |path| path.ends_with(".bias")), "model", "biases"));
    figure.assert_tidy();
    let attention = figure.found("layers.1.attention");
    assert_eq!(
        (attention.state.as_str(), attention.texts.join(" ").as_str()),
        ("partial", "attention 200, 50.0 %")
    );
    assert_eq!(figure.state("layers.1.attention_norm"), "frozen");
    assert_eq!(figure.legend, ["trained", "partial", "frozen"]);
}

#[test]
fn an_adapter_stands_beside_its_map() {
    let mut parameters = parameters(2);
    for map in ["query", "key", "value"] {
        for matrix in ["a", "b"] {
            parameters.push((format!("layers.1.attention.{map}.adapter.{matrix}"), 8));
        }
    }
    parameters.push(("head.output.adapter.a".into(), 4));
    let plan = built(&parameters, |path| path.contains(".adapter."));
    let figure = read(&plan_figure(&plan, "model", "lora"));
    figure.assert_tidy();
    let (map, adapter) = (figure.found("layers.1.attention"), figure.found("layers.1.attention.key.adapter"));
    assert_eq!((map.state.as_str(), adapter.state.as_str()), ("frozen", "trained"));
    assert_eq!(adapter.texts, ["key 16"]);
    assert!(map.frame.x + map.frame.width <= adapter.frame.x && map.frame.y <= adapter.frame.y);
    assert_eq!(figure.found("head.output.output.adapter").texts, ["output 4"]);
    assert!(figure.legend.contains(&"adapter".to_owned()));

    let plain = stack(2, |_| true);
    let figure = read(&comparison_figure("model", &[("all".into(), &plain), ("lora".into(), &plan)]));
    figure.assert_tidy();
    assert!(figure.says("1000 parameters"));
    assert_eq!(figure.found("lora layers.1").texts, ["adapters 13.8 %"]);
    assert_eq!(figure.state("lora layers.0"), "frozen");
}

#[test]
fn names_cannot_become_markup_and_long_ones_fit() {
    let plan = stack(2, |_| true);
    let name = format!("pattern:(<a|b>&\"'\u{1}){{2}}{}", ",layers.[0-9]+".repeat(20));
    for svg in [plan_figure(&plan, "<model>", &name), comparison_figure("<model>", &[(name.clone(), &plan)])]
    {
        let figure = read(&svg);
        figure.assert_tidy();
        assert!(figure.title.starts_with("&lt;model&gt;"), "{}", figure.title);
        assert!(svg.contains("(&lt;a|b&gt;&amp;") && !svg.contains("<a|b") && !svg.contains('\u{1}'));
    }
}

#[test]
fn figures_need_nothing_from_elsewhere() {
    let svg = plan_figure(&stack(2, |_| true), "model", "all");
    for word in ["<script", "<style", "href", "@import", "<image"] {
        assert!(!svg.contains(word), "{word}");
    }
    assert_eq!(svg.matches("http").count(), 1, "only the name space");
    let figure = read(&svg);
    assert_eq!(figure.title, "model, strategy all");
    assert!(figure.description.contains("layers 1: 100 % trains"), "{}", figure.description);
}

#[test]
fn rates_and_steps_are_written_where_they_are_not_the_usual_ones() {
    let strategy = "gradual:50".parse().expect("a strategy");
    let gradual = FreezePlan::new(&strategy, &table("bert-sequence-classification"), &[]).expect("a plan");
    let plan = gradual.clone().with_layer_decay(0.5).expect("a decay");
    let figure = read(&plan_figure(&plan, "bert", "gradual:50"));
    figure.assert_tidy();
    assert_eq!(figure.state("head.output"), "trained");
    assert_eq!(figure.state("layers.1.ffn"), "later");
    for text in ["rate \u{d7}0.5", "rate \u{d7}0.25", "rate \u{d7}0.125", "from step 50", "from step 100"] {
        assert!(figure.says(text), "{text}: {:?}", figure.texts);
    }
    assert_eq!(figure.legend, ["trained", "later", "frozen"]);

    let columns = [("one rate".to_owned(), &gradual), ("decay".to_owned(), &plan)];
    let figure = read(&comparison_figure("bert", &columns));
    figure.assert_tidy();
    assert_eq!(figure.found("one rate layers.1").texts, ["step 50"]);
    assert_eq!(figure.found("decay layers.1").texts, ["step 50 \u{d7}0.5"]);
    assert_eq!(figure.found("decay head").texts, [""; 0]);
}
