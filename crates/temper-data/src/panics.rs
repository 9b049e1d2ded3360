//! Panics of other crates on damaged files, as errors: a damaged tokenizer.json reaches `expect` in tokenizers 0.23
//! (decoders/mod.rs, normalizers/mod.rs, models/bpe/model.rs), a damaged Parquet file assertions in parquet 60.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Characters of a panic's message that are reported.
const TOLD: usize = 200;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does work of another crate on this thread. A panic in it prints nothing and becomes its message; what the work has
/// changed must not be used after one.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    silence();
    let before = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.map_err(|payload| {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it ended in a panic");
        message.lines().next().unwrap_or_default().chars().take(TOLD).collect()
    })
}

/// Replaces the panic hook, once, by one that is silent on guarded threads and is the old one on all others.
/// Hooks are the process's: to set and restore one at each call would race with whoever else does.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_the_thread_is_as_before() {
        let number = std::hint::black_box(1);
        assert_eq!(caught(|| assert!(number == 2, "number {number}\nmore")), Err("number 1".into()));
        assert!(!GUARDED.get());
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| caught(|| assert!(number == 2, "inner")).is_err() && GUARDED.get()), Ok(true));
    }
}
