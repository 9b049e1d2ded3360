//! What LLVM could compile for a device.

use cubecl_core::ir::DeviceProperties;

/// What kernels would be compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuTarget {
    /// NVIDIA GPUs.
    Nvptx,
}

/// Takes nothing away: cubecl-cuda calls this only where LLVM is to compile, and then every kernel is
/// refused, whatever it needs.
pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
