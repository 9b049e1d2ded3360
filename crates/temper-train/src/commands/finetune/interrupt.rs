use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second ends the process at once.
pub(super) fn on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step, with a checkpoint; Ctrl-C again stops at once");
    };
    // A second handler in one process is refused: then the first one's flag is in charge.
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!("Ctrl-C will not save a checkpoint: {error}");
    }
    stop
}
