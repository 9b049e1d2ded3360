//! Metrics and statistics of fine-tuned models, on the host: no tensors, no other crate of Temper.
//!
//! Each equals what the package computes that its field compares by; the item's documentation names it with its
//! version, and the tests compare with values of it (`xtask/reference/metrics_fixture.py`).
//!
//! - [`ConfusionMatrix`]: one label an example, as scikit-learn
//! - [`Calibration`]: whether probabilities agree with how often a classifier is right, as Guo et al. 2017
//! - [`multilabel`]: any number of labels an example, as scikit-learn; thresholds
//! - [`entities`]: tag schemes and entities in them, as seqeval
//! - [`answers`]: answers to questions, as the scripts of SQuAD 1.1 and 2.0
//! - [`texts`]: texts that were written, by ROUGE as rouge_score, by BLEU and chrF as sacrebleu
//! - [`RegressionScores`]: numbers, as scikit-learn and scipy
//! - [`mean_interval`], [`share_interval`], [`bootstrap_interval`]: how certain a score is
//! - [`range`], [`lower_is_better`]: what is known of a metric by its name
//! - [`paired_t_test`], [`sign_test`], [`wilcoxon_signed_rank`]: whether one model is better than another
//!
//! ```
//! use temper_metrics::entities::{EntityScores, TagScheme, check_tags, lenient_entities};
//!
//! let truth = ["B-PER", "I-PER", "O", "B-LOC"];
//! let predicted = ["B-PER", "I-PER", "O", "O"];
//! check_tags(&truth, TagScheme::Iob2)?;
//! let mut scores = EntityScores::default();
//! scores.add(&lenient_entities(&truth), &lenient_entities(&predicted));
//! assert_eq!(scores.micro_average().precision, 1.0);
//! assert_eq!(scores.by_kind()["LOC"].recall, 0.0);
//! # Ok::<(), temper_metrics::entities::InvalidTag>(())
//! ```

pub mod answers;
mod calibration;
mod confusion;
mod counts;
pub mod entities;
mod error;
mod intervals;
mod known;
pub mod multilabel;
mod ranks;
mod regression;
mod statistics;
pub mod texts;
mod wilcoxon;

pub use calibration::{CALIBRATION_BINS, Calibration, CalibrationBin};
pub use confusion::{ConfusionMatrix, DENSE_LABELS};
pub use counts::{Counts, PrecisionRecall};
pub use error::MetricError;
pub use intervals::{RESAMPLES, bootstrap_interval, mean_interval, share_interval};
pub use known::{lower_is_better, range};
pub use regression::{RegressionScores, pearson, spearman};
pub use statistics::{Sample, paired_t_test, sign_test};
pub use wilcoxon::wilcoxon_signed_rank;
