//! What all GPUs have in common: CubeCL.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Makes CubeCL keep what it compiled and tuned in the user's cache folder rather than in the target folder
/// of whatever project lies around, unless a cubecl.toml names another place.
pub(crate) fn keep_kernels_between_runs() {
    use cubecl::config::cache::CacheConfig;

    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    if matches!(config.environment.path, CacheConfig::Target) {
        config.environment.path = CacheConfig::Global;
    }
    // Set already: it is a second device of the same run.
    let _ = CubeClRuntimeConfig::try_set(config);
}

/// Computes exp(1), and says what is wrong instead of panicking.
pub(crate) fn first_kernel(device: &Device) -> Result<(), String> {
    let heard = Arc::new(Mutex::new(None));
    let hook = panic::take_hook();
    panic::set_hook(Box::new({
        let heard = heard.clone();
        move |panic| {
            let words = panic.payload_as_str().unwrap_or("Burn panicked").to_owned();
            // The first says why, the others follow from it.
            heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
        }
    }));
    let values = panic::catch_unwind(AssertUnwindSafe(|| {
        let ones = Tensor::<1>::ones([4], device);
        ones.exp().into_data().iter::<f32>().collect::<Vec<_>>()
    }));
    panic::set_hook(hook);
    match values {
        Ok(values) if values.iter().all(|value| (value - 1_f32.exp()).abs() < 1e-5) => Ok(()),
        Ok(values) => Err(format!("exp(1) is {values:?} there")),
        Err(_) => Err(heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or_else(|| "Burn panicked".into())),
    }
}
