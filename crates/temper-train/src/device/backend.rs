//! The one file that knows which backends there are.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::TrainError;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use crate::device::nvidia::GpuError;
use crate::device::nvidia::KernelCompiler;

/// Where tensors live and compute. Which ones a binary has is decided by cargo features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Burn's CPU backend.
    Flex,
    /// Burn's older CPU backend, on the ndarray crate.
    Ndarray,
    /// An NVIDIA GPU, counted from 0 among those that CUDA_VISIBLE_DEVICES leaves.
    Cuda(usize),
    /// Any GPU, through Vulkan, Metal or DirectX 12: the one that the system prefers.
    Wgpu,
}

impl Backend {
    /// One of each kind.
    pub const ALL: [Self; 4] = [Self::Flex, Self::Ndarray, Self::Cuda(0), Self::Wgpu];

    /// What compiles kernels for a GPU in this build.
    pub const KERNEL_COMPILER: KernelCompiler =
        if cfg!(feature = "cuda-nvrtc") { KernelCompiler::Nvrtc } else { KernelCompiler::Llvm };

    /// The name of its kind, which is that of its cargo feature, too.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Cuda(_) => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// Whether this binary was built with it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Cuda(_) => cfg!(feature = "cuda"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// The first backend that this binary was built with.
    pub fn default_compiled() -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.is_compiled())
    }

    /// Whether it computes on the CPU.
    pub fn is_cpu(self) -> bool {
        !matches!(self, Self::Cuda(_) | Self::Wgpu)
    }

    /// How to get a binary with it.
    pub fn how_to_build(self) -> String {
        let kind = self.kind();
        format!(
            "build it with: cargo build --release -p temper-train --features {kind}, or run: cargo xtask finetune ... --backend {kind}"
        )
    }

    /// The device, without autodiff. A GPU has computed something by then.
    ///
    /// # Errors
    /// [`TrainError::Usage`] when the binary was built without the backend, [`TrainError::Gpu`] when a
    /// GPU or something that it needs is not there.
    pub fn device(self) -> Result<Device, TrainError> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // Asked for by name; flex is its successor.
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(cuda_device(index)?),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(wgpu_device()?),
            #[allow(unreachable_patterns)] // A binary with every feature reaches none.
            missing => Err(TrainError::Usage(format!(
                "this binary was built without the {} backend; {}",
                missing.kind(),
                missing.how_to_build()
            ))),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda(index @ 1..) => write!(out, "cuda:{index}"),
            backend => out.write_str(backend.kind()),
        }
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let indexed = name.strip_prefix("cuda:").and_then(|index| index.parse().ok()).map(Self::Cuda);
        let named = || Self::ALL.into_iter().find(|backend| backend.kind() == name);
        indexed.or_else(named).ok_or_else(|| {
            format!("{name} is not one of flex, ndarray, cuda, cuda:N (the GPU's number), wgpu")
        })
    }
}

/// Looks first for everything that may be missing: Burn would panic instead, at the first operation and in its own
/// threads.
#[cfg(feature = "cuda")]
fn cuda_device(index: usize) -> Result<Device, GpuError> {
    use burn::tensor::DeviceType;

    let mut missing = crate::device::nvidia::missing(index, Backend::KERNEL_COMPILER);
    if !missing.is_empty() {
        return Err(missing.swap_remove(0));
    }
    crate::device::gpu::configure_cubecl();
    let device = Device::cuda(index);
    if !Device::enumerate(DeviceType::Cuda).contains(&device) {
        return Err(GpuError::FirstKernel {
            device: Backend::Cuda(index).to_string(),
            reason: "Burn does not list it".into(),
        });
    }
    with_first_kernel(Backend::Cuda(index), device)
}

/// The runtime can be initialised once in a process.
#[cfg(feature = "wgpu")]
fn wgpu_device() -> Result<Device, GpuError> {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();

    if let Some(device) = DEVICE.get() {
        return Ok(device.clone());
    }
    crate::device::gpu::configure_cubecl();
    let device = Device::wgpu_options().init();
    let device = device.map_err(|error| GpuError::NoAdapter { reason: error.to_string() })?;
    let device = with_first_kernel(Backend::Wgpu, device)?;
    Ok(DEVICE.get_or_init(|| device).clone())
}

/// A device that has computed something.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn with_first_kernel(backend: Backend, device: Device) -> Result<Device, GpuError> {
    match crate::device::gpu::first_kernel(&device) {
        Ok(()) => Ok(device),
        Err(reason) => Err(GpuError::FirstKernel { device: backend.to_string(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for backend in [Backend::Flex, Backend::Ndarray, Backend::Cuda(0), Backend::Cuda(3), Backend::Wgpu] {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert_eq!("cuda:0".parse(), Ok(Backend::Cuda(0)));
        for wrong in ["tpu", "cuda:", "cuda:-1", "cuda:one", "flex:0", "wgpu:0", "CUDA"] {
            assert!(wrong.parse::<Backend>().unwrap_err().contains("cuda:N"), "{wrong}");
        }
    }
}
