//! Decoders that panic on damaged files.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IS_DECODING: Cell<bool> = const { Cell::new(false) };
}

static QUIET: Once = Once::new();

/// Runs a decoder of another crate; `None` if it panics, and nothing is printed then.
///
/// What the decoder has worked on must not be used after a panic.
pub(crate) fn caught<R>(decode: impl FnOnce() -> R) -> Option<R> {
    // The hook belongs to the whole process: it stays, and passes on every panic but these.
    QUIET.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_DECODING.get() {
                before(panic);
            }
        }));
    });
    IS_DECODING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decode));
    IS_DECODING.set(false);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_and_others_pass() {
        assert_eq!(caught(|| 7), Some(7));
        assert_eq!(caught(|| -> u8 { panic!("damaged") }), None);
        assert!(!IS_DECODING.get());
    }
}
