//! Generation with a model whose scores are known: a chain, where a token alone decides what follows.

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use temper_models::generate::Limits;
use temper_models::generate::processors::{
    forbid_repeated_ngrams, keep_best, keep_nucleus, penalise_repetition,
};
use temper_models::generate::sampling::{Sampler, best, log_softmax, softmax};
use temper_models::heads::{LanguageModel, LanguageModelConfig};
use temper_models::layers::{Block, StackPass, StackRows, run_layers};
use temper_models::weights::WeightMap;
use temper_models::{
    Backbone, Bounds, EarlyStopping, Family, FamilyFacts, GenerateSettings, Head, HeadFacts, HeadKind,
    HeadRequest, Hooks, Model, ModelConfig, ModelError, Parts, Pass, TokenBatch, generate,
};

const END: u32 = 0;

#[derive(Clone, Deserialize)]
struct ChainConfig {
    /// `[vocab, vocab]`: scores of the token that follows each.
    scores: Vec<Vec<f32>>,
    max_positions: usize,
}

#[derive(Module, Debug)]
struct Chain {
    scores: Tensor<2>,
}

impl Backbone for Chain {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let embed = || self.scores.clone().select(0, batch.ids.tensor());
        let rows = &StackRows::of(batch, pass.rows);
        let Pass { mode, cache, watch, until, .. } = pass;
        let pass = StackPass { rows, encoded: None, cache, mode, watch, until };
        run_layers::<Block>(&[], embed, batch, pass)
    }

    // The hidden state is the scores.
    fn token_table(&self) -> Tensor<2> {
        Tensor::eye(self.hidden_size(), &self.scores.device())
    }

    fn hidden_size(&self) -> usize {
        self.scores.dims()[1]
    }

    fn layer_count(&self) -> usize {
        0
    }
}

impl Family for ChainConfig {
    type Backbone = Chain;

    fn validate(&self) -> Result<(), ModelError> {
        Ok(())
    }

    fn init(&self, _parts: Parts, device: &Device) -> Chain {
        let vocab = self.scores.len();
        Chain { scores: Tensor::from_data(TensorData::new(self.scores.concat(), [vocab, vocab]), device) }
    }

    fn facts(&self) -> FamilyFacts {
        let vocab_size = self.scores.len();
        let head = HeadKind::CausalLm(LanguageModelConfig::plain(vocab_size, true));
        FamilyFacts {
            weights: WeightMap { prefix: "", groups: 1, rows: &[] },
            heads: vec![HeadFacts::new("ChainLM", head, &[])],
            foreign: &[],
            initializer_range: 0.02,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size, max_positions: self.max_positions },
        }
    }
}

/// A chain, ready to generate.
struct Ready {
    model: Model<Chain>,
    config: ModelConfig<Chain>,
    scores: Vec<Vec<f32>>,
}

impl Ready {
    fn new(scores: Vec<Vec<f32>>, max_positions: usize) -> Self {
        // JSON has no NaN, so the scores go past it.
        let raw = json!({"architectures": ["ChainLM"], "scores": vec![[0.0]; scores.len()],
            "max_positions": max_positions});
        let Value::Object(raw) = raw else { unreachable!() };
        let config = ModelConfig::of_family::<ChainConfig>(raw, |chain| chain).expect("a configuration");
        let family = ChainConfig { scores: scores.clone(), max_positions };
        let vocab = scores.len();
        let device = Device::flex();
        let head = LanguageModel::new(&LanguageModelConfig::plain(vocab, true), vocab, &device);
        let backbone = family.init(Parts::ALL, &device);
        Self { model: Model::new(backbone, Some(Head::LanguageModel(head))), config, scores }
    }

    fn drawn(vocab: usize, seed: u64) -> Self {
        let mut sampler = Sampler::new(seed, &[], 0);
        let flat = vec![0.0; 1000];
        let mut score = || sampler.draw(&flat) as f32 / 250.0;
        Self::new((0..vocab).map(|_| (0..vocab).map(|_| score()).collect()).collect(), 100)
    }

