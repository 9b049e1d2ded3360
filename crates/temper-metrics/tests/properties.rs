//! What holds of all tags, answers and numbers.

use proptest::prelude::*;
use temper_metrics::answers::{AnswerScore, normalize_answer};
use temper_metrics::entities::{
    Entity, EntityScores, TagScheme, check_tags, convert, detect_schemes, lenient_entities, strict_entities,
    write_tags,
};
use temper_metrics::multilabel::micro_threshold;
use temper_metrics::{bootstrap_interval, pearson, spearman, wilcoxon_signed_rank};

/// Entities that do not overlap, some next to each other, and the number of tokens.
fn entities() -> impl Strategy<Value = (Vec<Entity>, usize)> {
    let one = (0_usize..3, 1_usize..4, prop::sample::select(vec!["PER", "LOC", "WORK-OF-ART", "_"]));
    (prop::collection::vec(one, 0..6), 0_usize..3).prop_map(|(drawn, rest)| {
        let mut place = 0;
        let mut entities = Vec::new();
        for (gap, length, kind) in drawn {
            let start = place + gap;
            place = start + length;
            entities.push(Entity { kind: kind.to_owned(), start, end: place });
        }
        (entities, place + rest)
    })
}

fn any_tag() -> impl Strategy<Value = String> {
    prop_oneof!["[OBIESLU](-[A-C])?", any::<String>()]
}

proptest! {
    #[test]
    fn written_tags_hold_their_entities((entities, tokens) in entities()) {
        for scheme in TagScheme::ALL {
            let tags = write_tags(&entities, tokens, scheme);
            prop_assert_eq!(check_tags(&tags, scheme), Ok(()));
            prop_assert!(detect_schemes([&tags]).contains(&scheme));
            prop_assert_eq!(&strict_entities(&tags, scheme).unwrap(), &entities);
            if scheme != TagScheme::Bilou {
                prop_assert_eq!(&lenient_entities(&tags), &entities);
            }
            for other in TagScheme::ALL {
                let there = convert(&tags, scheme, other).unwrap();
                prop_assert_eq!(&there, &write_tags(&entities, tokens, other));
                prop_assert_eq!(&convert(&there, other, scheme).unwrap(), &tags);
            }
        }
    }

    #[test]
    fn any_tags_have_entities_in_order(tags in prop::collection::vec(any_tag(), 0..12)) {
        for scheme in TagScheme::ALL {
            let checked = check_tags(&tags, scheme);
            prop_assert!(checked.as_ref().err().is_none_or(|error| error.place() < tags.len()));
            let strict = strict_entities(&tags, scheme);
            prop_assert!(strict.is_ok() || checked.is_err());
            let found = strict.unwrap_or_default();
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(found.iter().all(|entity| entity.start < entity.end && entity.end <= tags.len()));
        }
        let found = lenient_entities(&tags);
        prop_assert!(found.iter().all(|entity| entity.start < entity.end && entity.end <= tags.len()));
    }

    #[test]
    fn a_prediction_that_is_the_truth_has_full_scores((entities, _) in entities()) {
        let mut scores = EntityScores::default();
        scores.add(&entities, &entities);
        let micro = scores.micro_average();
        prop_assert_eq!(micro.support, entities.len());
        prop_assert_eq!(micro.f1, if entities.is_empty() { 0.0 } else { 1.0 });
    }

    #[test]
    fn a_normal_answer_stays_as_it_is(text in r"(?s)([aA][nN]?|[tT]he|[ .'\x1c\n]|Σ|.){0,12}") {
        let normal = normalize_answer(&text);
        prop_assert_eq!(normalize_answer(&normal), normal.clone());
        prop_assert!(AnswerScore::v2(&text, &[&normal]).exact);
        prop_assert!(AnswerScore::v1(&text, &[&normal]).unwrap().exact);
    }

    #[test]
    fn f1_is_the_same_both_ways(one in "[ab]( [ab]){0,6}", other in "[ab]( [ab]){0,6}") {
        let (there, back) = (AnswerScore::v2(&one, &[&other]), AnswerScore::v2(&other, &[&one]));
        prop_assert!((there.f1 - back.f1).abs() < 1e-12 && (0.0..=1.0).contains(&there.f1));
    }

    #[test]
    fn correlations_do_not_mind_scale(values in prop::collection::vec((-9.0..9.0, -9.0..9.0), 3..9)) {
        let (x, y): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let other: Vec<f64> = y.iter().map(|value| 3.0 - 2.0 * value).collect();
        prop_assert!((pearson(&x, &y).unwrap() + pearson(&x, &other).unwrap()).abs() < 1e-9);
        let other: Vec<f64> = y.iter().map(|value: &f64| value.powi(3)).collect();
        prop_assert!((spearman(&x, &y).unwrap() - spearman(&x, &other).unwrap()).abs() < 1e-9);
    }

    #[test]
    fn it_does_not_matter_which_model_is_the_first(halves in prop::collection::vec(-4_i32..5, 0..70)) {
        let differences: Vec<f64> = halves.iter().map(|&half| f64::from(half) / 2.0).collect();
        let other: Vec<f64> = differences.iter().map(|difference| -difference).collect();
        match (wilcoxon_signed_rank(&differences), wilcoxon_signed_rank(&other)) {
            (Some(one), Some(other)) => {
                prop_assert!((one - other).abs() < 1e-9 && (0.0..=1.0).contains(&one));
            }
            both => prop_assert_eq!(both, (None, None)),
        }
    }

    #[test]
    fn a_threshold_does_not_mind_the_order(
        drawn in prop::collection::vec((0_u8..5, any::<bool>()), 0..12),
        turn in 0_usize..12,
    ) {
        let rows = |drawn: &[(u8, bool)]| -> (Vec<[f64; 1]>, Vec<[bool; 1]>) {
            drawn.iter().map(|&(fifth, truth)| ([f64::from(fifth) / 5.0], [truth])).unzip()
        };
        let mut turned = drawn.clone();
        turned.rotate_left(turn.min(drawn.len()));
        let ((one, truth), (other, other_truth)) = (rows(&drawn), rows(&turned));
        prop_assert_eq!(micro_threshold(&one, &truth), micro_threshold(&other, &other_truth));
    }

    #[test]
    fn an_interval_lies_within_the_scores(scores in prop::collection::vec(0.0..1.0, 1..12), seed: u64) {
        let mean = |places: &[usize]| places.iter().map(|&place| scores[place]).sum::<f64>() / places.len() as f64;
        let [low, high] = bootstrap_interval(scores.len(), seed, mean).unwrap();
        let (least, most) = scores.iter().fold((1.0_f64, 0.0_f64), |(least, most), &score| {
            (least.min(score), most.max(score))
        });
        prop_assert!(least - 1e-12 <= low && low <= high && high <= most + 1e-12);
        prop_assert_eq!(bootstrap_interval(scores.len(), seed, mean), Some([low, high]));
    }
}
