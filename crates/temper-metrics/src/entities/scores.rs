//! Precision, recall and F1 of entities.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Entity;
use crate::counts::{Counts, PrecisionRecall, macro_average, micro_average, weighted_average};

/// Scores of entities, added up sentence by sentence. A predicted entity is right if one with the same kind and the
/// same tokens is true.
///
/// They equal `seqeval.metrics.classification_report(..., output_dict=True, zero_division=0)` of seqeval 1.2.2, with
/// `lenient_entities` in its default mode and with `strict_entities` in `mode="strict"`. One thing differs: where there
/// is no entity at all, true or predicted, the macro average is 0; seqeval has NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityScores {
    kinds: BTreeMap<String, Counts>,
}

/// All scores, to be written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntityReport {
    /// [`EntityScores::micro_average`]
    pub micro: PrecisionRecall,
    /// [`EntityScores::macro_average`]
    pub r#macro: PrecisionRecall,
    /// [`EntityScores::weighted_average`]
    pub weighted: PrecisionRecall,
    /// Scores of each kind that is true or predicted somewhere.
    pub kinds: BTreeMap<String, PrecisionRecall>,
}

impl EntityScores {
    /// Adds a sentence.
    pub fn add(&mut self, truth: &[Entity], predicted: &[Entity]) {
        let truth: BTreeSet<&Entity> = truth.iter().collect();
        let predicted: BTreeSet<&Entity> = predicted.iter().collect();
        for entity in truth.union(&predicted) {
            let (truth, predicted) = (truth.contains(entity), predicted.contains(entity));
            let counts = Counts {
                correct: usize::from(truth && predicted),
                predicted: usize::from(predicted),
                support: usize::from(truth),
            };
            if let Some(kind) = self.kinds.get_mut(&entity.kind) {
                *kind += counts;
            } else {
                self.kinds.insert(entity.kind.clone(), counts);
            }
        }
    }

    /// Scores of each kind that is true or predicted somewhere.
    pub fn by_kind(&self) -> BTreeMap<String, PrecisionRecall> {
        self.kinds.iter().map(|(kind, counts)| (kind.clone(), counts.scores())).collect()
    }

    /// Scores of all entities together: what CoNLL-2003 counts.
    pub fn micro_average(&self) -> PrecisionRecall {
        micro_average(self.kinds.values().copied())
    }

    /// Mean of the kinds' scores.
    pub fn macro_average(&self) -> PrecisionRecall {
        macro_average(self.kinds.values().copied())
    }

    /// Mean of the kinds' scores, weighted by support.
    pub fn weighted_average(&self) -> PrecisionRecall {
        weighted_average(self.kinds.values().copied())
    }

    /// All scores.
    pub fn report(&self) -> EntityReport {
        EntityReport {
            micro: self.micro_average(),
            r#macro: self.macro_average(),
            weighted: self.weighted_average(),
            kinds: self.by_kind(),
        }
    }
}
