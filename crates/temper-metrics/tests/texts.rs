//! Texts compared with rouge_score and sacrebleu (xtask/reference/metrics_texts.py).

use serde::Deserialize;
use temper_metrics::texts::{Bleu, Chrf, Rouge, RougeScores, bleu_tokens};

#[derive(Deserialize)]
struct Cases {
    texts: Vec<TextCase>,
    corpora: Vec<CorpusCase>,
}

#[derive(Deserialize)]
struct TextCase {
    text: String,
    references: Vec<String>,
    tokens: Vec<String>,
    rouge: [f64; 3],
}

#[derive(Deserialize)]
struct CorpusCase {
    texts: Vec<String>,
    references: Vec<Vec<String>>,
    bleu: f64,
    chrf: f64,
}

fn cases() -> Cases {
    let cases: Cases = serde_json::from_str(include_str!("fixtures/texts.json")).expect("cases");
    assert!(cases.texts.len() >= 300 && cases.corpora.len() >= 200);
    cases
}

fn is_close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() < 1e-9
}

#[test]
fn texts_are_scored_as_by_rouge_score() {
    let mut scores = RougeScores::default();
    let cases = cases().texts;
    for TextCase { text, references, rouge, .. } in &cases {
        let ours = Rouge::of(text, references);
        let found = [ours.rouge1, ours.rouge2, ours.rouge_l];
        let agrees = found.iter().zip(rouge).all(|(ours, theirs)| is_close(*ours, *theirs));
        assert!(agrees, "{text:?} {references:?}: {found:?}, not {rouge:?}");
        scores.add(ours);
    }
    let mean = cases.iter().map(|case| case.rouge[2]).sum::<f64>() / cases.len() as f64;
    assert!(is_close(scores.mean().rouge_l, mean));
}

#[test]
fn tokens_are_those_of_sacrebleu() {
    for TextCase { text, tokens, .. } in cases().texts {
        assert_eq!(bleu_tokens(&text), tokens, "{text:?}");
    }
}

#[test]
fn corpora_are_scored_as_by_sacrebleu() {
    for CorpusCase { texts, references, bleu, chrf } in cases().corpora {
        let (mut of_bleu, mut of_chrf) = (Bleu::default(), Chrf::default());
        for (text, references) in texts.iter().zip(&references) {
            of_bleu.add(text, references);
            of_chrf.add(text, references);
        }
        assert!(is_close(of_bleu.score(), bleu), "{texts:?} {references:?}: {}, not {bleu}", of_bleu.score());
        assert!(is_close(of_chrf.score(), chrf), "{texts:?} {references:?}: {}, not {chrf}", of_chrf.score());
    }
}
