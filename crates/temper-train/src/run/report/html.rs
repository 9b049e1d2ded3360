//! What pages are made of: sections, tables, numbers in words.

use crate::charts::escape;
pub(super) use crate::charts::grouped as count;

/// A section with a heading that can be linked to; nothing where there is no content.
pub(super) fn section(id: &str, title: &str, content: &str) -> String {
    match content {
        "" => String::new(),
        _ => format!("<section id=\"{id}\"><h2>{}</h2>{content}</section>\n", escape(title)),
    }
}

/// A table that scrolls by itself where it is wider than the page. Cells are markup; the first of a row is its heading.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header = match header {
        [] => String::new(),
        _ => {
            let cells: String =
                header.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell))).collect();
            format!("<thead><tr>{cells}</tr></thead>")
        }
    };
    let row = |cells: &Vec<String>| {
        let [first, rest @ ..] = &cells[..] else { return String::new() };
        let rest: String = rest.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!("<tr><th scope=\"row\">{first}</th>{rest}</tr>")
    };
    let body: String = rows.iter().map(row).collect();
    format!("<div class=\"scroll\"><table>{header}<tbody>{body}</tbody></table></div>")
}

/// What is shown on demand.
pub(super) fn details(summary: &str, content: &str) -> String {
    format!("<details><summary>{}</summary>{content}</details>", escape(summary))
}

/// A paragraph of plain text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>", escape(text))
}

/// A score with four digits behind the point, fewer of a large one.
pub(super) fn score(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "not finite".into(),
        size if size < 10.0 => format!("{value:.4}"),
        size if size < 1000.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// A count in about three digits and a unit: 532, 1.77 K, 22.7 M. Units stay on the line of their number.
pub(super) fn rough_count(value: usize) -> String {
    let units = [(1e9, "B"), (1e6, "M"), (1e3, "K")];
    match units.into_iter().find(|(size, _)| value as f64 >= size * 0.9995) {
        Some((size, unit)) => format!("{}\u{a0}{unit}", three_digits(value as f64 / size)),
        None => value.to_string(),
    }
}

fn three_digits(value: f64) -> String {
    match value {
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A share in percent. Only the whole is 100 %, only nothing is 0 %.
pub(super) fn percent(part: usize, whole: usize) -> String {
    let share = 100.0 * part as f64 / whole.max(1) as f64;
    match share {
        _ if part == 0 => "0\u{a0}%".into(),
        _ if part == whole => "100\u{a0}%".into(),
        _ if share > 99.9 => ">99.9\u{a0}%".into(),
        _ if share < 0.01 => "<0.01\u{a0}%".into(),
        _ if share < 10.0 => format!("{share:.2}\u{a0}%"),
        _ => format!("{share:.1}\u{a0}%"),
    }
}

/// A duration in its two largest units.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if seconds < 10.0 => format!("{seconds:.1}\u{a0}s"),
        0..60 => format!("{whole}\u{a0}s"),
        60..3600 => format!("{}\u{a0}min {}\u{a0}s", whole / 60, whole % 60),
        _ => format!("{}\u{a0}h {}\u{a0}min", whole / 3600, whole % 3600 / 60),
    }
}

/// A size in memory.
pub(super) fn bytes(size: u64) -> String {
    match size as f64 {
        size if size >= 1024f64.powi(3) * 0.9995 => {
            format!("{}\u{a0}GiB", three_digits(size / 1024f64.powi(3)))
        }
        size if size >= 1024f64.powi(2) * 0.9995 => format!("{:.0}\u{a0}MiB", size / 1024f64.powi(2)),
        size => format!("{:.0}\u{a0}KiB", size / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let spaced = |text: String| text.replace('\u{a0}', " ");
        assert_eq!(
            [532, 1_770, 22_713_216].map(|value| spaced(rough_count(value))),
            ["532", "1.77 K", "22.7 M"]
        );
        assert_eq!([percent(0, 5), percent(5, 5), percent(1, 3)].map(spaced), ["0 %", "100 %", "33.3 %"]);
        assert_eq!(spaced(percent(999_999, 1_000_000)), ">99.9 %");
        assert_eq!(
            [3.25, 59.0, 61.0, 7260.0].map(|value| spaced(duration(value))),
            ["3.2 s", "59 s", "1 min 1 s", "2 h 1 min"]
        );
        assert_eq!(
            [512 << 20, 3 << 30, 2048].map(|value| spaced(bytes(value))),
            ["512 MiB", "3.00 GiB", "2 KiB"]
        );
        assert_eq!([score(0.5), score(123.456), score(f64::NAN)], ["0.5000", "123.46", "not finite"]);
    }

    #[test]
    fn an_empty_section_is_left_out() {
        assert_eq!(section("a", "A", ""), "");
        assert!(section("a", "A & B", "<p>x</p>").contains("<h2>A &amp; B</h2><p>x</p>"));
    }
}