    fn run(&self, prompts: &[Vec<u32>], settings: &GenerateSettings) -> Result<Vec<Vec<u32>>, ModelError> {
        generate(&self.model, &self.config, prompts, settings, Hooks::default())
    }

    fn log_probabilities(&self, token: u32) -> Vec<f32> {
        let mut scores = self.scores[token as usize].clone();
        log_softmax(&mut scores);
        scores
    }

    /// The most probable text after `text` of all that end or have `room` more tokens.
    fn most_probable(&self, text: &[u32], sum: f32, room: usize) -> (f32, Vec<u32>) {
        let last = *text.last().expect("a token");
        if room == 0 || (text.len() > 1 && last == END) {
            return (sum, text[1..].to_vec());
        }
        let next = self.log_probabilities(last).into_iter().enumerate();
        let all = next
            .map(|(token, log)| self.most_probable(&[text, &[token as u32]].concat(), sum + log, room - 1));
        all.max_by(|left, right| left.0.total_cmp(&right.0)).expect("a token")
    }
}

fn settings() -> GenerateSettings {
    GenerateSettings { eos_token_id: vec![END], max_new_tokens: Some(6), ..Default::default() }
}

#[test]
fn enough_beams_find_the_most_probable_text() {
    for seed in 0..20 {
        let chain = Ready::drawn(4, seed);
        let search = GenerateSettings {
            num_beams: 64,
            max_new_tokens: Some(3),
            length_penalty: 0.0,
            early_stopping: EarlyStopping::Never,
            ..settings()
        };
        let found = chain.run(&[vec![2], vec![3]], &search).expect("texts");
        for (start, found) in [2, 3].into_iter().zip(found) {
            assert_eq!(found, chain.most_probable(&[start], 0.0, 3).1, "seed {seed}");
        }
    }
}

#[test]
fn searches_beside_each_other_do_not_mix() {
    for early_stopping in [EarlyStopping::Always, EarlyStopping::WhenUnlikely, EarlyStopping::Never] {
        for do_sample in [false, true] {
            let chain = Ready::drawn(9, 1);
            let search = GenerateSettings { num_beams: 3, early_stopping, do_sample, ..settings() };
            let prompts: Vec<Vec<u32>> = (1..9).map(|token| vec![token; token as usize]).collect();
            let together = chain.run(&prompts, &search).expect("texts");
            for (prompt, text) in prompts.into_iter().zip(together) {
                assert_eq!(chain.run(&[prompt], &search).expect("a text"), [text]);
            }
        }
    }
}

#[test]
fn forced_and_forbidden_tokens() {
    // END is by far the best everywhere.
    let chain = Ready::new(vec![vec![9.0, 1.0, 2.0, 3.0]; 4], 100);
    let run = |settings: GenerateSettings| chain.run(&[vec![1]], &settings).expect("a text")[0].clone();
    assert_eq!(run(settings()), [END]);
    assert_eq!(run(GenerateSettings { min_new_tokens: Some(3), ..settings() }), [3, 3, 3, END]);
    assert_eq!(run(GenerateSettings { min_length: 3, ..settings() }), [3, 3, END]);
    assert_eq!(run(GenerateSettings { eos_token_id: vec![7, 3], ..settings() }), [END; 6]);
    assert_eq!(run(GenerateSettings { forced_bos_token_id: Some(2), ..settings() }), [2, END]);
    let forced = GenerateSettings {
        eos_token_id: vec![],
        forced_eos_token_id: vec![2],
        max_new_tokens: None,
        max_length: Some(4),
        ..settings()
    };
    assert_eq!(run(forced.clone()), [END, END, 2]);
    assert_eq!(run(GenerateSettings { num_beams: 2, ..forced }), [END, END, 2]);
    let varied = GenerateSettings { eos_token_id: vec![], no_repeat_ngram_size: 1, ..settings() };
    assert_eq!(run(GenerateSettings { max_new_tokens: Some(3), ..varied.clone() }), [END, 3, 2]);
    let error = chain.run(&[vec![1]], &GenerateSettings { max_new_tokens: Some(4), ..varied });
    assert!(matches!(error, Err(ModelError::NoNextToken { prompt: 1, .. })), "{error:?}");
}

