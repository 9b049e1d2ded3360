//! Words weighted by their rarity, as scikit-learn 1.9's `TfidfVectorizer()` does by default:
//! lower case, words of two or more characters (`(?u)\b\w\w+\b`), smooth inverse document
//! frequencies, rows of length 1 in the Euclidean norm.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;

use super::SparseRows;

/// The words of a training set with their weights.
#[derive(Clone, Debug)]
pub struct TfIdf {
    /// A word's column.
    columns: HashMap<String, u32>,
    /// `ln((1 + texts) / (1 + texts with the word)) + 1`, by column.
    weights: Vec<f64>,
    words: Regex,
}

impl TfIdf {
    /// Learns the words of the training texts.
    pub fn fit(texts: &[String]) -> Self {
        // Python's \w is str.isalnum() and the underscore: letters and numbers, without the
        // combining marks that \w has here. A run is taken whole, so that no \b is needed.
        let words = Regex::new(r"[\p{L}\p{N}_]{2,}").expect("a literal pattern");
        let mut columns = HashMap::new();
        let mut texts_with: Vec<usize> = Vec::new();
        // The last text that had the word: a text counts once.
        let mut last_seen: Vec<usize> = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            for word in words.find_iter(&text.to_lowercase()) {
                let next = columns.len() as u32;
                let column = *columns.entry(word.as_str().to_owned()).or_insert(next) as usize;
                if column == texts_with.len() {
                    texts_with.push(1);
                    last_seen.push(number);
                } else if last_seen[column] != number {
                    texts_with[column] += 1;
                    last_seen[column] = number;
                }
            }
        }
        let all = texts.len() as f64;
        let weight = |&with: &usize| ((1.0 + all) / (1.0 + with as f64)).ln() + 1.0;
        Self { weights: texts_with.iter().map(weight).collect(), columns, words }
    }

    /// Turns texts into rows of `[words]`; words that training did not have count nothing.
    pub fn transform(&self, texts: &[String]) -> SparseRows {
        let mut rows = SparseRows::new(self.weights.len());
        for text in texts {
            let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
            for word in self.words.find_iter(&text.to_lowercase()) {
                if let Some(&column) = self.columns.get(word.as_str()) {
                    *counts.entry(column).or_default() += 1.0;
                }
            }
            for (&column, count) in &mut counts {
                *count *= self.weights[column as usize];
            }
            let norm = counts.values().map(|value| value * value).sum::<f64>().sqrt();
            rows.push(counts.into_iter().map(|(column, value)| (column, value / norm)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn words_are_runs_of_two_or_more_letters_and_digits() {
        let fitted = TfIdf::fit(&texts(&["It's a FILM, snake_case 42nd; Straße 二十 x² हिन्दी"]));
        let mut words: Vec<&str> = fitted.columns.keys().map(String::as_str).collect();
        words.sort_unstable();
        // Python 3: re.findall(r"(?u)\b\w\w+\b", ...) of the text in lower case; marks part
        // the words of Hindi into single letters.
        assert_eq!(words, ["42nd", "film", "it", "snake_case", "straße", "x²", "二十"]);
    }

    #[test]
    fn rows_have_length_1_and_unknown_words_count_nothing() {
        let fitted = TfIdf::fit(&texts(&["good film", "bad film"]));
        let rows = fitted.transform(&texts(&["good film film unheard", "unheard"]));
        let rows: Vec<&[(u32, f64)]> = rows.rows().collect();
        // ln(3 / 2) + 1 for good, ln(3 / 3) + 1 for film, which comes twice.
        let (good, film) = ((1.5_f64).ln() + 1.0, 2.0);
        let norm = good.hypot(film);
        assert_eq!(rows[0].len(), 2);
        assert!((rows[0][0].1 - good / norm).abs() < 1e-12 && (rows[0][1].1 - film / norm).abs() < 1e-12);
        assert!(rows[1].is_empty());
    }
}
