//! Between which values a metric lies.

/// The least and the greatest value of a metric, by the name that it has in results; infinite where there is none.
pub fn range(metric: &str) -> [f64; 2] {
    let ends = |names: &[&str]| names.iter().any(|name| metric.ends_with(name));
    if ends(&["bleu", "chrf"]) {
        [0.0, 100.0]
    } else if ends(&["mcc", "pearson", "spearman"]) {
        [-1.0, 1.0]
    } else if ends(&["accuracy", "f1", "precision", "recall", "exact", "rouge1", "rouge2", "rouge_l"])
        || metric == "hamming_loss"
    {
        [0.0, 1.0]
    } else if ends(&["loss", "rmse", "mae", "bits_per_byte"]) {
        [0.0, f64::INFINITY]
    } else if ends(&["perplexity"]) {
        [1.0, f64::INFINITY]
    } else {
        [f64::NEG_INFINITY, f64::INFINITY]
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn each_metric_has_its_range() {
        assert_eq!(range("accuracy"), [0.0, 1.0]);
        assert_eq!(range("macro_f1"), [0.0, 1.0]);
        assert_eq!(range("mcc"), [-1.0, 1.0]);
        assert_eq!(range("hamming_loss"), [0.0, 1.0]);
        assert_eq!(range("loss"), [0.0, f64::INFINITY]);
        assert_eq!(range("perplexity"), [1.0, f64::INFINITY]);
        assert_eq!(range("bleu"), [0.0, 100.0]);
        assert_eq!(range("something"), [f64::NEG_INFINITY, f64::INFINITY]);
    }
}
