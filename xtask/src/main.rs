//! `cargo xtask`: chooses cargo features, builds the binary `temper` and passes arguments on. It
//! never links Burn, so it builds in seconds.

mod bench;
mod book;
mod cargo;
mod carry;
mod ci;
mod emulate;
mod features;
mod figures;
mod fixtures;
mod fuzz;
mod kernel_tests;
mod package;
mod python;
mod release;
#[cfg(target_os = "linux")]
mod torture;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};

/// Fine-tune pretrained language models, test and check the workspace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    /// Build for --backend cuda without internet: kernels compiled by NVRTC, no LLVM (docs/CUDA.md)
    #[arg(long)]
    cuda_offline: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fine-tune a model: cargo xtask finetune bert imdb FLAGS
    Finetune(Handed),
    /// Score a fine-tuned model on a split
    Evaluate(Handed),
    /// Label texts with a fine-tuned model
    Predict(Handed),
    /// Compute steps of a run again and compare hashes
    Replay(Handed),
    /// Turn texts into vectors
    Embed(Handed),
    /// Write text with a language model
    Generate(Handed),
    /// Show a model's configuration and parameters
    Inspect(Handed),
    /// Draw a figure of a model or of runs
    Figure(Handed),
    /// Add an adapter to its model's weights
    Merge(Handed),
    /// Take an adapter out of a merged model's weights
    Unmerge(Handed),
    /// Compare a model's outputs with a reference implementation's
    Verify(Handed),
    /// Download models and datasets
    Fetch(Handed),
    /// Write a model as a plain folder
    Convert(Handed),
    /// Fine-tune under several strategies and seeds, and compare with simple baselines
    Compare(Handed),
    /// Find how few layers have to train
    SearchDepth(Handed),
    /// Estimate time, memory and disk of a run for several strategies
    Plan(Handed),
    /// List families and models with a short name
    Models(Handed),
    /// List datasets with a name
    Datasets(Handed),
    /// List runs, show one, compare two, or remove the checkpoints of finished ones
    Runs(Handed),
    /// Show what the caches hold, or remove what has not been used for long
    Cache(Handed),
    /// Check a dataset for problems, or show what this machine has: cargo xtask doctor imdb, or --machine
    Doctor(Handed),
    /// Run every test of the workspace
    Test {
        /// Passed to cargo test
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check formatting, lints, dependencies, documentation, tests and the builds for GPUs
    Ci,
    /// Package the crates as a registry gets them, and compile the packages
    Package,
    /// Read mutated files for longer than the tests do: cargo xtask fuzz csv parquet --minutes 10
    Fuzz(fuzz::FuzzArgs),
    /// Build the book in both languages, in target/book, and check its links
    Book,
    /// Train the runs of the book's figures and draw the figures again (some minutes)
    Figures(figures::FiguresArgs),
    /// Write the reference values of the tests again, with transformers
    Fixtures(python::Environment),
    /// Measure Temper and PyTorch and write docs/BENCHMARKS.md
    Bench(bench::BenchArgs),
    /// Kill runs, fail their system calls and cut their power; count what is lost (needs strace)
    #[cfg(target_os = "linux")]
    Torture(torture::TortureArgs),
    /// Build the program for a target and pack it with completions, pages for man and a checksum
    Release(release::ReleaseArgs),
    /// Pack a measurement of Temper and PyTorch for a machine with a GPU and without internet
    Carry(carry::CarryArgs),
    /// Run the kernels' tests, or a program built for NVIDIA GPUs, without a GPU: on the CPU, slowly
    EmulateCuda(emulate::EmulateArgs),
}

/// Arguments for the binary `temper`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Handed {
    /// Passed to temper; --backend flex, ndarray, cuda, cuda:N or wgpu also chooses what is built
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Where tensors live and compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    Flex,
    Ndarray,
    Cuda,
    Wgpu,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(Cli { cuda_offline, command }: Cli) -> Result<ExitCode> {
    let builds = !matches!(
        command,
        Command::Test { .. }
            | Command::Ci
            | Command::Fuzz(_)
            | Command::Book
            | Command::Figures(_)
            | Command::Fixtures(_)
            | Command::Bench(_)
            | Command::Release(_)
    );
    if cuda_offline && !builds {
        bail!("--cuda-offline says how to build for --backend cuda, which this command does not");
    }
    let temper = |command: &str, handed: Handed| cargo::temper(command, &handed.arguments, cuda_offline);
    match command {
        Command::Finetune(handed) => temper("finetune", handed),
        Command::Evaluate(handed) => temper("evaluate", handed),
        Command::Predict(handed) => temper("predict", handed),
        Command::Replay(handed) => temper("replay", handed),
        Command::Embed(handed) => temper("embed", handed),
        Command::Generate(handed) => temper("generate", handed),
        Command::Inspect(handed) => temper("inspect", handed),
        Command::Figure(handed) => temper("figure", handed),
        Command::Merge(handed) => temper("merge", handed),
        Command::Unmerge(handed) => temper("unmerge", handed),
        Command::Verify(handed) => temper("verify", handed),
        Command::Fetch(handed) => temper("fetch", handed),
        Command::Convert(handed) => temper("convert", handed),
        Command::Compare(handed) => temper("compare", handed),
        Command::SearchDepth(handed) => temper("search-depth", handed),
        Command::Plan(handed) => temper("plan", handed),
        Command::Models(handed) => temper("models", handed),
        Command::Datasets(handed) => temper("datasets", handed),
        Command::Runs(handed) => temper("runs", handed),
        Command::Cache(handed) => temper("cache", handed),
        Command::Doctor(handed) => temper("doctor", handed),
        Command::Test { arguments } => cargo::test(&arguments),
        Command::Ci => ci::check(),
        Command::Package => package::check().map(|()| ExitCode::SUCCESS),
        Command::Fuzz(args) => fuzz::fuzz(&args),
        Command::Book => book::build().map(|()| ExitCode::SUCCESS),
        Command::Figures(args) => figures::draw(&args),
        Command::Fixtures(environment) => fixtures::write(&environment),
        Command::Bench(args) => bench::measure(&args),
        #[cfg(target_os = "linux")]
        Command::Torture(args) => torture::torture(&args),
        Command::Release(args) => release::release(&args),
        Command::Carry(args) => carry::pack(&args, cuda_offline),
        Command::EmulateCuda(args) => emulate::emulate(&args),
    }
}
