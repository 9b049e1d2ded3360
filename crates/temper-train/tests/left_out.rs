//! Tests that this build or this system does not have are named, not skipped silently.

#[path = "../../temper-data/tests/common/outside.rs"]
mod outside;

use outside::skipped;

#[test]
fn tests_of_another_build_are_named() {
    if cfg!(not(feature = "gpu")) {
        skipped("tests/gpu.rs needs a build with --features wgpu or --features cuda, and a device");
    }
    if cfg!(not(feature = "cuda")) {
        skipped("a part of tests/nvidia.rs and tests/doctor.rs needs a build with --features cuda");
    }
    if cfg!(not(feature = "mpi")) {
        skipped("tests/ranks.rs needs a build with --features mpi, and mpirun");
    }
    if cfg!(not(target_os = "linux")) {
        skipped("tests/nvidia.rs and tests/out_of_memory.rs need Linux");
    }
    if cfg!(not(unix)) {
        skipped("signals in tests/compare.rs and temper-hub's tests/package.rs need Unix");
    }
}
