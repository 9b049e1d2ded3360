use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::FreezeError;

/// Which parameters train.
///
/// The head trains under every strategy but [`Strategy::Patterns`], which is literal. Parameters
/// that were drawn at random train always: frozen noise helps nobody.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// Every parameter.
    All,
    /// The head alone; the pretrained model is a fixed feature extractor.
    Head,
    /// The upper layers and what stands above them.
    LastLayers(usize),
    /// The embeddings and the head.
    Embeddings,
    /// Everything but the embeddings.
    FreezeEmbeddings,
    /// Adapters and the head; see [`lora`](crate::lora).
    Lora,
    /// Parameters whose whole path matches one of the patterns.
    Patterns(Vec<Regex>),
}

impl FromStr for Strategy {
    type Err = FreezeError;

    fn from_str(given: &str) -> Result<Self, FreezeError> {
        let refuse = |reason: String| FreezeError::Strategy { given: given.into(), reason };
        match given.split_once(':') {
            None => match given {
                "all" => Ok(Self::All),
                "head" => Ok(Self::Head),
                "embeddings" => Ok(Self::Embeddings),
                "freeze-embeddings" => Ok(Self::FreezeEmbeddings),
                "lora" => Ok(Self::Lora),
                _ => Err(refuse("is not known".into())),
            },
            Some(("last", count)) => match count.parse() {
                Ok(count) if count > 0 => Ok(Self::LastLayers(count)),
                _ => Err(refuse("needs a number of layers above zero after last:".into())),
            },
            Some(("pattern", patterns)) => patterns
                .split(',')
                .map(|pattern| anchored(pattern).map_err(|error| refuse(format!("is no regex: {error}"))))
                .collect::<Result<_, _>>()
                .map(Self::Patterns),
            Some(_) => Err(refuse("is not known".into())),
        }
    }
}

/// The whole path must match: `layers.1` is not `layers.10`.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all"),
            Self::Head => out.write_str("head"),
            Self::LastLayers(count) => write!(out, "last:{count}"),
            Self::Embeddings => out.write_str("embeddings"),
            Self::FreezeEmbeddings => out.write_str("freeze-embeddings"),
            Self::Lora => out.write_str("lora"),
            Self::Patterns(patterns) => {
                let plain: Vec<&str> = patterns.iter().map(|pattern| unanchored(pattern.as_str())).collect();
                write!(out, "pattern:{}", plain.join(","))
            }
        }
    }
}

fn unanchored(pattern: &str) -> &str {
    pattern.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(pattern)
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
            "embeddings",
            "freeze-embeddings",
            "lora",
            "pattern:head\\..*,layers.1.*",
        ] {
            assert_eq!(name.parse::<Strategy>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_choices() {
        for name in ["", "last:0", "last:x", "last", "top:3", "pattern:("] {
            let error = name.parse::<Strategy>().unwrap_err().to_string();
            assert!(error.contains("last:K"), "{name}: {error}");
        }
    }
}
