//! NVML: the driver's version and free memory.

#![allow(unsafe_code)] // Calls into NVML; the types are those of nvml.h, CUDA 13.0.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use super::library::{LoadedLibrary, open, text};

const LIBRARIES: &[&str] =
    if cfg!(windows) { &["nvml.dll"] } else { &["libnvidia-ml.so.1", "libnvidia-ml.so"] };

/// NVML, NVIDIA's library for observing GPUs. It comes with the driver, but a container may lack it;
/// what it does not report stays unknown.
pub(super) struct Management(LoadedLibrary);

/// nvmlMemory_t
#[repr(C)]
#[derive(Default)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

impl Management {
    pub(super) fn open() -> Option<Self> {
        type Init = unsafe extern "C" fn() -> c_int;
        let names: Vec<String> = LIBRARIES.iter().map(|name| name.to_string()).collect();
        let library = open(&names)?;
        // SAFETY: takes nothing, and may be called any number of times.
        let code = unsafe { library.function::<Init>("nvmlInit_v2").ok()?() };
        (code == 0).then_some(Self(library))
    }

    /// The driver's version.
    pub(super) fn release(&self) -> Option<String> {
        type Version = unsafe extern "C" fn(*mut c_char, c_uint) -> c_int;
        let mut buffer = [0_u8; 96];
        // SAFETY: at most the given length is written.
        let code = unsafe {
            let function = self.0.function::<Version>("nvmlSystemGetDriverVersion").ok()?;
            function(buffer.as_mut_ptr().cast(), buffer.len() as c_uint)
        };
        (code == 0).then(|| text(&buffer))
    }

    /// Free memory of the GPU on a bus. The bus identifies it, because NVML counts GPUs in another order.
    pub(super) fn free_bytes(&self, bus: &str) -> Option<u64> {
        type Find = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
        type Ask = unsafe extern "C" fn(*mut c_void, *mut Memory) -> c_int;
        let (bus, mut device, mut memory) = (CString::new(bus).ok()?, null_mut(), Memory::default());
        // SAFETY: the handle is written by the first function before the second reads it, and that one
        // fills a struct of nvml.h's layout.
        let code = unsafe {
            let find = self.0.function::<Find>("nvmlDeviceGetHandleByPciBusId_v2").ok()?;
            let ask = self.0.function::<Ask>("nvmlDeviceGetMemoryInfo").ok()?;
            match find(bus.as_ptr(), &mut device) {
                0 => ask(device, &mut memory),
                code => code,
            }
        };
        (code == 0).then_some(memory.free)
    }
}
