//! The answers of a file that are not at their offsets: taken from elsewhere, or refused.

use std::path::Path;

use super::cells::WrittenAnswer;
use super::offsets::{Miss, common_unit, quoted};
use super::{Answer, AnswerError, Question};
use crate::DataError;
use crate::rows::{Doubt, DoubtKind};

/// Answers that a notice names.
const TOLD: usize = 3;

/// A question whose answers are not settled.
pub(super) struct UnsettledQuestion {
    pub question: Question,
    pub answers: Vec<WrittenAnswer>,
    /// Of each answer, its place, or what is wrong with it.
    pub places: Vec<Result<usize, Miss>>,
}

/// The questions of a file with their answers.
pub(super) struct Settled {
    pub rows: Vec<Question>,
    /// Answers that were taken from another place than their offset.
    pub moved: Vec<Doubt>,
    /// What the user should know of them.
    pub notice: Option<String>,
}

/// Takes answers from where they are, if that is one place.
pub(super) fn settle(file: &Path, found: Vec<UnsettledQuestion>) -> Result<Settled, DataError> {
    let misses = found.iter().flat_map(|row| &row.places).filter_map(|place| place.as_ref().err());
    let unit = common_unit(misses.clone());
    let count = misses.count();
    let hint = unit.filter(|_| count > 0).map(|unit| {
        format!("; the offsets of all such answers of this file ({count}) are right if they count {unit}")
    });
    let hint = hint.unwrap_or_default();
    let mut moved = Vec::new();
    let mut rows = Vec::with_capacity(found.len());
    for UnsettledQuestion { mut question, answers, places } in found {
        for (answer, place) in answers.into_iter().zip(places) {
            let start = match place {
                Ok(start) => start,
                Err(Miss { places: 1, first, .. }) => {
                    let reason = format!("from {} to {first}", answer.start);
                    moved.push(Doubt { row: question.row, kind: DoubtKind::MovedAnswer, reason });
                    first
                }
                Err(miss) => return Err(misplaced(file, question.row, &answer, miss, hint)),
            };
            question.answers.push(Answer { text: answer.text, start });
        }
        rows.push(question);
    }
    let notice = (!moved.is_empty()).then(|| {
        let told = moved.iter().take(TOLD).map(|doubt| format!("row {}: {}", doubt.row, doubt.reason));
        let (count, told) = (moved.len(), told.collect::<Vec<_>>().join(", "));
        let more = if count > TOLD { ", ..." } else { "" };
        format!(
            "{}: answers that are not at their offset, taken from the only place where their context has \
             them: {count} ({told}{more}){hint}",
            file.display(),
        )
    });
    Ok(Settled { rows, moved, notice })
}

fn misplaced(file: &Path, row: usize, answer: &WrittenAnswer, miss: Miss, hint: String) -> DataError {
    DataError::from(AnswerError::Misplaced {
        file: file.to_path_buf(),
        row,
        text: quoted(&answer.text),
        start: answer.start,
        found: miss.found,
        places: miss.places,
        hint,
    })
}
