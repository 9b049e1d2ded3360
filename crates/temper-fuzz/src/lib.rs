//! Mutated files for every reader of Temper.
//!
//! A target names the kinds of file that it reads ([`Part`]), with seeds that are sound, and [`run`]s them:
//! the seeds, the inputs that once failed (`regressions/TARGET/PART-*`), then mutations of the seeds. An error
//! is as good as success; a panic, a crash, an endless loop and memory beyond a limit are failures. Inputs are
//! a function of seed and number, so that the same run can be had again.
//!
//! | variable | meaning |
//! |---|---|
//! | `TEMPER_FUZZ_INPUTS` | inputs a target, in place of the target's own number |
//! | `TEMPER_FUZZ_MINUTES` | time a target, in place of a number of inputs |
//! | `TEMPER_FUZZ_SEED` | another seed than 0, so other inputs |
//!
//! `cargo xtask fuzz` sets them. This library knows nothing of the other crates; the targets in `tests/` do.

mod budget;
mod bytes;
mod campaign;
mod failures;
mod framed;
mod inputs;
mod json;
mod random;
mod shape;
mod text;
mod worker;

pub use failures::{Failure, Failures};
pub use random::Random;
pub use shape::Shape;

use std::path::Path;

/// Reads an input, given as bytes; gives what a reader refused, if it did. The folder is for files: it is
/// empty before the first input, and what one writes is there for the next.
pub type Check<'a> = Box<dyn Fn(&[u8], &Path) -> Result<(), String> + 'a>;

/// One kind of file that a target reads.
pub struct Part<'a> {
    /// Its name, in the names of files that failed.
    pub name: &'static str,
    /// How it is mutated.
    pub shape: Shape,
    /// Sound files, which `check` accepts.
    pub seeds: Vec<Vec<u8>>,
    /// Reads an input.
    pub check: Check<'a>,
}

/// Whether this process reads the inputs of a target; what it needs for that, the process that started it has made.
pub fn is_worker() -> bool {
    worker::order().is_some()
}

/// Runs a target: `inputs` of them, unless the environment asks for others.
///
/// `target` is the name of the `#[test]` that calls this, since the inputs are read in processes of their own,
/// which run that test again.
///
/// # Errors
/// [`Failures`]: inputs that made a reader panic, crash or hang, seeds that were refused.
pub fn run(target: &str, inputs: u64, parts: &[Part<'_>]) -> Result<(), Failures> {
    match worker::order() {
        Some(dir) => worker::work(target, &dir, parts).map_err(Failures::from),
        None => campaign::lead(target, inputs, parts),
    }
}
