//! The one file that knows which backends there are.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::Serialize;

use crate::TrainError;

/// Where tensors live and compute. Which ones a binary has is decided by cargo features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Burn's CPU backend.
    Flex,
    /// Burn's older CPU backend, on the ndarray crate.
    Ndarray,
    /// NVIDIA GPUs.
    Cuda,
}

impl Backend {
    const ALL: [Self; 3] = [Self::Flex, Self::Ndarray, Self::Cuda];

    fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this binary was built with it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// The first backend that this binary was built with.
    pub fn default_compiled() -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.is_compiled())
    }

    /// Whether it computes on the CPU.
    pub fn is_cpu(self) -> bool {
        self != Self::Cuda
    }

    /// The device, without autodiff.
    ///
    /// # Errors
    /// [`TrainError::Usage`] when the binary was built without the backend.
    pub fn device(self) -> Result<Device, TrainError> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // Asked for by name; flex is its successor.
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[allow(unreachable_patterns)] // A binary with every feature reaches none.
            missing => Err(TrainError::Usage(format!(
                "this binary was built without the {missing} backend; build it with: cargo build --release -p temper-train --features {missing}, or run: cargo xtask finetune ... --backend {missing}"
            ))),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| format!("{name} is not one of flex, ndarray, cuda"))
    }
}
