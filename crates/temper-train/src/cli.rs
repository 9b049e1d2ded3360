//! The command line of `temper`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::LazyLock;

use crate::commands::{
    CacheArgs, CompareArgs, ConvertArgs, DatasetsArgs, DoctorArgs, EmbedArgs, EvaluateArgs, FetchArgs,
    FigureArgs, FinetuneArgs, GenerateArgs, InspectArgs, ManualArgs, MergeArgs, ModelsArgs, PlanArgs,
    PredictArgs, QuantizeArgs, ReplayArgs, RunsArgs, SearchDepthArgs, UnmergeArgs, VerifyArgs, cache,
    compare_strategies, convert, datasets, doctor, embed, evaluate, fetch, figure, finetune, generate,
    inspect, manual, merge, models, plan, predict, quantize, replay, runs, search_depth, unmerge, verify,
};
use crate::headings::DEVICE;
use crate::ranks::Ranks;
use crate::settings::check_environment;
use crate::terminal::{print, say};
use crate::{TrainError, guarded};
use clap::{CommandFactory, Parser, Subcommand};
use temper_models::{RegisteredFamily, register_families};

/// Shown under `temper finetune --help`.
const EXAMPLES: &str = "\
Examples:
  temper finetune bert imdb                              movie reviews, positive or negative
  temper finetune bert imdb --preset full --strategy lora
  temper finetune bert reviews.csv --text-column review --label-column stars
  temper finetune --from runs/bert-imdb tweet-sentiment  the same model, a new head
  temper finetune --resume runs/bert-imdb                continue where Ctrl-C stopped

temper datasets and temper models list the known names. A setting is a flag, a key of --config FILE, or an
environment variable TEMPER_NAME.";

/// Fine-tune pretrained language models in Rust
#[derive(Parser)]
#[command(name = "temper", version, long_version = LONG_VERSION.as_str(), args_override_self = true)]
struct Cli {
    /// Number of threads (default: one per core; the ranks of a machine share its cores)
    #[arg(long, global = true, value_name = "N", help_heading = DEVICE)]
    threads: Option<NonZeroUsize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = EXAMPLES)]
    Finetune(Box<FinetuneArgs>),
    Compare(Box<CompareArgs>),
    SearchDepth(Box<SearchDepthArgs>),
    Evaluate(EvaluateArgs),
    Plan(Box<PlanArgs>),
    Predict(PredictArgs),
    Replay(ReplayArgs),
    Embed(EmbedArgs),
    Generate(Box<GenerateArgs>),
    Inspect(InspectArgs),
    Merge(MergeArgs),
    Quantize(QuantizeArgs),
    Unmerge(UnmergeArgs),
    Figure(FigureArgs),
    Verify(VerifyArgs),
    Convert(ConvertArgs),
    Fetch(FetchArgs),
    Models(ModelsArgs),
    Datasets(DatasetsArgs),
    Runs(RunsArgs),
    Cache(CacheArgs),
    Doctor(DoctorArgs),
    /// Print a script that completes commands and flags: temper completions bash > FILE
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// For packages of the program.
    #[command(hide = true)]
    Manual(ManualArgs),
}

/// What `--version` prints.
static LONG_VERSION: LazyLock<String> = LazyLock::new(long_version);

/// Version, commit, features and processor: what decides numbers and speed.
fn long_version() -> String {
    let backends: Vec<&str> = [
        (cfg!(feature = "flex"), "flex"),
        (cfg!(feature = "ndarray"), "ndarray"),
        (cfg!(feature = "wgpu"), "wgpu"),
        (cfg!(any(feature = "cuda", feature = "cuda-nvrtc")), "cuda"),
    ]
    .into_iter()
    .filter_map(|(is_built_in, name)| is_built_in.then_some(name))
    .collect();
    format!(
        "{}\ncommit: {}\nBurn {}\nbackends: {}\ndownloads: {}\nMPI: {}\nprocessor: {} with {}",
        env!("CARGO_PKG_VERSION"),
        option_env!("TEMPER_COMMIT").unwrap_or("not recorded (built in a checkout)"),
        crate::BURN_VERSION,
        backends.join(", "),
        if cfg!(feature = "online") {
            "from the Hugging Face Hub"
        } else {
            "none (built without the feature online)"
        },
        crate::ranks::library(),
        std::env::consts::ARCH,
        temper_kernels::cpu::vector_instructions()
    )
}

