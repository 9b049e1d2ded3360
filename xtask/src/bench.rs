//! `cargo xtask bench`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{binary, build, cargo, root, run, target_dir};
use crate::python::{Environment, scripts};

/// What is measured.
#[derive(clap::Args)]
pub struct BenchArgs {
    #[command(flatten)]
    environment: Environment,
    /// Cases, separated by commas; all of them if absent. An unknown one lists the known ones
    #[arg(long, value_name = "CASE,...")]
    only: Option<String>,
    /// How often all sides are timed, alternately
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Short samples and no whole fine-tuning; writes nothing
    #[arg(long)]
    quick: bool,
    /// Build candle too and time its forward pass
    #[arg(long)]
    candle: bool,
    /// A folder with the Hub's layout that contains IMDB
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
}

/// Measures Temper, PyTorch and other programs; writes the results and the page that shows them.
pub fn measure(args: &BenchArgs) -> Result<ExitCode> {
    let python = args.environment.bench_python()?;
    eprintln!("building temper and its benchmark (the first time takes minutes)");
    build(&["--package", "temper-train", "--package", "temper-bench", "--bins"], &[])?;
    let work = target_dir().join("bench");
    let mut bench = Command::new(python);
    bench.arg(scripts().join("bench.py"));
    bench.arg("--temper").arg(binary("temper"));
    bench.arg("--temper-bench").arg(binary("temper-bench"));
    bench.arg("--work").arg(&work).arg("--docs").arg(root().join("docs"));
    bench.arg("--pairs").arg(args.pairs.to_string());
    if let Some(cases) = &args.only {
        bench.arg("--only").arg(cases);
    }
    if let Some(mirror) = &args.mirror {
        bench.arg("--mirror").arg(mirror);
    }
    if args.quick {
        bench.arg("--quick");
    }
    if args.candle {
        let target = work.join("candle");
        // In candle's folder cargo finds the compiler flags that candle is meant to be built with.
        let mut candle = cargo();
        candle.current_dir(root().join("xtask/candle")).args(["build", "--release"]);
        run(candle.arg("--target-dir").arg(&target))?;
        bench.arg("--candle-bench").arg(target.join("release/candle-bench"));
    }
    run(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}
