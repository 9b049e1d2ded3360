//! From values to places, and the ticks between.

/// A linear or logarithmic map of values onto a line of a figure.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    values: (f64, f64),
    places: (f64, f64),
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Scale {
    /// Spans values, widened to ticks at round numbers, `wanted` of them or so.
    pub(crate) fn rounded(low: f64, high: f64, wanted: usize, places: (f64, f64)) -> Self {
        // Values that hardly differ are drawn as a flat line in the middle, not as a jagged one of rounding errors.
        let size = low.abs().max(high.abs());
        let pad = if high - low > 1e-4 * size { 0.0 } else { 0.05 * size };
        let (low, high) = if size > 0.0 { (low - pad, high + pad) } else { (0.0, 1.0) };
        let step = step(low, high, wanted);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let last = last.max(first + 1.0);
        let ticks = (0..=(last - first) as usize).map(|number| (first + number as f64) * step).collect();
        Self { values: (first * step, last * step), places, logarithmic: false, ticks }
    }

    /// Spans exactly these values, with ticks at round numbers within.
    pub(crate) fn exact(low: f64, high: f64, wanted: usize, places: (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = step(low, high, wanted);
        let first = (low / step - 1e-9).ceil();
        let count = ((high / step + 1e-9).floor() - first).max(0.0) as usize;
        let ticks = (0..=count).map(|number| (first + number as f64) * step).collect();
        Self { values: (low, high), places, logarithmic: false, ticks }
    }

    /// Spans positive values by their logarithm, with ticks at powers of ten.
    pub(crate) fn logarithmic(low: f64, high: f64, places: (f64, f64)) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let last = last.max(first + 1);
        let ticks = (first..=last).map(|power| 10f64.powi(power)).collect();
        let values = (10f64.powi(first), 10f64.powi(last));
        Self { values, places, logarithmic: true, ticks }
    }

    /// Where a value is.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let ((low, high), (from, to)) = (self.values, self.places);
        let share = match self.logarithmic {
            true => (value / low).ln() / (high / low).ln(),
            false => (value - low) / (high - low),
        };
        from + share * (to - from)
    }

    /// The ticks with their places and texts.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let step = match self.ticks[..] {
            [first, second, ..] => second - first,
            _ => self.values.1 - self.values.0,
        };
        let text = |tick: f64| if self.logarithmic { number_text(tick) } else { tick_text(tick, step) };
        self.ticks.iter().map(|&tick| (self.place(tick), text(tick))).collect()
    }
}

/// A round step: 1, 2 or 5 times a power of ten.
fn step(low: f64, high: f64, wanted: usize) -> f64 {
    let span = (high - low).max(high.abs().max(low.abs()) * 1e-9).max(f64::MIN_POSITIVE * 1e9);
    let rough = span / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A tick with as many digits as its step needs.
fn tick_text(value: f64, step: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".into();
    }
    if value.abs() >= 1e6 || step < 1e-4 {
        let power = |value: f64| (value.abs() * 1.001).log10().floor();
        return scientific(value, (power(value) - power(step)).max(0.0) as usize);
    }
    let decimals = (-(step * 1.001).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$e}");
    match text.split_once('e') {
        Some((number, power)) if number.contains('.') => format!("{}e{power}", trimmed(number.to_owned())),
        _ => text,
    }
}

/// A value in about four digits: 0.6931, 12.35, 1535, 2.0e-5.
pub(crate) fn number_text(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "not finite".into(),
        0.0 => "0".into(),
        _ if !(1e-3..1e6).contains(&size) => scientific(value, 2),
        _ if size < 1.0 => trimmed(format!("{value:.4}")),
        _ if size < 10.0 => trimmed(format!("{value:.3}")),
        _ if size < 1000.0 => trimmed(format!("{value:.1}")),
        _ => format!("{value:.0}"),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_span_the_values() {
        let scale = Scale::rounded(0.313, 0.694, 4, (100.0, 0.0));
        assert_eq!(texts(&scale), ["0.3", "0.4", "0.5", "0.6", "0.7"]);
        assert!((scale.place(0.3) - 100.0).abs() < 1e-9 && scale.place(0.7).abs() < 1e-9);
        assert_eq!(texts(&Scale::exact(0.0, 57.0, 4, (0.0, 1.0))), ["0", "20", "40"]);
        assert_eq!(texts(&Scale::rounded(0.0, 2e-5, 4, (0.0, 1.0)))[1], "5e-6");
        let small = Scale::rounded(0.0, 2e-4, 4, (0.0, 1.0));
        assert_eq!(texts(&small), ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]);
        assert_eq!(texts(&Scale::logarithmic(0.004, 0.3, (0.0, 1.0))), ["0.001", "0.01", "0.1", "1"]);
    }

    #[test]
    fn equal_values_have_a_scale() {
        for value in [0.0, 0.5, -3.0, 1e9] {
            let scale = Scale::rounded(value, value, 4, (0.0, 1.0));
            assert!((0.0..=1.0).contains(&scale.place(value)) && scale.ticks().len() >= 2, "{value}");
        }
        assert!(Scale::exact(1.0, 1.0, 4, (0.0, 1.0)).place(1.0).is_finite());
    }

    #[test]
    fn numbers_have_about_four_digits() {
        for (value, text) in [
            (0.592847, "0.5928"),
            (12.345, "12.3"),
            (1535.4, "1535"),
            (2e-5, "2e-5"),
            (0.0, "0"),
            (0.5, "0.5"),
        ] {
            assert_eq!(number_text(value), text);
        }
        assert_eq!(number_text(2.346e-5), "2.35e-5");
        assert_eq!(number_text(f64::NAN), "not finite");
    }
}
