//! The allocator of the binary.

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mimalloc::MiMalloc;

use crate::error::OUT_OF_MEMORY;

/// What to do about it, as the message has it.
static ADVICE: Mutex<String> = Mutex::new(String::new());

/// mimalloc: glibc's allocator returns big blocks to the system and pays for them again as page
/// faults.
///
/// Where it gets no memory, the process ends at once with exit code 5 and one message: nothing in Rust can continue
/// after that (`handle_alloc_error` aborts). Most systems promise more memory than there is and kill a process later,
/// without an error; limits on the address space (`ulimit -v`), Windows and systems that do not overcommit refuse.
pub struct Allocator;

// SAFETY: every block is mimalloc's, which implements the same trait; otherwise the process ends.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the trait's promises, which are mimalloc's, too; so below.
        there(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see above.
        there(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see above.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: see above.
        there(unsafe { MiMalloc.realloc(block, layout, bytes) }, bytes)
    }
}

/// What the message says after that memory ran out, until something else is said. Each line begins the message's line.
pub fn advise(advice: String) {
    *ADVICE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = advice;
}

fn there(block: *mut u8, bytes: usize) -> *mut u8 {
    if block.is_null() { end(bytes) } else { block }
}

/// Ends the process without asking for memory.
#[cold]
fn end(bytes: usize) -> ! {
    static IS_ENDING: AtomicBool = AtomicBool::new(false);
    if IS_ENDING.swap(true, Ordering::Relaxed) {
        // Another thread says it; a message that itself finds no memory must not wait for ever.
        std::thread::sleep(Duration::from_secs(1));
        std::process::abort();
    }
    // If nothing reads it any more, that does not matter.
    let mut stderr = std::io::stderr();
    let _ = match ADVICE.try_lock() {
        Ok(advice) => {
            writeln!(stderr, "error: out of memory: {} MiB more were refused\n{advice}", bytes >> 20)
        }
        Err(_) => writeln!(stderr, "error: out of memory: {} MiB more were refused", bytes >> 20),
    };
    exit()
}

#[cfg(unix)]
fn exit() -> ! {
    // SAFETY: always allowed. Not `exit`: handlers and other threads would ask for memory, too.
    #[allow(unsafe_code)]
    unsafe {
        nix::libc::_exit(OUT_OF_MEMORY.into())
    }
}

#[cfg(not(unix))]
fn exit() -> ! {
    std::process::exit(OUT_OF_MEMORY.into())
}

/// Makes mimalloc keep what is freed until [`release_freed_memory`]: a step needs again what the last one gave back, and a
/// page fault costs up to 2 µs. Without this they take a fifth of a step.
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay` of mimalloc 3, in milliseconds.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    /// A hundred days. A negative delay, never, would keep it for good.
    const DELAY: std::ffi::c_long =
        if size_of::<std::ffi::c_long>() == 8 { 8_640_000_000 } else { 1_000_000_000 };
    // SAFETY: sets one number in a table; any thread may do so at any time.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, DELAY);
    }
}

/// Gives freed memory back to the system: what loading a model needed besides, or training before a model is written.
/// Blocks of tens of MiB are never taken from what is freed, so that both would add up.
pub fn release_freed_memory() {
    // SAFETY: any thread may do so at any time.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
