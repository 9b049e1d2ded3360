//! The inputs of a target by their numbers: what once failed, the seeds, then mutations without end.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{Part, Random};

/// An input and the part that reads it.
pub(crate) struct Input<'a> {
    pub(crate) part: &'a Part<'a>,
    pub(crate) bytes: Vec<u8>,
    /// A seed, which must not be refused.
    pub(crate) is_seed: bool,
}

/// All inputs of a target under one seed.
pub(crate) struct Inputs<'a> {
    parts: &'a [Part<'a>],
    seed: u64,
    /// Part and input, of what once failed.
    regressions: Vec<(&'a Part<'a>, PathBuf)>,
}

impl<'a> Inputs<'a> {
    /// The inputs of a target.
    pub(crate) fn new(target: &str, seed: u64, parts: &'a [Part<'a>]) -> io::Result<Self> {
        Ok(Self { parts, seed, regressions: regressions(target, parts)? })
    }

    /// How many inputs come before the mutations.
    pub(crate) fn fixed(&self) -> u64 {
        (self.regressions.len() + self.seeds().count()) as u64
    }

    /// The input of a number.
    pub(crate) fn get(&self, number: u64) -> io::Result<Input<'a>> {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some((part, path)) = self.regressions.get(place) {
            return Ok(Input { part, bytes: fs::read(path)?, is_seed: false });
        }
        if let Some((part, seed)) = self.seeds().nth(place - self.regressions.len()) {
            return Ok(Input { part, bytes: seed.clone(), is_seed: true });
        }
        let mut random = Random::new(self.seed, number);
        let part = random.pick(self.parts);
        Ok(Input { part, bytes: part.shape.mutate(&part.seeds, &mut random), is_seed: false })
    }

    fn seeds(&self) -> impl Iterator<Item = (&'a Part<'a>, &'a Vec<u8>)> {
        self.parts.iter().flat_map(|part| part.seeds.iter().map(move |seed| (part, seed)))
    }
}

/// The files `PART-*` of a target's folder; one that belongs to no part is an error.
fn regressions<'a>(target: &str, parts: &'a [Part<'a>]) -> io::Result<Vec<(&'a Part<'a>, PathBuf)>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    let with_part = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = parts.iter().find(|part| name.starts_with(&format!("{}-", part.name)));
        let unknown = || io::Error::other(format!("{}: {target} has no such part", path.display()));
        Ok((part.ok_or_else(unknown)?, path))
    };
    paths.into_iter().map(with_part).collect()
}
