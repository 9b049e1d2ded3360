//! What computing on an NVIDIA GPU needs besides the GPU: a driver, and a compiler's files.
//!
//! Looked for without Burn, which panics where something is missing, and in every build, for
//! `temper doctor`. All libraries are opened at run time; none has to be there.

mod driver;
mod error;
mod library;
mod management;
mod toolkit;
mod version;

pub use driver::{Driver, Gpu, driver};
pub use error::GpuError;
pub use toolkit::{Nvrtc, headers, libdevice, nvrtc};
pub use version::CudaVersion;

/// What compiles kernels while a model runs. A build has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelCompiler {
    /// LLVM, in the binary; mathematical functions come from NVIDIA's libdevice.
    Llvm,
    /// NVIDIA's library, which needs NVIDIA's headers.
    Nvrtc,
}

/// Everything that is missing for one GPU; nothing where it can be used.
pub fn missing(index: usize, compiler: KernelCompiler) -> Vec<GpuError> {
    let driver = driver();
    let mut missing: Vec<GpuError> = match (&driver, compiler) {
        (_, KernelCompiler::Llvm) => libdevice().err().into_iter().collect(),
        (driver, KernelCompiler::Nvrtc) => {
            let newest = driver.as_ref().ok().map(|driver| driver.cuda);
            let nvrtc = nvrtc().and_then(|nvrtc| nvrtc.check(newest));
            nvrtc.err().into_iter().chain(headers().err()).collect()
        }
    };
    if let Some(error) = driver.and_then(|driver| driver.check(index)).err() {
        missing.insert(0, error);
    }
    missing
}
