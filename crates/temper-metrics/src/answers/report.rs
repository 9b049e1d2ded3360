//! Scores of all questions.

use serde::Serialize;

use super::AnswerScore;

/// Means over questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SquadScores {
    /// Exact answers, in percent.
    pub exact: f64,
    /// Mean F1, in percent.
    pub f1: f64,
    /// Questions.
    pub total: usize,
}

impl SquadScores {
    /// The means of questions' scores; none of no questions. Of [`AnswerScore::v1`] it is what evaluate-v1.1.py prints;
    /// a question without an answer has the default score there.
    pub fn of(scores: impl IntoIterator<Item = AnswerScore>) -> Option<Self> {
        let (mut exact, mut f1, mut total) = (0, 0.0, 0);
        for score in scores {
            exact += usize::from(score.exact);
            f1 += score.f1;
            total += 1;
        }
        let mean = |sum: f64| 100.0 * sum / total as f64;
        (total > 0).then(|| Self { exact: mean(exact as f64), f1: mean(f1), total })
    }
}

/// A question of SQuAD 2.0 and how it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScoredQuestion {
    /// Whether there is a true answer.
    pub has_answer: bool,
    /// Whether the model gave an answer that is not empty.
    pub answered: bool,
    /// The model's probability, or any other measure, of there being no answer. Where a model gives none, 0.
    pub no_answer: f64,
    /// The answer's score, whatever `no_answer` is.
    pub score: AnswerScore,
}

/// The threshold on `no_answer` with the highest score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestThreshold {
    /// The score, in percent.
    pub score: f64,
    /// Questions with a higher `no_answer` have no answer.
    pub threshold: f64,
}

/// What evaluate-v2.0.py prints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SquadReport {
    /// Scores of all questions.
    pub all: SquadScores,
    /// Scores of questions that have an answer (`HasAns`); none if there are no such questions.
    pub has_answer: Option<SquadScores>,
    /// Scores of questions that have none (`NoAns`); none if there are no such questions.
    pub no_answer: Option<SquadScores>,
    /// By exact answers (`best_exact`, `best_exact_thresh`).
    pub best_exact: BestThreshold,
    /// By F1 (`best_f1`, `best_f1_thresh`).
    pub best_f1: BestThreshold,
}

impl ScoredQuestion {
    /// Scores an answer, which is empty where the model says that there is none.
    pub fn new(answer: &str, truth: &[impl AsRef<str>], no_answer: f64) -> Self {
        Self {
            // Before true answers that are empty in normal form are left out, as in the script.
            has_answer: !truth.is_empty(),
            answered: !answer.is_empty(),
            no_answer,
            score: AnswerScore::v2(answer, truth),
        }
    }

    /// Its score where an answer is dropped if `no_answer` is above a threshold.
    pub fn under(&self, threshold: f64) -> AnswerScore {
        if self.no_answer > threshold { AnswerScore::of_no_answer(!self.has_answer) } else { self.score }
    }
}

impl SquadReport {
    /// Scores where answers are dropped if `no_answer` is above a threshold, which is 1 by default in evaluate-v2.0.py.
    /// None of no questions.
    ///
    /// The best thresholds are those of the script, from the scores without a threshold: it goes through the questions
    /// from the lowest `no_answer` on, equal ones in the order that they are given in, and notes the first highest
    /// score. So the best score may be one between questions of equal `no_answer`, which no threshold reaches.
    pub fn of(questions: &[ScoredQuestion], threshold: f64) -> Option<Self> {
        let scores = |wanted: Option<bool>| {
            let questions = questions.iter();
            let questions =
                questions.filter(|question| wanted.is_none_or(|wanted| question.has_answer == wanted));
            SquadScores::of(questions.map(|question| question.under(threshold)))
        };
        Some(Self {
            all: scores(None)?,
            has_answer: scores(Some(true)),
            no_answer: scores(Some(false)),
            best_exact: best_threshold(questions, |score| f64::from(u8::from(score.exact))),
            best_f1: best_threshold(questions, |score| score.f1),
        })
    }
}

/// `find_best_thresh`.
fn best_threshold(questions: &[ScoredQuestion], value: impl Fn(AnswerScore) -> f64) -> BestThreshold {
    let mut order: Vec<&ScoredQuestion> = questions.iter().collect();
    // The sum is 0.0 of -0.0, too, which are equal but have an order.
    order.sort_by(|one, other| (one.no_answer + 0.0).total_cmp(&(other.no_answer + 0.0)));
    // At first no question is answered.
    let mut score = questions.iter().filter(|question| !question.has_answer).count() as f64;
    let (mut best, mut threshold) = (score, 0.0);
    for question in order {
        score += match (question.has_answer, question.answered) {
            (true, _) => value(question.score),
            (false, true) => -1.0,
            (false, false) => 0.0,
        };
        if score > best {
            (best, threshold) = (score, question.no_answer);
        }
    }
    BestThreshold { score: 100.0 * best / questions.len() as f64, threshold }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_questions_have_no_scores() {
        assert_eq!(SquadReport::of(&[], 1.0), None);
        assert_eq!(SquadScores::of([]), None);
    }

    #[test]
    fn an_answer_above_the_threshold_is_dropped() {
        let question = ScoredQuestion::new("Paris", &["Paris"], 0.7);
        assert!(question.under(0.7).exact && !question.under(0.6).exact);
        let question = ScoredQuestion::new("Paris", &[] as &[&str], 0.7);
        assert!(!question.under(0.7).exact && question.under(0.6).exact);
    }

    #[test]
    fn the_best_threshold_lies_between_right_and_wrong_answers() {
        let questions = [
            ScoredQuestion::new("Paris", &["Paris"], 0.2),
            ScoredQuestion::new("Rome", &[] as &[&str], 0.9),
            ScoredQuestion::new("the Seine", &["Seine"], 0.4),
        ];
        let report = SquadReport::of(&questions, 1.0).unwrap();
        assert_eq!(report.best_exact, BestThreshold { score: 100.0, threshold: 0.4 });
        assert!((report.all.exact - 200.0 / 3.0).abs() < 1e-12);
        assert_eq!(SquadReport::of(&questions, 0.4).unwrap().all.exact, 100.0);
    }
}