fn print_completions(shell: clap_complete::Shell) -> Result<(), TrainError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "temper", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Runs the command that the arguments name, the program's own name first; says what is wrong on stderr.
///
/// `families` are those that the program knows besides Temper's own: a `main` of one's own passes its families, and every
/// command knows them (`examples/new_family.rs`).
pub fn run(arguments: impl Iterator<Item = OsString>, families: &[RegisteredFamily]) -> ExitCode {
    // First of all: it changes the environment.
    #[cfg(feature = "gpu")]
    crate::device::gpu::load_states_on_the_cpu();
    // What CubeCL warns of, a GPU that refuses, comes as an error, too.
    let filter = tracing_subscriber::EnvFilter::try_from_env("TEMPER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,cubecl_common=off,hf_hub=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Where the log cannot be written, there is nowhere to say so.
    log.log_internal_errors(false).init();
    let cli = Cli::parse_from(arguments);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let prepared = check_environment(names)
        .and_then(|()| Ok(register_families(families)?))
        .and_then(|()| ranks_of(&cli));
    let ranks = match prepared {
        Ok(ranks) => ranks,
        Err(error) => {
            say(&format!("error: {error}"));
            return ExitCode::from(error.exit_code());
        }
    };
    let result = guarded(|| match cli.command {
        Command::Finetune(args) => finetune(&args, &ranks),
        Command::Compare(args) => compare_strategies(&args),
        Command::SearchDepth(args) => search_depth(&args),
        Command::Evaluate(args) => evaluate(&args),
        Command::Plan(args) => plan(&args),
        Command::Predict(args) => predict(&args),
        Command::Replay(args) => replay(&args),
        Command::Embed(args) => embed(&args),
        Command::Generate(args) => generate(&args),
        Command::Inspect(args) => inspect(&args),
        Command::Merge(args) => merge(&args),
        Command::Quantize(args) => quantize(&args),
        Command::Unmerge(args) => unmerge(&args),
        Command::Figure(args) => figure(&args),
        Command::Verify(args) => verify(&args),
        Command::Convert(args) => convert(&args),
        Command::Fetch(args) => fetch(&args),
        Command::Models(args) => models(&args),
        Command::Datasets(args) => datasets(&args),
        Command::Runs(args) => runs(&args),
        Command::Cache(args) => cache(&args),
        Command::Doctor(args) => doctor(&args, &ranks),
        Command::Completions { shell } => print_completions(shell),
        Command::Manual(args) => manual(&args, Cli::command()),
    });
    end(result, &ranks)
}

/// Ends the process, and the other ranks' where this one failed alone.
fn end(result: Result<(), TrainError>, ranks: &Ranks) -> ExitCode {
    let error = match result {
        // A reader such as `head` has seen enough.
        Ok(()) | Err(TrainError::ReaderGone) => {
            ranks.leave();
            return ExitCode::SUCCESS;
        }
        Err(error) => error,
    };
    let code = error.exit_code();
    // All ranks stop together, and one says so.
    let together = matches!(error, TrainError::Interrupted { .. });
    if !together || ranks.is_first() {
        say(&format!("{}error: {error}", ranks.prefix()));
    }
    if together {
        ranks.leave();
    } else {
        ranks.abort(code);
    }
    ExitCode::from(code)
}

/// The ranks of a command that several processes may share, and the threads of this one.
fn ranks_of(cli: &Cli) -> Result<Ranks, TrainError> {
    let ranks = match cli.command {
        Command::Finetune(_) | Command::Doctor(_) => Ranks::join()?,
        _ => Ranks::alone(),
    };
    let share = NonZeroUsize::new(ranks.place().threads);
    let threads = cli.threads.or(share);
    set_threads(threads)?;
    Ok(ranks.with_threads(threads.map_or(0, usize::from)))
}

/// One pool computes everything: tokenisation, tensors and Burn's own products. The thread that calls
/// waits for it. Batches are made ahead by one more thread, which has little to do.
fn set_threads(threads: Option<NonZeroUsize>) -> Result<(), TrainError> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
    pool.build_global().map_err(|error| TrainError::Usage(format!("--threads {threads}: {error}")))
}
