//! Tables, for a terminal and as Markdown.

use temper_metrics::Sample;

/// The cell of a missing value.
pub(super) const DASH: &str = "-";

/// Rows of text under a header; the first column is aligned left, the others right.
pub(in crate::commands) struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(in crate::commands) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&name| name.to_owned()).collect()] }
    }

    pub(in crate::commands) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Aligned columns, for a terminal.
    pub(in crate::commands) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            });
            cells.collect::<String>().trim_end().to_owned() + "\n"
        };
        self.rows.iter().map(line).collect()
    }

    /// A table of Markdown.
    pub(in crate::commands) fn markdown(&self) -> String {
        // A pattern may contain the character that ends a cell.
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = format!("|---|{}\n", "---:|".repeat(self.rows[0].len() - 1));
        let body: String = self.rows[1..].iter().map(line).collect();
        line(&self.rows[0]) + &rule + &body
    }
}

/// A mean with half the width of its interval; with both ends if a limit of the metric cuts the interval.
pub(in crate::commands) fn mean(sample: &Sample) -> String {
    match sample.interval {
        Some([low, high]) if ((low + high) / 2.0 - sample.mean).abs() > 1e-9 => {
            format!("{:.4} ({low:.4} to {high:.4})", sample.mean)
        }
        Some([low, high]) => format!("{:.4} ± {:.4}", sample.mean, (high - low) / 2.0),
        None => format!("{:.4}", sample.mean),
    }
}

/// A value as text, or a dash.
pub(in crate::commands) fn or_dash<V>(value: Option<V>, words: impl Fn(V) -> String) -> String {
    value.map_or_else(|| DASH.into(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_is_cut_shows_its_ends() {
        let sample = Sample::of(vec![0.8, 0.9]).unwrap();
        assert_eq!(mean(&sample), "0.8500 ± 0.6353");
        assert_eq!(mean(&sample.within([0.0, 1.0])), "0.8500 (0.2147 to 1.0000)");
    }

    #[test]
    fn columns_are_in_line_and_cells_stay_cells() {
        let mut table = TextTable::new(&["strategy", "score"]);
        table.push(vec!["pattern:a|b".into(), "0.5 ± 0.1".into()]);
        table.push(vec!["all".into(), "1".into()]);
        assert_eq!(table.text(), "strategy         score\npattern:a|b  0.5 ± 0.1\nall                  1\n");
        assert_eq!(
            table.markdown(),
            "| strategy | score |\n|---|---:|\n| pattern:a\\|b | 0.5 ± 0.1 |\n| all | 1 |\n"
        );
    }
}
