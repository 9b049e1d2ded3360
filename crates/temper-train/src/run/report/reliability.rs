//! The reliability diagram: how often a classifier is right, by how sure it is.

use super::html::{paragraph, score};
use crate::charts::{Anchor, Canvas, GRID, Label, Line, MUTED, SERIES};
use temper_metrics::Calibration;

const WIDTH: f64 = 460.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
/// Side of the diagram; below it is the number of examples in each bin.
const SQUARE: f64 = 250.0;
const COUNTS: f64 = 54.0;
const GAP: f64 = 18.0;

/// The diagram (Guo et al. 2017) with the expected calibration error in words.
pub(super) fn reliability(calibration: &Calibration) -> String {
    let Calibration { ece, confidence, accuracy, bins } = calibration;
    let gap = confidence - accuracy;
    let direction = if gap > 0.0 { "overconfident" } else { "underconfident" };
    let said = format!(
        "Expected calibration error (ECE) {} over {} bins. The predicted labels have a mean probability of {}, and {} of them are right: the model is {direction} by {}. Bins with few examples vary by chance.",
        score(*ece),
        bins.len(),
        score(*confidence),
        score(*accuracy),
        score(gap.abs())
    );
    format!("{}<figure class=\"reliability\">{}</figure>", paragraph(&said), diagram(calibration))
}

fn diagram(calibration: &Calibration) -> String {
    let bins = &calibration.bins;
    let foot = TOP + SQUARE;
    let inner = WIDTH - LEFT - RIGHT;
    let x = |share: f64| LEFT + share * inner;
    let y = |share: f64| foot - share * SQUARE;
    let mut canvas = Canvas::new(WIDTH, foot + GAP + COUNTS + 46.0);
    canvas.text(Label::new(6.0, 18.0, "Reliability").bold().sized(13.0));
    canvas.text(Label::small(WIDTH - RIGHT, 18.0, "frame: mean confidence").anchored(Anchor::End));
    for tick in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
        let text = format!("{:.0} %", 100.0 * tick);
        canvas.line((LEFT, y(tick)), (WIDTH - RIGHT, y(tick)), Line::new(GRID, 1.0));
        canvas.text(Label::small(LEFT - 6.0, y(tick) + 4.0, &text).anchored(Anchor::End));
        let at = x(tick).min(WIDTH - 18.0);
        canvas.text(Label::small(at, foot + GAP + COUNTS + 16.0, &text).anchored(Anchor::Middle));
    }
    let most = bins.iter().map(|bin| bin.examples).max().unwrap_or(1).max(1) as f64;
    let width = inner / bins.len() as f64;
    for (number, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.examples > 0) {
        let left = x(number as f64 / bins.len() as f64) + 1.0;
        let tooltip = format!(
            "{} examples, mean confidence {:.1} %, {:.1} % right",
            bin.examples,
            100.0 * bin.confidence,
            100.0 * bin.accuracy
        );
        canvas.bar((left, y(bin.accuracy)), (width - 2.0, SQUARE * bin.accuracy), SERIES[0], &tooltip);
        let line = Line::new(SERIES[1], 1.5);
        canvas.frame((left, y(bin.confidence)), (width - 2.0, SQUARE * bin.confidence), line);
        let height = COUNTS * bin.examples as f64 / most;
        canvas.bar((left, foot + GAP + COUNTS - height), (width - 2.0, height), MUTED, &tooltip);
    }
    let diagonal = Line { dashes: "5 4", ..Line::new(MUTED, 1.5) };
    canvas.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), diagonal);
    canvas.line((LEFT, foot), (WIDTH - RIGHT, foot), Line::new(MUTED, 1.0));
    canvas.line((LEFT, foot + GAP + COUNTS), (WIDTH - RIGHT, foot + GAP + COUNTS), Line::new(MUTED, 1.0));
    canvas.upright(Label::small(14.0, TOP + SQUARE / 2.0, "share that is right"));
    canvas.text(Label::small(LEFT - 6.0, foot + GAP + 10.0, &format!("{most}")).anchored(Anchor::End));
    canvas.text(Label::small(LEFT - 6.0, foot + GAP + COUNTS, "0").anchored(Anchor::End));
    canvas.upright(Label::small(14.0, foot + GAP + COUNTS / 2.0, "examples"));
    let middle = LEFT + inner / 2.0;
    canvas.text(
        Label::small(middle, foot + GAP + COUNTS + 34.0, "probability of the predicted label")
            .anchored(Anchor::Middle),
    );
    let title =
        format!("Reliability diagram with an expected calibration error of {}", score(calibration.ece));
    canvas.element(&title, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    #[test]
    fn bins_with_examples_are_drawn() {
        let calibration = Calibration::of(&[(0.9, true), (0.95, false), (0.55, true)], 10).unwrap();
        let page = reliability(&calibration);
        assert_inside(&page);
        assert_eq!(
            page.matches("examples, mean confidence").count(),
            6,
            "two bars for each of three bins: {page}"
        );
        assert!(page.contains("1 examples, mean confidence 55.0 %, 100.0 % right"), "{page}");
        assert!(page.contains("ECE) 0.5000 over 10 bins"), "{page}");
    }
}
