//! The allocator of the binary.

/// mimalloc: glibc's allocator returns big blocks to the system and pays for them again as page
/// faults.
pub use mimalloc::MiMalloc as Allocator;

/// Makes mimalloc keep what is freed: a step needs again what the last one gave back, and a page
/// fault costs up to 2 µs. Without this they take a fifth of a step.
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay` of mimalloc 3; a negative delay means never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one number in a table; any thread may do so at any time.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, -1);
    }
}
