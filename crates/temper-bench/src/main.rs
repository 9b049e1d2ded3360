//! Temper's side of the benchmark: does a job as often as xtask/reference/bench_worker.py asks.

mod batches;
mod forward;
mod generate;
mod gradients;
mod job;
mod memory;
#[cfg(feature = "cuda")]
mod products;
mod text;
mod train;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};
use temper_train::allocator::{Allocator, keep_freed_memory};

use crate::forward::Forward;
use crate::generate::Generate;
use crate::gradients::Gradients;
use crate::job::{Job, TaskName};
#[cfg(feature = "cuda")]
use crate::products::Products;
use crate::text::{Predict, Tokenize};
use crate::train::Train;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Temper's side of the benchmark; `cargo xtask bench` runs it. With the word temper first it is temper itself
#[derive(Parser)]
struct Cli {
    /// JSON file that bench.py wrote
    job: PathBuf,
}

/// Something that can be timed.
trait Task: Sized {
    /// What it computes, for comparison with the other sides.
    fn check(&self) -> Result<Value>;

    /// Does it once. Takes the task itself, as an optimiser takes its model.
    fn run(self) -> Result<Self>;

    /// Waits for what a device computes behind the program's back; its time counts.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// What the device's allocator holds ([`memory::of`]).
    fn memory(&self) -> Value {
        Value::Null
    }
}

fn main() -> Result<ExitCode> {
    keep_freed_memory();
    // A measurement pack has only this program: a second one, temper, would be nearly the same.
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|word| word == "temper") {
        return Ok(temper_train::cli::run(arguments, &[]));
    }
    let path = Cli::parse().job;
    let text = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let job: Job =
        serde_json::from_slice(&text).with_context(|| format!("{} is not a job", path.display()))?;
    match job.task {
        TaskName::Forward => serve(Forward::new(&job)?),
        TaskName::Train => serve(Train::new(&job)?),
        TaskName::Gradients => serve(Gradients::new(job)?),
        #[cfg(feature = "cuda")]
        TaskName::Products => serve(Products::new(job)?),
        TaskName::Tokenize => serve(Tokenize::new(job)?),
        TaskName::Predict => serve(Predict::new(job)?),
        TaskName::Generate => serve(Generate::new(job)?),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Answers each line on stdin with a line on stdout.
fn serve<T: Task>(mut task: T) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match request["repeat"].as_u64() {
            Some(repeat) => {
                let started = Instant::now();
                for _ in 0..repeat {
                    task = task.run()?;
                }
                task.finish()?;
                json!({ "seconds": started.elapsed().as_secs_f64() })
            }
            None if request["memory"] == true => task.memory(),
            None => task.check()?,
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
