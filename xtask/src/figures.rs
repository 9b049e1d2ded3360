//! `cargo xtask figures`: the figures of the book, drawn again by `temper figure` from models and runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{binary, build, root, run, target_dir};

const LANGUAGES: [&str; 2] = ["en", "zh-TW"];
/// What all runs of the figures share: short enough for a laptop.
const RUN: &str = "--max-train-samples 800 --max-eval-samples 200 --max-test-samples 400 --max-seq-length 32 \
     --per-device-train-batch-size 16 --learning-rate 2e-4 --num-train-epochs 1 --logging-steps 1";
const STRATEGIES: [&str; 5] = ["all", "last:2", "head", "gradual", "lora"];
const SCHEDULES: [&str; 4] = ["linear", "cosine", "constant_with_warmup", "inverse_sqrt"];

/// Where the runs find their data, and what is used again.
#[derive(clap::Args)]
pub struct FiguresArgs {
    /// A folder with the Hub's layout, where the Hub cannot be reached
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
    /// Keep the runs of the last call, which take most of the time, and draw only
    #[arg(long)]
    keep_runs: bool,
}

/// Trains the runs, and draws every figure in both languages into docs/book/figures.
pub fn draw(args: &FiguresArgs) -> Result<ExitCode> {
    build(&["--package", "temper-train", "--bin", "temper"], &[])?;
    let folder = target_dir().join("figures");
    if !args.keep_runs && folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let temper = Temper { folder: &folder, mirror: args.mirror.as_deref() };
    if !args.keep_runs {
        temper.train()?;
    }
    temper.draw()?;
    Ok(ExitCode::SUCCESS)
}

/// The program in the folder of the runs.
struct Temper<'a> {
    folder: &'a Path,
    mirror: Option<&'a Path>,
}

impl Temper<'_> {
    /// Runs a command; words are separated by spaces.
    fn run(&self, words: &str, more: &[&str]) -> Result<()> {
        let mut command = Command::new(binary("temper"));
        command.current_dir(self.folder).args(words.split_whitespace()).args(more);
        if let Some(mirror) = self.mirror {
            command.env("TEMPER_MIRROR", fs::canonicalize(mirror)?);
        }
        run(&mut command)
    }

    fn train(&self) -> Result<()> {
        let reviews = format!("finetune minilm movie-snippets {RUN}");
        for strategy in STRATEGIES {
            self.run(&reviews, &["--strategy", strategy, "--run-name", strategy])?;
        }
        self.run(&format!("finetune --from runs/all tweet-sentiment {RUN}"), &["--run-name", "tweets"])?;
        // Learning rates do not depend on the data: short texts, and the head alone.
        for schedule in SCHEDULES {
            let rate = "--strategy head --max-seq-length 8 --max-eval-samples 32 --max-test-samples 32 --warmup-ratio 0.2";
            let named = ["--lr-scheduler-type", schedule, "--run-name", schedule];
            self.run(&format!("{reviews} {rate}"), &named)?;
        }
        let depth = "search-depth minilm movie-snippets --max-train-samples 512 --max-eval-samples 200 \
             --max-test-samples 400 --max-seq-length 32 --per-device-train-batch-size 16 --learning-rate 2e-4 \
             --num-train-epochs 1 --run-name depth";
        self.run(depth, &[])
    }

    fn draw(&self) -> Result<()> {
        let runs =
            |names: &[&str]| names.iter().map(|name| format!("runs/{name}")).collect::<Vec<_>>().join(" ");
        let (strategies, schedules) = (runs(&STRATEGIES), runs(&SCHEDULES));
        let english = "The film is a quiet triumph.";
        for (name, words, text) in [
            ("bert", "architecture minilm".to_owned(), Some(english)),
            ("decoder", "architecture smollm2".to_owned(), Some("The capital of France is Paris.")),
            ("families", "families".to_owned(), None),
            ("strategies", "strategies minilm".to_owned(), None),
            ("transfer", "transfer runs/tweets".to_owned(), None),
            ("loss", format!("loss {strategies}"), None),
            ("movement", format!("movement {strategies}"), None),
            ("attention", "attention runs/all".to_owned(), Some(english)),
            ("rates", format!("rates {schedules}"), None),
            ("depth", "depth runs/depth".to_owned(), None),
        ] {
            for language in LANGUAGES {
                let file = root().join(format!("docs/book/figures/{name}.{language}.svg"));
                let file = file.display().to_string();
                let mut more = vec!["--language", language, "--output", &file];
                more.extend(text.iter().flat_map(|text| ["--text", *text]));
                self.run(&format!("figure {words}"), &more)?;
            }
        }
        Ok(())
    }
}
