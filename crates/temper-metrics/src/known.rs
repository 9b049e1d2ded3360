//! What is known of each metric by its name: which values it can have, and which of them are better.

/// A metric of results.
struct Metric {
    /// Its name. In results, other words may come before it: `macro_f1` is an `f1`.
    name: &'static str,
    /// Its least and its greatest value; infinite where there is none.
    range: [f64; 2],
    higher_is_better: bool,
}

const SHARE: [f64; 2] = [0.0, 1.0];
const PERCENT: [f64; 2] = [0.0, 100.0];
const CORRELATION: [f64; 2] = [-1.0, 1.0];
const ERROR: [f64; 2] = [0.0, f64::INFINITY];

const fn higher(name: &'static str, range: [f64; 2]) -> Metric {
    Metric { name, range, higher_is_better: true }
}

const fn lower(name: &'static str, range: [f64; 2]) -> Metric {
    Metric { name, range, higher_is_better: false }
}

/// All metrics. The first whose name fits counts, so `hamming_loss` comes before `loss`.
const METRICS: [Metric; 19] = [
    higher("accuracy", SHARE),
    higher("f1", SHARE),
    higher("precision", SHARE),
    higher("recall", SHARE),
    higher("exact", SHARE),
    higher("rouge1", SHARE),
    higher("rouge2", SHARE),
    higher("rouge_l", SHARE),
    higher("bleu", PERCENT),
    higher("chrf", PERCENT),
    higher("mcc", CORRELATION),
    higher("pearson", CORRELATION),
    higher("spearman", CORRELATION),
    lower("hamming_loss", SHARE),
    lower("loss", ERROR),
    lower("rmse", ERROR),
    lower("mae", ERROR),
    lower("bits_per_byte", ERROR),
    lower("perplexity", [1.0, f64::INFINITY]),
];

fn known(name: &str) -> Option<&'static Metric> {
    let fits = |metric: &&Metric| {
        name.strip_suffix(metric.name).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    };
    METRICS.iter().find(fits)
}

/// The least and the greatest value of a metric, by the name that it has in results. Infinite where there is none, and
/// for unknown metrics.
pub fn range(name: &str) -> [f64; 2] {
    known(name).map_or([f64::NEG_INFINITY, f64::INFINITY], |metric| metric.range)
}

/// Whether a lower value of a metric is better, by the name that it has in results; false for unknown metrics.
pub fn lower_is_better(name: &str) -> bool {
    known(name).is_some_and(|metric| !metric.higher_is_better)
}

#[cfg(test)]
mod tests {
    use super::{lower_is_better, range};

    #[test]
    fn each_metric_has_its_range() {
        assert_eq!(range("accuracy"), [0.0, 1.0]);
        assert_eq!(range("macro_f1"), [0.0, 1.0]);
        assert_eq!(range("mcc"), [-1.0, 1.0]);
        assert_eq!(range("hamming_loss"), [0.0, 1.0]);
        assert_eq!(range("loss"), [0.0, f64::INFINITY]);
        assert_eq!(range("perplexity"), [1.0, f64::INFINITY]);
        assert_eq!(range("bleu"), [0.0, 100.0]);
        for unknown in ["something", "best_f1_threshold", "gloss"] {
            assert_eq!(range(unknown), [f64::NEG_INFINITY, f64::INFINITY]);
        }
    }

    #[test]
    fn errors_are_better_where_they_are_lower() {
        let lower =
            ["loss", "next_sentence_loss", "hamming_loss", "rmse", "mae", "byte_perplexity", "bits_per_byte"];
        assert!(lower.into_iter().all(lower_is_better));
        assert!(!["accuracy", "subset_accuracy", "strict_f1", "something"].into_iter().any(lower_is_better));
    }
}
