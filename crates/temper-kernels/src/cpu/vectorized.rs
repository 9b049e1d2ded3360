//! Code compiled for the vector instructions of the processor.

use pulp::{Arch, Simd, WithSimd};

/// Calls `body`, compiled for the vector instructions that the processor turns out to have.
///
/// `body` and everything it calls must be `#[inline(always)]`: what is not inlined keeps the baseline
/// instructions, where `f32::mul_add` is a slow library function.
#[inline(always)]
pub fn vectorized<R>(body: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Vectorized(body))
}

// pulp takes closures as FnOnce. A closure that could be called twice gets there through a shim that
// is not inlined, whence FnMut here.
struct Vectorized<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Vectorized<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _simd: S) -> R {
        (self.0)()
    }
}

/// The vector instructions of this processor that the operations use.
pub fn vector_instructions() -> &'static str {
    match Arch::new() {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Arch::V4(_) => "AVX-512",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Arch::V3(_) => "AVX2 and FMA",
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => "NEON",
        _ => "no vector instructions",
    }
}
