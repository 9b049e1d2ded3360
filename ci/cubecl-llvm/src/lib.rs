//! Stands in for cubecl-llvm 0.11.3, CubeCL's compiler from its own representation to PTX by way
//! of LLVM.
//!
//! cubecl-cuda 0.11.3 always links that crate, and its build script downloads LLVM: impossible in
//! a closed network. This crate has the same name, version and dependencies, the part of the
//! interface that cubecl-cuda uses, and no build script. It compiles no kernel: with the feature
//! `cpp` of cubecl-cuda, kernels go to NVRTC instead and nothing here is ever called. Without that
//! feature every kernel is refused with [`REFUSAL`].

mod compiler;
pub mod nvptx;
pub mod shared;

pub use compiler::{LlvmTarget, NvptxModule, PlironArtifact, PlironCompiler, PlironOptions};

/// Why no kernel is compiled.
pub const REFUSAL: &str = "this binary was built with a stand-in for CubeCL's LLVM compiler and \
    without the feature cuda-nvrtc, so nothing in it can compile a kernel; build it with both \
    --config ci/cuda-offline.toml and --features cuda-nvrtc, or with neither";
