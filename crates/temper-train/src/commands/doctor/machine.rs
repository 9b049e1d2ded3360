//! `temper doctor --machine`.

use std::path::PathBuf;

use bytesize::ByteSize;
use serde::Serialize;
use sysinfo::{CpuRefreshKind, System};

use super::ranks::RankReport;
use crate::TrainError;
use crate::device::backend::Backend;
use crate::device::memory::free_memory;
use crate::device::nvidia::{self, Driver, Gpu, GpuError, KernelCompiler, Nvrtc};
use crate::ranks::Ranks;
use crate::terminal::{print, say};

/// Says what this machine has, and what ranks there are; with a backend, computes on it. Rank 0 writes.
///
/// # Errors
/// [`TrainError::File`] where stdout cannot be written; what a run on the backend would end with.
pub(super) fn examine_machine(backend: Option<Backend>, json: bool, ranks: &Ranks) -> Result<(), TrainError> {
    let ranks_found = RankReport::measure(ranks);
    let machine = Machine { ranks: ranks_found, ..Machine::examine() };
    if !ranks.is_first() {
        // Rank 0 has what it says of this one.
    } else if json {
        let value = serde_json::to_value(&machine).map_err(|error| TrainError::file("stdout", error))?;
        print(&format!("{value}\n"))?;
    } else {
        print(&machine.text())?;
    }
    if let Some(backend) = backend {
        let device = backend.device()?;
        let sum = burn::tensor::Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        say(&format!("{backend}: 1 + 1 + 1 + 1 = {sum}"));
    }
    Ok(())
}

/// What a machine has.
#[derive(Serialize)]
struct Machine {
    cpu: Cpu,
    memory: MachineMemory,
    nvidia: Nvidia,
    backends: Vec<Condition>,
    /// Those of an MPI launcher.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    ranks: Option<RankReport>,
}

#[derive(Serialize)]
struct Cpu {
    name: String,
    architecture: &'static str,
    /// Logical processors of the machine.
    logical: usize,
    /// Threads that compute.
    threads: usize,
    /// Vector instructions that the operations use.
    vector_instructions: &'static str,
}

#[derive(Serialize)]
struct MachineMemory {
    bytes: u64,
    /// Within the limit of a container.
    free_bytes: u64,
}

/// What a GPU needs.
#[derive(Serialize)]
struct Nvidia {
    driver: Presence<Driver>,
    nvrtc: Presence<Nvrtc>,
    headers: Presence<PathBuf>,
    libdevice: Presence<PathBuf>,
}

/// Something that is there, or why it is not.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Presence<T> {
    Found(T),
    Missing(String),
}

impl<T> From<Result<T, GpuError>> for Presence<T> {
    fn from(found: Result<T, GpuError>) -> Self {
        found.map_or_else(|error| Self::Missing(error.to_string()), Self::Found)
    }
}

/// A backend, in this binary on this machine.
#[derive(Serialize)]
struct Condition {
    backend: &'static str,
    compiled: bool,
    /// Taken where no --backend is given.
    default: bool,
    /// What would compute.
    uses: String,
    /// What is missing for that, and how to get it.
    missing: Vec<String>,
}

impl Machine {
    fn examine() -> Self {
        let mut system = System::new();
        system.refresh_memory();
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        let cpu = Cpu {
            name: system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
            architecture: std::env::consts::ARCH,
            logical: system.cpus().len(),
            threads: rayon::current_num_threads(),
            vector_instructions: temper_kernels::cpu::vector_instructions(),
        };
        Self {
            ranks: None,
            backends: Backend::ALL.map(|backend| condition(backend, &cpu)).into(),
            cpu,
            memory: MachineMemory { bytes: system.total_memory(), free_bytes: free_memory() },
            nvidia: Nvidia {
                driver: nvidia::driver().into(),
                nvrtc: nvidia::nvrtc().into(),
                headers: nvidia::headers().into(),
                libdevice: nvidia::libdevice().into(),
            },
        }
    }

    fn text(&self) -> String {
        let Self { cpu, memory, nvidia, backends, ranks } = self;
        let mut lines = vec![
            "Machine".into(),
            line("processor", &format!("{} ({}), {} logical", cpu.name, cpu.architecture, cpu.logical)),
            line("memory", &format!("{}, {} free", size(memory.bytes), size(memory.free_bytes))),
            "NVIDIA".into(),
        ];
        lines.extend(nvidia.lines());
        lines.push("Backends".into());
        lines.extend(backends.iter().flat_map(Condition::lines));
        if let Some(ranks) = ranks {
            lines.push("Ranks".into());
            lines.extend(ranks.lines(line));
        }
        lines.join("\n") + "\n"
    }
}

