//! Why a GPU cannot be used.

use std::path::PathBuf;

use super::CudaVersion;

/// Why a GPU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The driver's library is not there.
    #[error(
        "no NVIDIA driver: none of {} can be loaded; install the driver (the toolkit has none), and start a container with access to the GPU (docker run --gpus all)",
        tried.join(", ")
    )]
    NoDriver {
        /// Names of the library.
        tried: Vec<String>,
    },
    /// A library lacks a function that every version of it has.
    #[error(
        "{library} has no function {function}: it is not NVIDIA's, or a stub for linking; put the real one first in the library search path"
    )]
    NotTheLibrary {
        /// The library.
        library: String,
        /// The function.
        function: &'static str,
    },
    /// The driver is there and refuses.
    #[error("the NVIDIA driver refuses {call} with {name} (CUDA error {code}); {}", remedy(*code))]
    Refused {
        /// The function.
        call: &'static str,
        /// CUDA's number for the error.
        code: i32,
        /// CUDA's name for it.
        name: String,
    },
    /// No GPU of that number.
    #[error("there is no cuda:{index} on this machine; there {}", present(gpus))]
    NoSuchGpu {
        /// The number asked for.
        index: usize,
        /// Number and name of each GPU.
        gpus: Vec<String>,
    },
    /// The library that compiles kernels is not there.
    #[error(
        "NVRTC, which compiles kernels, is missing: none of {} can be loaded; install CUDA's NVRTC {oldest} or newer and set CUDA_PATH to the toolkit, or put the library's folder into LD_LIBRARY_PATH",
        tried.join(", ")
    )]
    NoNvrtc {
        /// Names and paths of the library.
        tried: Vec<String>,
        /// The oldest version that will do.
        oldest: CudaVersion,
    },
    /// NVRTC is too old for what it is to compile.
    #[error("{library} is NVRTC {found}; this binary's kernels need {oldest} or newer")]
    OldNvrtc {
        /// The library.
        library: String,
        /// Its version.
        found: CudaVersion,
        /// The oldest version that will do.
        oldest: CudaVersion,
    },
    /// The driver does not load what NVRTC makes.
    #[error(
        "{library} is NVRTC {nvrtc}, and the driver loads code up to CUDA {driver}; install a newer driver, or NVRTC {driver} or older"
    )]
    NvrtcAheadOfDriver {
        /// The library.
        library: String,
        /// Its version.
        nvrtc: CudaVersion,
        /// The driver's newest version.
        driver: CudaVersion,
    },
    /// The headers that kernels include are not there.
    #[error(
        "CUDA's headers are missing: {}; install the toolkit's headers and set CUDA_PATH to the folder whose include/ has them",
        sought(looked)
    )]
    NoHeaders {
        /// Files that are missing.
        looked: Vec<PathBuf>,
    },
    /// The functions that LLVM links into kernels are not there.
    #[error(
        "CUDA's libdevice is missing: {}; install the toolkit's compiler (NVVM) and set CUDA_PATH to the folder with nvvm/libdevice/libdevice.10.bc",
        sought(looked)
    )]
    NoLibdevice {
        /// Files that are missing.
        looked: Vec<PathBuf>,
    },
    /// No GPU that wgpu knows how to use.
    #[error(
        "wgpu finds no GPU: {reason}; install the GPU's Vulkan driver (on Linux; 'vulkaninfo --summary' lists the devices)"
    )]
    NoAdapter {
        /// What it says.
        reason: String,
    },
    /// All is there, and yet nothing can be computed.
    #[error("{device} cannot be used: {reason}")]
    FirstKernel {
        /// The backend's name.
        device: String,
        /// What happened to a first small computation.
        reason: String,
    },
}

/// What helps against a refusal: CUresult of cuda.h, CUDA 13.0.
fn remedy(code: i32) -> &'static str {
    match code {
        100 => "no GPU is visible: see what nvidia-smi lists, and what CUDA_VISIBLE_DEVICES hides",
        101 => "see CUDA_VISIBLE_DEVICES: it may name a GPU that does not exist",
        34 => "the library is a stub for linking; put the driver's own first where libraries are looked for",
        803 => {
            "the driver's library and its kernel module differ in version: reboot after an update, and in a container take the library from the host"
        }
        804 => "the compatibility package in use does not serve this GPU; use the driver's own library",
        _ => "nvidia-smi and the system's log may say more",
    }
}

fn present(gpus: &[String]) -> String {
    match gpus {
        [] => "is no GPU at all; see what nvidia-smi lists, and what CUDA_VISIBLE_DEVICES hides".into(),
        [gpu] => format!("is only {gpu}"),
        gpus => format!("are {}", gpus.join(", ")),
    }
}

fn sought(looked: &[PathBuf]) -> String {
    if looked.is_empty() {
        return "CUDA_PATH is not set, and there is no toolkit in the usual places".into();
    }
    let paths: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    format!("no {}", paths.join(", no "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_comes_with_the_right_ones() {
        let words = |gpus: &[&str]| {
            let gpus = gpus.iter().map(|gpu| gpu.to_string()).collect();
            GpuError::NoSuchGpu { index: 2, gpus }.to_string()
        };
        assert_eq!(
            words(&["cuda:0 (NVIDIA L4)", "cuda:1 (NVIDIA L4)"]),
            "there is no cuda:2 on this machine; there are cuda:0 (NVIDIA L4), cuda:1 (NVIDIA L4)"
        );
        assert!(words(&["cuda:0 (NVIDIA L4)"]).ends_with("there is only cuda:0 (NVIDIA L4)"));
        assert!(words(&[]).contains("CUDA_VISIBLE_DEVICES"));
    }
}
