//! The CUDA toolkit that compiles kernels.

#![allow(unsafe_code)] // One call into NVRTC; its type is that of nvrtc.h, CUDA 13.0.

use std::env;
use std::ffi::c_int;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::library::open;
use super::{CudaVersion, GpuError};

/// What CubeCL writes for the bindings of CUDA 13 needs functions that older headers lack
/// (cubecl-cpp 0.11.3, cuda/unary.rs).
const OLDEST_NVRTC: CudaVersion = CudaVersion { major: 12, minor: 8 };
/// Names of NVRTC, those that Burn tries, too (cudarc 0.19.10).
const NVRTC: &[&str] = if cfg!(windows) {
    &["nvrtc.dll", "nvrtc64_130_0.dll"]
} else {
    &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]
};
/// Where a toolkit keeps its libraries.
const LIBRARY_FOLDERS: &[&str] = &["lib64", "lib", "targets/x86_64-linux/lib"];
/// What kernels with half precision and with tensor cores include, and what those headers include
/// from elsewhere: CUDA 13 packs each of them apart.
const HEADERS: &[&str] = &["cuda_fp16.h", "mma.h", "crt/mma.h", "nv/target"];
const LIBDEVICE: &str = "nvvm/libdevice/libdevice.10.bc";

/// The library that compiles CUDA C++ while a program runs.
#[derive(Clone, Debug, Serialize)]
pub struct Nvrtc {
    /// The name or path that it was opened by.
    pub library: String,
    /// Its version.
    pub version: CudaVersion,
}

/// Looks for NVRTC where libraries are looked for, then in the toolkit.
///
/// Burn looks in the first places only. It finds the second, too, after this: the system knows a
/// library that is loaded already by its name.
///
/// # Errors
/// [`GpuError::NoNvrtc`] with all names and paths.
pub fn nvrtc() -> Result<Nvrtc, GpuError> {
    type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
    let mut tried: Vec<String> = NVRTC.iter().map(|name| name.to_string()).collect();
    if let Some(root) = &root() {
        let versioned = &NVRTC[1..]; // By any other name Burn would not find it again.
        let paths = LIBRARY_FOLDERS
            .iter()
            .flat_map(|folder| versioned.iter().map(move |name| root.join(folder).join(name)));
        tried.extend(paths.filter(|path| path.exists()).map(|path| path.display().to_string()));
    }
    let library = open(&tried).ok_or(GpuError::NoNvrtc { tried, oldest: OLDEST_NVRTC })?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two numbers.
    unsafe { library.function::<Version>("nvrtcVersion")?(&mut major, &mut minor) };
    Ok(Nvrtc { library: library.name, version: CudaVersion { major, minor } })
}

impl Nvrtc {
    /// Whether it can compile our kernels, and for a driver that loads code up to `newest`.
    ///
    /// # Errors
    /// [`GpuError::OldNvrtc`], [`GpuError::NvrtcAheadOfDriver`].
    pub fn check(self, newest: Option<CudaVersion>) -> Result<(), GpuError> {
        let Self { library, version } = self;
        if version < OLDEST_NVRTC {
            return Err(GpuError::OldNvrtc { library, found: version, oldest: OLDEST_NVRTC });
        }
        match newest {
            Some(driver) if version > driver => {
                Err(GpuError::NvrtcAheadOfDriver { library, nvrtc: version, driver })
            }
            _ => Ok(()),
        }
    }
}

/// The folder with CUDA's headers.
///
/// # Errors
/// [`GpuError::NoHeaders`] with the files that are missing.
pub fn headers() -> Result<PathBuf, GpuError> {
    let Some(folder) = root().map(|root| root.join("include")) else {
        return Err(GpuError::NoHeaders { looked: Vec::new() });
    };
    // CUDA 13 has nv/ in a folder of its own, which cubecl-cuda passes on, too.
    let is_there = |name: &str| folder.join(name).is_file() || folder.join("cccl").join(name).is_file();
    let missing: Vec<PathBuf> =
        HEADERS.iter().filter(|name| !is_there(name)).map(|name| folder.join(name)).collect();
    if missing.is_empty() { Ok(folder) } else { Err(GpuError::NoHeaders { looked: missing }) }
}

/// The toolkit, looked for as cubecl-cuda 0.11.3 does (`install::cuda_path`).
fn root() -> Option<PathBuf> {
    if let Some(path) = named_root() {
        return Some(path);
    }
    if cfg!(windows) {
        return Some("C:/Program Files/NVIDIA GPU Computing Toolkit/CUDA/".into());
    }
    let usual = ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from);
    let found = usual.into_iter().find(|root| root.exists());
    found.or_else(|| Path::new("/usr/bin/nvcc").exists().then(|| "/usr".into()))
}

fn named_root() -> Option<PathBuf> {
    env::var("CUDA_PATH").ok().map(PathBuf::from)
}

/// NVIDIA's mathematical functions for LLVM, looked for as cubecl-llvm 0.11.3 does (nvptx/libdevice.rs).
///
/// # Errors
/// [`GpuError::NoLibdevice`] with the file that is missing.
pub fn libdevice() -> Result<PathBuf, GpuError> {
    let usual = || {
        let roots = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda", "/usr"].map(PathBuf::from);
        roots.into_iter().find(|root| root.join("nvvm/libdevice").is_dir())
    };
    match named_root().or_else(usual).map(|root| root.join(LIBDEVICE)) {
        Some(path) if path.is_file() => Ok(path),
        path => Err(GpuError::NoLibdevice { looked: path.into_iter().collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(nvrtc: (i32, i32), driver: Option<(i32, i32)>) -> Result<(), GpuError> {
        let version = |(major, minor)| CudaVersion { major, minor };
        let nvrtc = Nvrtc { library: "libnvrtc.so.13".into(), version: version(nvrtc) };
        nvrtc.check(driver.map(version))
    }

    #[test]
    fn nvrtc_has_to_fit_between_kernels_and_driver() {
        assert!(checked((13, 0), Some((13, 0))).is_ok());
        assert!(checked((12, 9), Some((13, 0))).is_ok());
        assert!(checked((13, 0), None).is_ok());
        assert!(matches!(checked((12, 4), Some((13, 0))), Err(GpuError::OldNvrtc { .. })));
        let error = checked((13, 0), Some((12, 8))).unwrap_err();
        assert!(error.to_string().contains("up to CUDA 12.8"), "{error}");
    }
}