impl Nvidia {
    fn lines(&self) -> Vec<String> {
        let mut lines = match &self.driver {
            Presence::Missing(reason) => vec![line("driver", reason)],
            Presence::Found(driver) => {
                let release = driver.release.as_deref().unwrap_or("version unknown");
                let text = format!("{release}, up to CUDA {} ({})", driver.cuda, driver.library);
                [line("driver", &text)].into_iter().chain(driver.gpus.iter().map(gpu)).collect()
            }
        };
        let nvrtc = |nvrtc: &Nvrtc| format!("{} ({})", nvrtc.version, nvrtc.library);
        let path = |path: &PathBuf| path.display().to_string();
        lines.push(part("NVRTC", &self.nvrtc, nvrtc));
        lines.push(part("headers", &self.headers, path));
        lines.push(part("libdevice", &self.libdevice, path));
        lines
    }
}

impl Condition {
    fn lines(&self) -> Vec<String> {
        let state = match (self.compiled, self.missing.is_empty()) {
            (true, true) if self.default => "ready, and the default without --backend",
            (true, true) => "ready",
            (true, false) => "in this binary, but cannot be used",
            (false, _) => "not in this binary",
        };
        let first = line(self.backend, &format!("{state}; {}", self.uses));
        let missing = self.missing.iter().map(|missing| line("", &format!("- {missing}")));
        [first].into_iter().chain(missing).collect()
    }
}

/// A backend: what it needs and this machine lacks, and what it would compute with.
fn condition(backend: Backend, cpu: &Cpu) -> Condition {
    let compiled = backend.is_compiled();
    let uses = match (backend, Backend::KERNEL_COMPILER) {
        (Backend::Flex | Backend::Ndarray, _) => {
            format!("the CPU: {} threads, {}", cpu.threads, cpu.vector_instructions)
        }
        (Backend::Wgpu, _) => "any GPU, through Vulkan, Metal or DirectX 12".into(),
        (_, KernelCompiler::Llvm) => "an NVIDIA GPU; LLVM in the binary compiles its kernels".into(),
        (_, KernelCompiler::Nvrtc) => "an NVIDIA GPU; NVRTC compiles its kernels".into(),
    };
    let missing = match backend {
        _ if !compiled => vec![backend.how_to_build()],
        Backend::Flex | Backend::Ndarray => Vec::new(),
        Backend::Wgpu => backend.device().err().iter().map(TrainError::to_string).collect(),
        Backend::Cuda(_) => {
            nvidia::missing(0, Backend::KERNEL_COMPILER).iter().map(GpuError::to_string).collect()
        }
    };
    Condition {
        backend: backend.kind(),
        compiled,
        default: Backend::default_compiled() == Some(backend),
        uses,
        missing,
    }
}

fn gpu(gpu: &Gpu) -> String {
    let Gpu { index, name, compute_capability: [major, minor], memory_bytes, free_bytes } = gpu;
    let free = free_bytes.map(|bytes| format!(", {} free", size(bytes))).unwrap_or_default();
    let text = format!("{name}, {}{free}, compute capability {major}.{minor}", size(*memory_bytes));
    line(&format!("cuda:{index}"), &text)
}

fn part<T>(name: &str, part: &Presence<T>, text: impl Fn(&T) -> String) -> String {
    match part {
        Presence::Found(found) => line(name, &text(found)),
        Presence::Missing(reason) => line(name, reason),
    }
}

fn line(name: &str, text: &str) -> String {
    format!("  {name:<11} {text}")
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::nvidia::CudaVersion;

    fn nvidia() -> Nvidia {
        let gpu = |index| Gpu {
            index,
            name: "NVIDIA H100 80GB HBM3".into(),
            compute_capability: [9, 0],
            memory_bytes: 80 << 30,
            free_bytes: (index == 0).then_some(79 << 30),
        };
        let driver = Driver {
            library: "libcuda.so.1".into(),
            cuda: CudaVersion::from_number(13000),
            release: Some("580.65.06".into()),
            gpus: vec![gpu(0), gpu(1)],
        };
        Nvidia {
            driver: Presence::Found(driver),
            nvrtc: Presence::Missing("NVRTC is missing".into()),
            headers: Presence::Found("/usr/local/cuda/include".into()),
            libdevice: Presence::Missing("none".into()),
        }
    }

    #[test]
    fn every_gpu_has_a_line_of_its_own() {
        let lines = nvidia().lines();
        assert_eq!(lines.len(), 6, "{lines:#?}");
        assert!(lines[0].contains("580.65.06, up to CUDA 13.0 (libcuda.so.1)"), "{}", lines[0]);
        assert!(lines[1].contains("cuda:0") && lines[1].contains("80.0 GiB, 79.0 GiB free"), "{}", lines[1]);
        assert!(lines[2].contains("cuda:1") && !lines[2].contains("free"), "{}", lines[2]);
        assert!(lines[3].contains("NVRTC is missing"), "{}", lines[3]);
    }

    #[test]
    fn json_says_found_or_missing() {
        let value = serde_json::to_value(nvidia()).unwrap();
        assert_eq!(value["driver"]["found"]["cuda"], "13.0");
        assert_eq!(value["driver"]["found"]["gpus"][1]["free_bytes"], serde_json::Value::Null);
        assert_eq!(value["nvrtc"]["missing"], "NVRTC is missing");
        assert_eq!(value["headers"]["found"], "/usr/local/cuda/include");
    }
}
