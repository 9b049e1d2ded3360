//! Memory: what a process and its device use, and what is available.

use burn::tensor::Device;
use sysinfo::System;

use crate::device::backend::Backend;
use crate::device::nvidia;

/// Bytes available for a run, those included that it `holds`; nothing where that is unknown.
///
/// On a GPU: its free memory. On a CPU: memory that no process needs, within the limits of a container (cgroup) and of
/// the address space (`ulimit -v`).
pub fn available(backend: Backend, holds: u64) -> Option<u64> {
    match backend {
        Backend::Cuda(index) => {
            let driver = nvidia::driver().ok()?;
            let gpu = driver.gpus.get(index)?;
            Some(gpu.free_bytes.map_or(gpu.memory_bytes, |free| gpu.memory_bytes.min(free + holds)))
        }
        cpu if cpu.is_cpu() => Some(address_space().min(free_memory() + holds)),
        _ => None,
    }
}

/// Bytes of memory that no process needs, within the limit of a container.
pub fn free_memory() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let of_container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(of_container)
}

/// Bytes that the device's allocator holds, if it reports them: on a GPU.
pub fn of_device(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

/// Bytes held now: by the device's allocator, else by the process; only Linux reports the latter.
pub fn held(device: &Device) -> Option<u64> {
    of_device(device).or_else(|| status("VmRSS:"))
}

/// The most bytes held so far: a device's allocator gives little back while it is busy; for the process, see
/// [`peak_of_process`].
pub fn peak(device: &Device) -> Option<u64> {
    of_device(device).or_else(peak_of_process)
}

/// The largest resident size that this process has had; only Linux reports it.
pub fn peak_of_process() -> Option<u64> {
    status("VmHWM:")
}

/// The limit of the address space.
fn address_space() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
}

/// A line of /proc/self/status with a size.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_memory_and_there_is_some() {
        let now = status("VmRSS:").unwrap();
        // Linux counts both per processor and adds them up now and then: either may lag behind.
        assert!(now > 0 && 10 * peak_of_process().unwrap() >= 9 * now);
        assert!(available(Backend::Flex, now).unwrap() >= now);
    }
}