#[test]
fn lengths_follow_transformers() {
    let some = |new| GenerateSettings { max_new_tokens: Some(new), ..Default::default() };
    let limits = |settings: GenerateSettings, tokens, positions| settings.limits(tokens, positions).ok();
    let is = |min_new, max_new| Some(Limits { min_new, max_new });
    assert_eq!(limits(Default::default(), 5, usize::MAX), is(0, 20));
    assert_eq!(limits(Default::default(), 5, 12), is(0, 7));
    assert_eq!(limits(some(9), 5, 12), is(0, 9));
    let total = GenerateSettings { max_length: Some(8), min_length: 7, ..Default::default() };
    assert_eq!(limits(total.clone(), 5, 12), is(2, 3));
    assert_eq!(limits(total.clone(), 8, 12), None);
    assert_eq!(limits(GenerateSettings { max_new_tokens: Some(4), ..total }, 9, 12), is(0, 4));
}

#[test]
fn contradictions_are_errors() {
    let chain = Ready::drawn(4, 0);
    let refused = |settings: GenerateSettings| match chain.run(&[vec![1]], &settings) {
        Err(ModelError::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    let sampled = |temperature| GenerateSettings { do_sample: true, temperature, ..settings() };
    assert_eq!(refused(sampled(0.0)), "temperature");
    assert_eq!(refused(sampled(-1.0)), "temperature");
    assert_eq!(refused(sampled(f64::NAN)), "temperature");
    assert_eq!(refused(GenerateSettings { num_beams: 0, ..settings() }), "num_beams");
    assert_eq!(refused(GenerateSettings { batch_size: 0, ..settings() }), "batch_size");
    assert_eq!(refused(GenerateSettings { max_new_tokens: Some(0), ..settings() }), "max_new_tokens");
    assert_eq!(refused(GenerateSettings { min_new_tokens: Some(7), ..settings() }), "min_new_tokens");
    for top_p in [0.0, -0.1, 1.1, f64::NAN] {
        assert_eq!(refused(GenerateSettings { top_p, ..settings() }), "top_p");
    }
    assert_eq!(refused(GenerateSettings { repetition_penalty: 0.0, ..settings() }), "repetition_penalty");
    assert_eq!(refused(GenerateSettings { length_penalty: f64::NAN, ..settings() }), "length_penalty");
    assert_eq!(
        refused(GenerateSettings { forced_bos_token_id: Some(4), ..settings() }),
        "forced_bos_token_id"
    );
    let forced = GenerateSettings { forced_eos_token_id: vec![4], ..settings() };
    assert_eq!(refused(forced), "forced_eos_token_id");
}

#[test]
fn bad_prompts_are_errors() {
    let chain = Ready::new(vec![vec![0.0, 1.0]; 2], 8);
    let run = |prompt: Vec<u32>, new| {
        let settings = GenerateSettings { max_new_tokens: Some(new), ..Default::default() };
        chain.run(&[vec![1], prompt], &settings)
    };
    assert!(matches!(run(vec![], 1), Err(ModelError::EmptyPrompt { prompt: 2 })));
    let error = run(vec![1, 2], 1);
    assert!(matches!(error, Err(ModelError::UnknownToken { prompt: 2, id: 2, vocab_size: 2 })), "{error:?}");
    assert!(matches!(run(vec![1; 9], 1), Err(ModelError::PromptTooLong { tokens: 9, .. })));
    assert!(matches!(run(vec![1; 5], 5), Err(ModelError::PromptTooLong { new: 5, max_positions: 8, .. })));
    // The last token needs no position.
    assert_eq!(run(vec![1; 5], 4).expect("texts"), [[1; 4], [1; 4]]);
    assert!(chain.run(&[], &settings()).expect("no texts").is_empty());
    let broken = Ready::new(vec![vec![f32::NAN, 1.0]; 2], 8);
    assert!(matches!(broken.run(&[vec![1]], &settings()), Err(ModelError::NotFinite { prompt: 1 })));
}

#[test]
fn a_model_without_a_language_model_writes_no_text() {
    for name in ["bert", "zoo/bert-masked-lm", "zoo/bert-sequence-classification"] {
        let loaded = Model::load(&common::fixture(name), &HeadRequest::FromConfig, &Device::flex());
        let loaded = loaded.expect("the fixture");
        let result = generate(&loaded.model, &loaded.config, &[vec![1]], &settings(), Hooks::default());
        let Err(error @ ModelError::NoGenerator { .. }) = result else { panic!("{name}: {result:?}") };
        assert!(error.to_string().contains("Bert"), "{error}");
    }
}

#[test]
fn defaults_come_from_the_files_as_in_transformers() {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |config: Value, generation: Option<Value>| {
        let Value::Object(mut raw) = config else { panic!("an object") };
        raw.insert("scores".into(), json!([[0.0]]));
        raw.insert("max_positions".into(), json!(4));
        let config = ModelConfig::of_family::<ChainConfig>(raw, |chain| chain).expect("a configuration");
        let path = dir.path().join("generation_config.json");
        match generation {
            Some(value) => std::fs::write(&path, value.to_string()).expect("written"),
            None => drop(std::fs::remove_file(&path)),
        }
        GenerateSettings::of_model(dir.path(), &config)
    };
    let old = json!({"eos_token_id": 2, "num_beams": 4, "early_stopping": true, "forced_bos_token_id": null,
        "typical_p": 1.0, "bad_words_ids": null, "max_length": 33});
    let settings = read(old.clone(), None).expect("settings");
    assert_eq!((settings.num_beams, settings.early_stopping), (4, EarlyStopping::Always));
    assert_eq!((settings.eos_token_id, settings.max_length), (vec![2], Some(33)));
    // The file for generation, where there is one, counts alone.
    let settings = read(old, Some(json!({"eos_token_id": [3, 4], "do_sample": true}))).expect("settings");
    assert_eq!((settings.num_beams, settings.eos_token_id), (1, vec![3, 4]));
    assert!(settings.do_sample && settings.top_k == 50);
    for (key, value) in
        [("min_p", json!(0.1)), ("num_beam_groups", json!(2)), ("suppress_tokens", json!([1]))]
    {
        let error = read(json!({}), Some(json!({ key: value }))).expect_err("refused");
        assert!(matches!(error, ModelError::UnsupportedSetting { setting, .. } if setting == key), "{error}");
    }
    for broken in [json!([1]), json!({"top_k": "many"}), json!({"early_stopping": "soon"})] {
        let error = read(json!({}), Some(broken)).expect_err("refused");
        let is_named = matches!(error, ModelError::BrokenFile { .. } | ModelError::BadSetting { .. });
        assert!(is_named, "{error}");
    }
}

#[test]
fn processors_follow_transformers() {
    // Worked out with transformers 5.23's processors.
    let mut scores = [1.0, -1.0, 2.0, 0.0];
    penalise_repetition(&mut scores, &[1, 2, 2, 9], 2.0);
    assert_eq!(scores, [1.0, -2.0, 1.0, 0.0]);
    let mut scores = [0.0; 5];
    forbid_repeated_ngrams(&mut scores, &[1, 2, 3, 1, 2, 4, 1, 2], 3);
    assert_eq!(scores.map(|score| score == 0.0), [true, true, true, false, false]);
    forbid_repeated_ngrams(&mut scores, &[1], 3);
    let mut scores = [1.0, 3.0, 2.0, 2.0];
    keep_best(&mut scores, 2);
    assert_eq!(scores.map(f32::is_finite), [false, true, true, true]);
    // 0.5, 0.25, 0.125, 0.125
    let mut scores = [3.0_f32, 2.0, 1.0, 1.0].map(|power| power * 2.0_f32.ln());
    keep_nucleus(&mut scores, 0.6, 1);
    assert_eq!(scores.map(f32::is_finite), [true, true, false, false]);
}

#[test]
fn draws_have_the_frequencies_that_the_temperature_gives() {
    let scores = [1.0_f32, 0.0, 2.0, -1.0];
    for temperature in [0.5, 1.0, 3.0] {
        let expected = softmax(&scores.map(|score| score / temperature));
        let chain = Ready::new(vec![scores.to_vec(); 4], usize::MAX);
        let settings = GenerateSettings {
            do_sample: true,
            temperature: f64::from(temperature),
            max_new_tokens: Some(4000),
            ..Default::default()
        };
        let text = &chain.run(&[vec![0]], &settings).expect("a text")[0];
        for (token, expected) in expected.iter().enumerate() {
            let count = text.iter().filter(|&&id| id as usize == token).count();
            let found = count as f32 / 4000.0;
            // Four standard deviations.
            let allowed = 4.0 * (expected * (1.0 - expected) / 4000.0).sqrt();
            assert!((found - expected).abs() < allowed, "{temperature}, {token}: {found}, {expected}");
        }
    }
}

#[test]
fn draws_are_the_same_on_every_machine() {
    let mut sampler = Sampler::new(42, &[5, 6], 0);
    let drawn: Vec<usize> = (0..8).map(|_| sampler.draw(&[0.0; 1000])).collect();
    assert_eq!(drawn, PINNED);
}

/// Computed apart, from the definitions of FNV-1a and ChaCha with 8 rounds.
const PINNED: [usize; 8] = [806, 975, 465, 378, 547, 611, 635, 474];

proptest! {
    #[test]
    fn the_nucleus_is_the_smallest_set_that_is_probable_enough(
        scores in prop::collection::vec(-8.0_f32..8.0, 1..40),
        top_p in 0.01_f64..1.0,
        least in 1_usize..4,
    ) {
        let mut kept = scores.clone();
        keep_nucleus(&mut kept, top_p, least);
        let probabilities = softmax(&scores);
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            (0..scores.len()).partition(|&place| kept[place].is_finite());
        prop_assert!(inside.len() >= least.min(scores.len()));
        prop_assert!(inside.iter().all(|&place| kept[place] == scores[place]));
        let lowest = inside.iter().map(|&place| scores[place]).fold(f32::INFINITY, f32::min);
        prop_assert!(outside.iter().all(|&place| scores[place] <= lowest));
        let sum: f64 = inside.iter().map(|&place| f64::from(probabilities[place])).sum();
        prop_assert!(sum > top_p - 1e-5, "{sum}");
        if inside.len() > least {
            let smallest = inside.iter().map(|&place| f64::from(probabilities[place])).fold(1.0, f64::min);
            prop_assert!(sum - smallest < top_p + 1e-5, "{sum} - {smallest}");
        }
    }

    #[test]
    fn the_best_places_are_those_of_sorting(
        scores in prop::collection::vec((0_u8..20).prop_map(f32::from), 0..60),
        count in 0_usize..70,
    ) {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&left, &right| scores[right].total_cmp(&scores[left]));
        order.truncate(count);
        prop_assert_eq!(best(&scores, count), order);
    }

    #[test]
    fn distinct_draws_are_distinct_and_enough(
        scores in prop::collection::vec(prop::sample::select(vec![0.0_f32, 1.0, -1e9, f32::NEG_INFINITY]), 1..12),
        count in 1_usize..12,
        seed: u64,
    ) {
        prop_assume!(scores.iter().any(|score| score.is_finite()));
        let places = Sampler::new(seed, &[], 0).draw_distinct(&scores, count);
        prop_assert_eq!(places.len(), count.min(scores.len()));
        let mut sorted = places;
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), count.min(scores.len()));
    }
}
