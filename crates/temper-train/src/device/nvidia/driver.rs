//! NVIDIA's driver and the GPUs that it shows.

#![allow(unsafe_code)] // Calls into the driver; the types are those of cuda.h, CUDA 13.0.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::null;

use serde::Serialize;

use super::library::{LoadedLibrary, open, text};
use super::{CudaVersion, GpuError, management};

/// Names of the driver's library, those that Burn tries, too (cudarc 0.19.10).
const LIBRARIES: &[&str] = if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so", "libcuda.so.1"] };
/// Attributes of a device in cuda.h.
const COMPUTE_CAPABILITY: [c_int; 2] = [75, 76];

/// NVIDIA's driver and the GPUs that it shows to this process.
#[derive(Clone, Debug, Serialize)]
pub struct Driver {
    /// The library.
    pub library: String,
    /// The newest CUDA whose code it loads.
    pub cuda: CudaVersion,
    /// The driver's own version, such as 580.65.06.
    pub release: Option<String>,
    /// In the order of their numbers.
    pub gpus: Vec<Gpu>,
}

/// One GPU.
#[derive(Clone, Debug, Serialize)]
pub struct Gpu {
    /// The number after `cuda:`; counts what CUDA_VISIBLE_DEVICES leaves.
    pub index: usize,
    /// The product's name.
    pub name: String,
    /// Major and minor number.
    pub compute_capability: [i32; 2],
    /// Memory in all, in bytes.
    pub memory_bytes: u64,
    /// Free memory in bytes.
    pub free_bytes: Option<u64>,
}

/// Asks the driver, which takes a moment.
///
/// # Errors
/// [`GpuError`] where there is no driver or it refuses to start.
pub fn driver() -> Result<Driver, GpuError> {
    let names: Vec<String> = LIBRARIES.iter().map(|name| name.to_string()).collect();
    let calls = Calls(open(&names).ok_or(GpuError::NoDriver { tried: names })?);
    calls.init()?;
    let count = calls.number("cuDeviceGetCount")?;
    let management = management::Management::open();
    let gpus = (0..count).map(|ordinal| calls.gpu(ordinal, management.as_ref()));
    Ok(Driver {
        gpus: gpus.collect::<Result<_, _>>()?,
        cuda: CudaVersion::from_number(calls.number("cuDriverGetVersion")?),
        release: management.as_ref().and_then(management::Management::release),
        library: calls.0.name,
    })
}

impl Driver {
    /// Whether there is a GPU of that number.
    ///
    /// # Errors
    /// [`GpuError::NoSuchGpu`] with those that there are.
    pub fn check(&self, index: usize) -> Result<(), GpuError> {
        if index < self.gpus.len() {
            return Ok(());
        }
        let gpus = self.gpus.iter().map(|gpu| format!("cuda:{} ({})", gpu.index, gpu.name)).collect();
        Err(GpuError::NoSuchGpu { index, gpus })
    }
}

/// The driver's functions.
struct Calls(LoadedLibrary);

impl Calls {
    fn init(&self) -> Result<(), GpuError> {
        type Init = unsafe extern "C" fn(c_uint) -> c_int;
        // SAFETY: 0 is what the function takes, and it may be called any number of times.
        let code = unsafe { self.0.function::<Init>("cuInit")?(0) };
        self.check("cuInit", code)
    }

    /// The result of a function without arguments.
    fn number(&self, call: &'static str) -> Result<c_int, GpuError> {
        type Number = unsafe extern "C" fn(*mut c_int) -> c_int;
        let mut number = 0;
        // SAFETY: both functions that this is used for write one number.
        let code = unsafe { self.0.function::<Number>(call)?(&mut number) };
        self.check(call, code).map(|()| number)
    }

    fn gpu(&self, ordinal: c_int, management: Option<&management::Management>) -> Result<Gpu, GpuError> {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
        let (mut device, mut bytes) = (0, 0);
        // SAFETY: writes one handle.
        let code = unsafe { self.0.function::<Get>("cuDeviceGet")?(&mut device, ordinal) };
        self.check("cuDeviceGet", code)?;
        // SAFETY: `device` is a handle of the driver's; writes one size.
        let code = unsafe { self.0.function::<Memory>("cuDeviceTotalMem_v2")?(&mut bytes, device) };
        self.check("cuDeviceTotalMem_v2", code)?;
        let [major, minor] = COMPUTE_CAPABILITY.map(|attribute| self.attribute(attribute, device));
        let bus = self.text("cuDeviceGetPCIBusId", device).ok();
        Ok(Gpu {
            index: usize::try_from(ordinal).unwrap_or_default(),
            name: self.text("cuDeviceGetName", device)?,
            compute_capability: [major?, minor?],
            memory_bytes: bytes as u64,
            free_bytes: management.zip(bus).and_then(|(management, bus)| management.free_bytes(&bus)),
        })
    }

    fn attribute(&self, attribute: c_int, device: c_int) -> Result<c_int, GpuError> {
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        const CALL: &str = "cuDeviceGetAttribute";
        let mut value = 0;
        // SAFETY: `device` is a handle of the driver's; writes one number.
        let code = unsafe { self.0.function::<Attribute>(CALL)?(&mut value, attribute, device) };
        self.check(CALL, code).map(|()| value)
    }

    /// A text about a device.
    fn text(&self, call: &'static str, device: c_int) -> Result<String, GpuError> {
        type Text = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        let mut buffer = [0_u8; 256];
        // SAFETY: `device` is a handle of the driver's; at most the given length is written.
        let code = unsafe {
            self.0.function::<Text>(call)?(buffer.as_mut_ptr().cast(), buffer.len() as c_int, device)
        };
        self.check(call, code).map(|()| text(&buffer))
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), GpuError> {
        match code {
            0 => Ok(()),
            code => Err(GpuError::Refused { call, code, name: self.name(code) }),
        }
    }

    fn name(&self, code: c_int) -> String {
        type Name = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;
        let mut name = null();
        // SAFETY: writes the address of a constant text, or leaves or nulls it for an unknown code.
        unsafe {
            if let Ok(function) = self.0.function::<Name>("cuGetErrorName") {
                function(code, &mut name);
            }
            if name.is_null() { "an error".into() } else { CStr::from_ptr(name).to_string_lossy().into() }
        }
    }
}
