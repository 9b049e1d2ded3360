//! Shared libraries that are opened at run time.

#![allow(unsafe_code)] // Functions of other people's libraries; each use says why it is sound.

use std::ffi::CStr;

use libloading::Library;

use super::GpuError;

/// A library that was found, and stays: what NVIDIA's libraries start is not ended by closing them.
pub(super) struct LoadedLibrary {
    library: &'static Library,
    /// The name or path that it was opened by.
    pub(super) name: String,
}

/// The first of the names and paths that can be loaded.
pub(super) fn open(names: &[String]) -> Option<LoadedLibrary> {
    names.iter().find_map(|name| {
        // SAFETY: runs the library's initialisers. The names are those of NVIDIA's libraries, found where
        // the system looks for libraries or below the toolkit that the user named.
        let library = unsafe { Library::new(name.as_str()) }.ok()?;
        Some(LoadedLibrary { library: Box::leak(Box::new(library)), name: name.clone() })
    })
}

impl LoadedLibrary {
    /// A function of the library.
    ///
    /// # Safety
    /// `F` has to be the type of the C function.
    ///
    /// # Errors
    /// [`GpuError::NotTheLibrary`] where there is none of that name.
    pub(super) unsafe fn function<F: Copy>(&self, name: &'static str) -> Result<F, GpuError> {
        // SAFETY: the caller's.
        let symbol = unsafe { self.library.get::<F>(name) };
        symbol
            .map(|symbol| *symbol)
            .map_err(|_| GpuError::NotTheLibrary { library: self.name.clone(), function: name })
    }
}

/// A C text in a buffer.
pub(super) fn text(buffer: &[u8]) -> String {
    let text = CStr::from_bytes_until_nul(buffer).unwrap_or_default();
    text.to_string_lossy().into_owned()
}
