//! The binary `temper`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use temper_train::commands::{
    EvaluateArgs, FetchArgs, FinetuneArgs, InspectArgs, PredictArgs, VerifyArgs, evaluate, fetch, finetune,
    inspect, predict, verify,
};

// glibc's allocator returns big blocks to the system and pays for them again as page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fine-tune pretrained language models in Rust
#[derive(Parser)]
#[command(name = "temper", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Finetune(Box<FinetuneArgs>),
    Evaluate(EvaluateArgs),
    Predict(PredictArgs),
    Inspect(InspectArgs),
    Verify(VerifyArgs),
    Fetch(FetchArgs),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TEMPER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Cli::parse().command {
        Command::Finetune(args) => finetune(&args),
        Command::Evaluate(args) => evaluate(&args),
        Command::Predict(args) => predict(&args),
        Command::Inspect(args) => inspect(&args),
        Command::Verify(args) => verify(&args),
        Command::Fetch(args) => fetch(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
