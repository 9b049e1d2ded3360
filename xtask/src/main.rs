//! The glue. It chooses cargo features, builds the binary `temper` and hands arguments on; it
//! never links Burn, so that it is there in seconds.

mod bench;
mod cargo;
mod fixtures;
mod python;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// Fine-tune pretrained language models, test and check the workspace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fine-tune a model: cargo xtask finetune bert imdb [FLAGS]
    Finetune(Handed),
    /// Score a fine-tuned model on a split
    Evaluate(Handed),
    /// Label texts with a fine-tuned model
    Predict(Handed),
    /// Turn texts into vectors
    Embed(Handed),
    /// Write text with a language model
    Generate(Handed),
    /// Show a model's configuration and parameters
    Inspect(Handed),
    /// Add an adapter to its model's weights
    Merge(Handed),
    /// Take an adapter out of a merged model's weights
    Unmerge(Handed),
    /// Compare a model's outputs with a reference implementation's
    Verify(Handed),
    /// Bring models and datasets to this machine
    Fetch(Handed),
    /// Fine-tune under several strategies and seeds, beside simple baselines
    Compare(Handed),
    /// Find how few layers have to train
    SearchDepth(Handed),
    /// Foretell time, memory and disk of a run for several strategies
    Plan(Handed),
    /// List families and models with a short name
    Models(Handed),
    /// Run every test of the workspace
    Test {
        /// Handed on to cargo test
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check formatting and lints, then run every test
    Ci,
    /// Write the reference values of the tests anew, with transformers
    Fixtures(python::Environment),
    /// Measure Temper beside PyTorch and write docs/BENCHMARKS.md
    Bench(bench::BenchArgs),
}

/// Arguments for the binary `temper`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Handed {
    /// Handed on; --backend flex|ndarray|cuda also chooses what is built
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Where tensors live and compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    Flex,
    Ndarray,
    Cuda,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Finetune(handed) => cargo::temper("finetune", &handed.arguments),
        Command::Evaluate(handed) => cargo::temper("evaluate", &handed.arguments),
        Command::Predict(handed) => cargo::temper("predict", &handed.arguments),
        Command::Embed(handed) => cargo::temper("embed", &handed.arguments),
        Command::Generate(handed) => cargo::temper("generate", &handed.arguments),
        Command::Inspect(handed) => cargo::temper("inspect", &handed.arguments),
        Command::Merge(handed) => cargo::temper("merge", &handed.arguments),
        Command::Unmerge(handed) => cargo::temper("unmerge", &handed.arguments),
        Command::Verify(handed) => cargo::temper("verify", &handed.arguments),
        Command::Fetch(handed) => cargo::temper("fetch", &handed.arguments),
        Command::Compare(handed) => cargo::temper("compare", &handed.arguments),
        Command::SearchDepth(handed) => cargo::temper("search-depth", &handed.arguments),
        Command::Plan(handed) => cargo::temper("plan", &handed.arguments),
        Command::Models(handed) => cargo::temper("models", &handed.arguments),
        Command::Test { arguments } => cargo::test(&arguments),
        Command::Ci => cargo::ci(),
        Command::Fixtures(environment) => fixtures::write(&environment),
        Command::Bench(args) => bench::measure(&args),
    }
}
