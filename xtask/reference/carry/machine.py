"""What the machine has: CUDA's files, the GPU, versions."""

import glob
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# What Temper's kernels include (crates/temper-train/src/nvidia/toolkit.rs).
HEADERS = ["cuda_fp16.h", "mma.h", "crt/mma.h", "nv/target"]
NVRTC = "libnvrtc.so.1[23]*"


def compilers() -> list[Path]:
    """Return every nvcc there is, the one on the path first."""
    found = [shutil.which("nvcc"), *sorted(glob.glob("/usr/local/cuda*/bin/nvcc"), reverse=True)]
    return [Path(path).resolve() for path in found if path]


def roots() -> list[Path]:
    """Return folders with CUDA's files: CUDA_PATH, nvcc's, those of python's packages."""
    named = [Path(path) for path in [os.environ.get("CUDA_PATH")] if path]
    toolkits = [compiler.parent.parent for compiler in compilers()]
    packages = [Path(path) / "nvidia" for path in sys.path if (Path(path) / "nvidia").is_dir()]
    inner = [folder for package in packages for folder in sorted(package.iterdir(), reverse=True)]
    found = [*named, *toolkits, *(folder for folder in inner if folder.is_dir())]
    return list(dict.fromkeys(found))


def includes(root: Path) -> list[Path]:
    """Return a root's folders of headers; CUDA 13 keeps those of nv/ apart."""
    folders = [root / "include", root / "include/cccl", root / "targets/x86_64-linux/include"]
    return [folder for folder in folders if folder.is_dir()]


def libraries(root: Path) -> Path | None:
    """Return a root's folder with NVRTC."""
    folders = [root / "lib64", root / "lib", root / "targets/x86_64-linux/lib"]
    return next((folder for folder in folders if list(folder.glob(NVRTC))), None)


def toolkit(folder: Path) -> dict[str, str]:
    """Join what is there to one toolkit in the folder; return the variables that name it.

    A toolkit may lack NVRTC and a package's headers may lack parts, so that both are taken from
    wherever they are, the first place first.
    """
    include, found = folder / "include", roots()
    include.mkdir(parents=True, exist_ok=True)
    for root in found:
        for source in includes(root):
            for entry in sorted(source.iterdir()):
                link = include / entry.name
                if not link.exists():
                    link.symlink_to(entry)
    library = next(filter(None, map(libraries, found)), None)
    print(f"CUDA's files: {', '.join(map(str, found)) or 'none'}")
    missing = [name for name in HEADERS if not (include / name).exists()]
    print(f"headers: {'all' if not missing else 'without ' + ', '.join(missing)}; NVRTC: {library}")
    if library is None:
        return {"CUDA_PATH": str(folder)}
    (folder / "lib64").symlink_to(library)
    searched = [str(library), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"CUDA_PATH": str(folder), "LD_LIBRARY_PATH": ":".join(filter(None, searched))}


def smi(field: str) -> list[str]:
    """Return what nvidia-smi says of each GPU; nothing without it."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.split("\n")[:-1] if answer.returncode == 0 else []


def package(name: str) -> str:
    """Return the version of a Python package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not there"


def describe() -> dict[str, Any]:
    """Describe what everything runs on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "gpus": smi("name"),
        "driver": next(iter(smi("driver_version")), "none"),
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "versions": {name: package(name) for name in ("torch", "transformers", "triton")},
    }
