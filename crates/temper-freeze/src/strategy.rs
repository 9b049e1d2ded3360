//! Strategies by name: which parameters train, and from when on.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use regex::Regex;

use crate::FreezeError;
use crate::groups::TrainedGroups;
use crate::path_regex::{anchored, unanchored};

/// Which parameters train, and from when on.
///
/// The head trains under every strategy but [`Strategy::Patterns`] and [`Strategy::Groups`], which are
/// literal. Parameters that were initialised randomly always train: frozen, they would stay random.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// Every parameter.
    All,
    /// The head alone; the pretrained model is a fixed feature extractor.
    Head,
    /// The upper layers and what is above them.
    LastLayers(usize),
    /// Layers by number, counted from 0, both ends included, and the head. An encoder's layers come first,
    /// then a decoder's.
    Layers(RangeInclusive<usize>),
    /// The embeddings and the head.
    Embeddings,
    /// Everything but the embeddings.
    FreezeEmbeddings,
    /// The norms and the head.
    NormsAndHead,
    /// The biases and the head: BitFit (Ben Zaken et al. 2022, arXiv 2106.10199).
    BiasesAndHead,
    /// From the head down, one group after the other (Howard and Ruder 2018, arXiv 1801.06146): the head and
    /// what is after the last layer, then each layer, at last the embeddings.
    Gradual(Pace),
    /// Adapters and the head; see [`lora`](crate::lora).
    Lora,
    /// Parameters whose whole path matches one of the patterns.
    Patterns(Vec<Regex>),
    /// Groups of a file, each with a pattern, a rate and a step to begin at.
    Groups(TrainedGroups),
}

/// How long a group trains before the next one below joins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The run's steps, spread evenly over the groups.
    Even,
    /// So many optimiser steps.
    Steps(usize),
    /// So many passes over the data.
    Epochs(usize),
}

/// How a strategy is written, for messages.
pub(crate) const FORMS: &str = "all, head, last:K, layers:A-B, embeddings, freeze-embeddings, norms+head, \
     biases+head, lora, gradual, gradual:STEPS, gradual:EPOCHSepoch, pattern:REGEX[,REGEX] or a TOML file";

impl Strategy {
    /// What was meant on a command line: a strategy's name, or the path of a TOML file with groups. The
    /// result reads back with [`str::parse`] without the file.
    ///
    /// # Errors
    /// [`FreezeError::File`] for a file that cannot be read, [`FreezeError::Strategy`] else.
    pub fn from_name_or_file(given: &str) -> Result<Self, FreezeError> {
        let path = Path::new(given);
        match path.extension().is_some_and(|extension| extension == "toml") {
            true => TrainedGroups::read(path).map(Self::Groups),
            false => given.parse(),
        }
    }
}

impl FromStr for Strategy {
    type Err = FreezeError;

    fn from_str(given: &str) -> Result<Self, FreezeError> {
        let refuse = |reason: String| FreezeError::Strategy { given: given.into(), reason };
        let unknown = || refuse("is not known".into());
        if given.starts_with('{') {
            return TrainedGroups::parse(given).map(Self::Groups).map_err(refuse);
        }
        match given.split_once(':') {
            None => match given {
                "all" => Ok(Self::All),
                "head" => Ok(Self::Head),
                "embeddings" => Ok(Self::Embeddings),
                "freeze-embeddings" => Ok(Self::FreezeEmbeddings),
                "lora" => Ok(Self::Lora),
                "norms+head" => Ok(Self::NormsAndHead),
                "biases+head" => Ok(Self::BiasesAndHead),
                "gradual" => Ok(Self::Gradual(Pace::Even)),
                _ => Err(unknown()),
            },
            Some(("last", count)) => match count.parse() {
                Ok(count) if count > 0 => Ok(Self::LastLayers(count)),
                _ => Err(refuse("needs a number of layers above zero after last:".into())),
            },
            Some(("layers", range)) => layers(range)
                .map(Self::Layers)
                .ok_or_else(|| refuse("needs two layers after layers:, such as layers:0-3".into())),
            Some(("gradual", pace)) => pace_of(pace)
                .map(Self::Gradual)
                .ok_or_else(|| refuse("needs steps or epochs after gradual:, such as 100 or 1epoch".into())),
            Some(("pattern", patterns)) => patterns
                .split(',')
                .map(|pattern| anchored(pattern).map_err(|error| refuse(format!("is not a regex: {error}"))))
                .collect::<Result<_, _>>()
                .map(Self::Patterns),
            Some(_) => Err(unknown()),
        }
    }
}

