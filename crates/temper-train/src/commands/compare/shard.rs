//! `--shard I/N`: a part of the runs of a grid.

use std::str::FromStr;

/// One of `count` parts of a list: its elements `index`, `index + count`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The elements of the shard, each with its place in the list.
    pub(super) fn of<T>(self, list: &[T]) -> impl Iterator<Item = (usize, &T)> {
        list.iter().enumerate().skip(self.index).step_by(self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("write I/N with I from 0 to N - 1, such as 0/4".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_hold_every_element_once() {
        let list: Vec<usize> = (0..7).collect();
        let shards = ["0/3", "1/3", "2/3"].map(|text| text.parse::<Shard>().unwrap());
        let held = shards.map(|shard| shard.of(&list).map(|(place, _)| place).collect::<Vec<_>>());
        assert_eq!(held, [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        let beyond: Shard = "8/9".parse().unwrap();
        assert_eq!(beyond.of(&list).count(), 0);
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in ["3", "3/3", "1/0", "-1/3", "a/b", "1/2/3", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
