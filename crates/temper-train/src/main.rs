//! The binary `temper`.

use std::process::ExitCode;

use temper_train::allocator::{Allocator, keep_freed_memory};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    keep_freed_memory();
    temper_train::cli::run(std::env::args_os(), &[])
}