fn layers(range: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

fn pace_of(given: &str) -> Option<Pace> {
    let epochs = given.strip_suffix("epochs").or(given.strip_suffix("epoch"));
    let number = epochs.unwrap_or(given).parse().ok().filter(|&number| number > 0)?;
    Some(if epochs.is_some() { Pace::Epochs(number) } else { Pace::Steps(number) })
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all"),
            Self::Head => out.write_str("head"),
            Self::LastLayers(count) => write!(out, "last:{count}"),
            Self::Layers(range) => write!(out, "layers:{}-{}", range.start(), range.end()),
            Self::Embeddings => out.write_str("embeddings"),
            Self::FreezeEmbeddings => out.write_str("freeze-embeddings"),
            Self::NormsAndHead => out.write_str("norms+head"),
            Self::BiasesAndHead => out.write_str("biases+head"),
            Self::Gradual(Pace::Even) => out.write_str("gradual"),
            Self::Gradual(Pace::Steps(steps)) => write!(out, "gradual:{steps}"),
            Self::Gradual(Pace::Epochs(epochs)) => write!(out, "gradual:{epochs}epoch"),
            Self::Lora => out.write_str("lora"),
            Self::Patterns(patterns) => {
                let plain: Vec<&str> = patterns.iter().map(|pattern| unanchored(pattern.as_str())).collect();
                write!(out, "pattern:{}", plain.join(","))
            }
            Self::Groups(groups) => write!(out, "{groups}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in [
            "all",
            "head",
            "last:2",
            "layers:0-3",
            "embeddings",
            "freeze-embeddings",
            "norms+head",
            "biases+head",
            "gradual",
            "gradual:50",
            "gradual:2epoch",
            "lora",
            "pattern:head\\..*,layers.1.*",
        ] {
            assert_eq!(name.parse::<Strategy>().unwrap().to_string(), name);
        }
        assert_eq!("layers:3".parse::<Strategy>().unwrap().to_string(), "layers:3-3");
    }

    #[test]
    fn nonsense_is_refused_with_the_choices() {
        for name in [
            "",
            "last:0",
            "last:x",
            "last",
            "top:3",
            "pattern:(",
            "layers:3-1",
            "layers:",
            "gradual:0",
            "gradual:1day",
            "{",
        ] {
            let error = name.parse::<Strategy>().unwrap_err().to_string();
            assert!(error.contains("last:K"), "{name}: {error}");
        }
    }

    #[test]
    fn a_file_reads_back_without_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, "[[group]]\npattern = 'head\\..*'\n\n[[group]]\npattern = 'layers\\.5\\..*'\nrate = 0.5\nfrom_step = 20\n").unwrap();
        let strategy = Strategy::from_name_or_file(path.to_str().unwrap()).unwrap();
        let written = strategy.to_string();
        assert_eq!(written.parse::<Strategy>().unwrap().to_string(), written);
        assert!(written.contains("\"from_step\":20"), "{written}");
        for (text, part) in [("group = 3", "mine.toml"), ("[[group]]\npattern = '('", "regex"), ("", "group")]
        {
            std::fs::write(&path, text).unwrap();
            let error = Strategy::from_name_or_file(path.to_str().unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(Strategy::from_name_or_file("nowhere.toml").is_err());
    }
}
