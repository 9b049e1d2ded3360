//! The one file that knows which backends there are.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::TrainError;
use crate::nvidia::KernelCompiler;

/// Where tensors live and compute. Which ones a binary has is decided by cargo features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Burn's CPU backend.
    Flex,
    /// Burn's older CPU backend, on the ndarray crate.
    Ndarray,
    /// An NVIDIA GPU, counted from 0 among those that CUDA_VISIBLE_DEVICES leaves.
    Cuda(usize),
}

impl Backend {
    /// One of each kind.
    pub const ALL: [Self; 3] = [Self::Flex, Self::Ndarray, Self::Cuda(0)];

    /// What compiles kernels for a GPU in this build.
    pub const KERNEL_COMPILER: KernelCompiler =
        if cfg!(feature = "cuda-nvrtc") { KernelCompiler::Nvrtc } else { KernelCompiler::Llvm };

    /// The name of its kind, which is that of its cargo feature, too.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Cuda(_) => "cuda",
        }
    }

    /// Whether this binary was built with it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Cuda(_) => cfg!(feature = "cuda"),
        }
    }

    /// The first backend that this binary was built with.
    pub fn default_compiled() -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.is_compiled())
    }

    /// Whether it computes on the CPU.
    pub fn is_cpu(self) -> bool {
        !matches!(self, Self::Cuda(_))
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
            Self::Cuda(index) => Ok(cuda::device(index)?),
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
        indexed
            .or_else(named)
            .ok_or_else(|| format!("{name} is not one of flex, ndarray, cuda, cuda:N (the GPU's number)"))
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use burn::tensor::{Device, DeviceType, Tensor};

    use super::Backend;
    use crate::nvidia::{self, GpuError};
    use crate::panics::{Refusal, caught};

    /// Everything that may be missing is asked for first: Burn panics where it is, at the first
    /// operation and in threads of its own.
    pub(super) fn device(index: usize) -> Result<Device, GpuError> {
        let mut missing = nvidia::missing(index, Backend::KERNEL_COMPILER);
        if !missing.is_empty() {
            return Err(missing.swap_remove(0));
        }
        let device = Device::cuda(index);
        if !Device::enumerate(DeviceType::Cuda).iter().any(|found| *found == device) {
            return Err(GpuError::FirstKernel { index, reason: "Burn does not list it".into() });
        }
        first_kernel(&device).map_err(|reason| GpuError::FirstKernel { index, reason })?;
        Ok(device)
    }

    /// Computes exp(1), and says what is wrong instead of panicking.
    fn first_kernel(device: &Device) -> Result<(), String> {
        let values = caught(|| {
            let ones = Tensor::<1>::ones([4], device);
            ones.exp().into_data().iter::<f32>().collect::<Vec<_>>()
        });
        match values {
            Ok(values) if values.iter().all(|value| (value - 1_f32.exp()).abs() < 1e-5) => Ok(()),
            Ok(values) => Err(format!("exp(1) is {values:?} there")),
            Err(Refusal::NoMemory(_)) => Err("it has no memory left".into()),
            Err(Refusal::Other(reason)) => Err(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for backend in [Backend::Flex, Backend::Ndarray, Backend::Cuda(0), Backend::Cuda(3)] {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert_eq!("cuda:0".parse(), Ok(Backend::Cuda(0)));
        for wrong in ["tpu", "cuda:", "cuda:-1", "cuda:one", "flex:0", "CUDA"] {
            assert!(wrong.parse::<Backend>().unwrap_err().contains("cuda:N"), "{wrong}");
        }
    }
}
