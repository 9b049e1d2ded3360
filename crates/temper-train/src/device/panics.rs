//! Burn panics where a device refuses something, in threads of its own and several times over; here that becomes
//! one error.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::Regex;

use crate::TrainError;
use crate::device::OutOfMemory;

/// Panics that are remembered.
const REMEMBERED: usize = 64;
/// Characters of a panic that are reported.
const TOLD: usize = 400;

/// How cubecl-runtime 0.11.3 says that a device has no memory left (server/base.rs: `IoError`, `LaunchError`), with
/// the bytes where it knows them.
static NO_MEMORY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        "(?i)(?:out of device memory allocating|can't allocate(?: buffer of size:)?) (\\d+)|out-of-memory error|CUDA_ERROR_OUT_OF_MEMORY",
    )
    .ok()
});

/// Why work ended in a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The device had no memory for an allocation of so many bytes, where that is known.
    NoMemory(Option<u64>),
    /// Anything else, in the words and at the place of the first panic.
    Other(String),
}

/// Does work; a panic in it becomes a [`Refusal`], and none is printed unless RUST_BACKTRACE asks for it.
///
/// The panics of all threads are recorded while it lasts: the first says why, the others follow from it.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Refusal> {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let before = Arc::new(panic::take_hook());
    panic::set_hook(Box::new({
        let (heard, before) = (heard.clone(), before.clone());
        move |panic| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < REMEMBERED {
                let place = panic.location().map_or(String::new(), |place| format!(" ({place})"));
                heard.push(panic.payload_as_str().unwrap_or("a panic without words").to_owned() + &place);
            }
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                before(panic);
            }
        }
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    drop(panic::take_hook());
    panic::set_hook(Box::new(move |panic| before(panic)));
    result.map_err(|payload| {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was carried over from another thread is not recorded again.
        let words = payload.downcast_ref::<String>().map(String::as_str);
        heard.extend(words.or(payload.downcast_ref::<&str>().copied()).map(str::to_owned));
        refusal(&heard)
    })
}

/// Does work that may end in a panic of Burn's; that becomes an error of ours.
///
/// # Errors
/// Those of the work; [`TrainError::OutOfMemory`] and [`TrainError::Backend`] for a panic.
pub fn guarded<R>(work: impl FnOnce() -> Result<R, TrainError>) -> Result<R, TrainError> {
    caught(work).unwrap_or_else(|refusal| {
        Err(match refusal {
            Refusal::NoMemory(needed_bytes) => OutOfMemory {
                needed_bytes,
                fits: vec![
                    "fewer tokens at once: a smaller --max-tokens-per-batch or --max-seq-length".into(),
                ],
                ..OutOfMemory::of("the device refused memory")
            }
            .into(),
            Refusal::Other(reason) => TrainError::Backend { reason },
        })
    })
}

/// The first panic that is about memory, else the first.
fn refusal(heard: &[String]) -> Refusal {
    match heard.iter().find_map(|words| no_memory(words)) {
        Some(bytes) => Refusal::NoMemory(bytes),
        None => {
            Refusal::Other(heard.first().map_or_else(|| "a panic without words".into(), |words| told(words)))
        }
    }
}

fn no_memory(words: &str) -> Option<Option<u64>> {
    let found = NO_MEMORY.as_ref()?.captures(words)?;
    Some(found.get(1).and_then(|bytes| bytes.as_str().parse().ok()))
}

/// One line without a backtrace.
fn told(words: &str) -> String {
    let is_trace =
        |line: &&str| !line.trim_start().starts_with("Backtrace") && !line.trim_start().starts_with("0:");
    let lines: Vec<&str> = words.lines().take_while(is_trace).map(str::trim).collect();
    lines.join(" ").chars().take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_cubecl_are_recognised() {
        for (words, bytes) in [
            (
                "called `Result::unwrap()`: out of device memory allocating 1048576 bytes\n<trace>",
                Some(1 << 20),
            ),
            ("can't allocate buffer of size: 4096\n", Some(4096)),
            (
                "Can't allocate 77 bytes: every page size the memory tracks still holds live allocations",
                Some(77),
            ),
            ("An out-of-memory error happened during launch\nCaused by:\n  x", None),
            ("CUDA allocation error: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")", None),
        ] {
            assert_eq!(no_memory(words), Some(bytes), "{words}");
        }
        assert_eq!(no_memory("index out of bounds: the len is 3 but the index is 7"), None);
    }

    #[test]
    fn the_first_cause_is_told_in_one_line() {
        let heard = ["shapes differ\nBacktrace:\n 0: main".to_owned(), "RecvError".to_owned()];
        assert_eq!(refusal(&heard), Refusal::Other("shapes differ".into()));
        let heard = ["RecvError".to_owned(), "out of device memory allocating 12 bytes".to_owned()];
        assert_eq!(refusal(&heard), Refusal::NoMemory(Some(12)));
        assert!(matches!(refusal(&[]), Refusal::Other(_)));
    }
}
