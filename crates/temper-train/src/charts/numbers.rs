//! Numbers as charts and pages write them.

/// A count with a thin space before every third digit.
pub(crate) fn grouped(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (number, digit) in digits.chars().enumerate() {
        if number > 0 && (digits.len() - number).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A relative change in percent with two digits that count.
pub(crate) fn change_text(change: f64) -> String {
    let share = 100.0 * change;
    match share {
        _ if share >= 10.0 => format!("{share:.0} %"),
        _ if share >= 1.0 => format!("{share:.1} %"),
        _ if share >= 0.1 => format!("{share:.2} %"),
        _ if share >= 0.01 => format!("{share:.3} %"),
        _ => format!("{share:.0e} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_in_groups_of_three() {
        assert_eq!(grouped(1234567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(123), "123");
    }

    #[test]
    fn changes_have_two_digits() {
        let changes = [1.5, 0.0213, 0.004, 0.000123];
        assert_eq!(changes.map(change_text), ["150 %", "2.1 %", "0.40 %", "0.012 %"]);
    }
}
