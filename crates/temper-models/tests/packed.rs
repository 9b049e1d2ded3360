//! Models whose weights are packed for use: in bfloat16 as near to f32 as unpacked ones, in int8 near, and exact about who
//! may do what.

#[path = "common/zoo.rs"]
mod zoo;

use burn::tensor::Device;
use temper_kernels::VocabularyTargets;
use temper_models::{HeadRequest, Mode, Model, ModelConfig, Precision};
use zoo::{Case, case, cases, host};

/// The norm of a difference relative to that of the reference.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    norm(&mut ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs)) / norm(&mut theirs.iter().copied())
}

fn logits(model: &Model, case: &Case) -> Vec<f64> {
    host(model.logits(&case.batch(&Device::flex()), Mode::Evaluate).expect("a head"))
}

fn packed(case: &Case, precision: Precision) -> Model {
    case.load(&Device::flex()).with_precision(precision).packed()
}

#[test]
fn packed_models_are_near_unpacked_ones() {
    for case in cases() {
        let model = case.load(&Device::flex());
        let exact = logits(&model, &case);
        let half = logits(&model.clone().with_precision(Precision::Bf16), &case);
        let [bf16, int8] =
            [Precision::Bf16, Precision::Int8].map(|precision| logits(&packed(&case, precision), &case));
        let (of_half, of_bf16, of_int8) =
            (relative(&half, &exact), relative(&bf16, &exact), relative(&int8, &exact));
        println!("{:<45} bf16 {of_half:.1e}, packed {of_bf16:.1e}, int8 {of_int8:.1e}", case.name);
        // Sums in another order turn over last bits of later factors.
        assert!(of_bf16 < 2.0 * of_half + 1e-3, "{}: {of_bf16:e} {of_half:e}", case.name);
        assert!(of_int8 > 1e-5 && of_int8 < 0.1, "{}: {of_int8:e}", case.name);
        assert_eq!(exact, logits(&model.packed(), &case), "f32 stays as it is");
    }
}

/// The scores of a packed head are those of its logits, in more than one block.
#[test]
fn scores_of_a_packed_head_are_those_of_its_logits() {
    let device = Device::flex();
    for name in ["gpt2-causal-lm", "t5-v1.1-seq2seq-lm", "bert-masked-lm"] {
        let case = case(name);
        for precision in [Precision::Bf16, Precision::Int8] {
            let model = packed(&case, precision);
            let batch = case.batch(&device);
            let logits = model.logits(&batch, Mode::Evaluate).expect("a head");
            let [rows, vocab] = logits.dims();
            let ids: Vec<i32> = (0..rows).map(|row| (row * 7 % vocab) as i32).collect();
            let targets = VocabularyTargets { ids: ids.into(), smoothing: 0.0 };
            let scores = host(model.vocabulary_scores(&batch, &targets).expect("a head"));
            let expected = host(temper_kernels::composed_scores(logits, &targets));
            let largest = scores.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(largest < 1e-5, "{name}: {largest:e}");
        }
    }
}

#[test]
fn sizes_are_known_and_packing_twice_changes_nothing() {
    let case = case("llama2-gqa-causal-lm");
    let mut model = case.load(&Device::flex()).with_precision(Precision::Int8);
    let mut before = Vec::new();
    model.each_linear_and_head(&mut |path, linear| before.push((path.to_owned(), linear.sizes())));
    let mut model = model.packed();
    let mut after = Vec::new();
    model.each_linear_and_head(&mut |path, linear| after.push((path.to_owned(), linear.sizes())));
    assert_eq!(before, after);
    assert_eq!(logits(&model, &case), logits(&model.clone().packed(), &case));
}

/// A quantised folder is read like another, computes in int8 what its source does, and is a fourth of its size where matrices
/// are large. Embeddings are rounded, too.
#[test]
fn quantised_folders_compute_what_their_sources_do() {
    for case in cases() {
        let dir = tempfile::tempdir().expect("a folder");
        let model = case.load(&Device::flex());
        let config = ModelConfig::read(&case.dir).expect("a configuration");
        model.save_quantized(&config, dir.path()).expect("a folder that can be written");
        let loaded = Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex())
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(loaded.is_quantized && loaded.new.is_empty(), "{}", case.name);
        let exact = logits(&model, &case);
        let quantized = loaded.model.with_precision(Precision::Int8).packed();
        let [of_source, of_copy] =
            [packed(&case, Precision::Int8), quantized].map(|model| relative(&logits(&model, &case), &exact));
        println!("{:<45} int8 {of_source:.1e}, of a quantised folder {of_copy:.1e}", case.name);
        assert!(of_copy < 0.1, "{}: {of_copy:e} {of_source:e}", case.name);
    }
}
