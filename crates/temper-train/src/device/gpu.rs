//! What all GPUs have in common: CubeCL.

use burn::tensor::{Device, Tensor};
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

use crate::device::panics::{Refusal, caught};

/// Makes CubeCL keep what it compiled in the user's cache folder rather than in the target folder of whatever project
/// is around, and gradients and moments with the parameters, whose sizes they have, unless a cubecl.toml says otherwise.
pub(crate) fn configure_cubecl() {
    use cubecl::config::cache::CacheConfig;
    use cubecl::config::memory::PersistentMemory;

    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    if matches!(config.environment.path, CacheConfig::Target) {
        config.environment.path = CacheConfig::Global;
    }
    if matches!(config.memory.persistent_memory, PersistentMemory::Enabled) {
        config.memory.persistent_memory = PersistentMemory::SizeMatch;
    }
    // Set already: it is a second device of the same run.
    let _ = CubeClRuntimeConfig::try_set(config);
}

/// Makes the CPU Burn's default device. There it loads what an optimiser has saved, and moves it to the device of
/// the parameters in the next step; the first GPU, its own default, may not be there when a run continues on a CPU.
#[allow(unsafe_code)]
pub(crate) fn load_states_on_the_cpu() {
    // SAFETY: the process has one thread yet; nothing else reads or writes its environment.
    unsafe { std::env::set_var("BURN_DEVICE", "flex") };
}

/// Computes exp(1), and says what is wrong instead of panicking.
pub(crate) fn first_kernel(device: &Device) -> Result<(), String> {
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
