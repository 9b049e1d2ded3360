"""The benchmark's cases: which sides do which job, how often, and in which unit it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench_jobs import RAGGED_ROWS, TOKENIZED_TEXTS, Job, Workload

TEMPER = "Temper"
PYTORCH = "PyTorch"
# transformers' default, and its option train_sampling_strategy="group_by_length".
SHUFFLED = "PyTorch, shuffled"
GROUPED = "PyTorch, grouped by length"
CANDLE = "candle"

# Cases that are not samples of a job's time.
FIRST_STEP = "first-step"
FINETUNE = "finetune"
MEMORY_PREFIX = "memory-"


@dataclass(frozen=True)
class Case:
    """Jobs that are timed alternately."""

    name: str
    title: str
    # A job for each label, Temper's first; what precedes a comma in the label is the program.
    jobs: dict[str, Job]
    # How often a job is done before it is timed, and for one sample.
    warmup: int
    repeat: int
    # Texts or tokens in the job, told as a rate; without it, the time is told.
    amount: int | None = None
    amount_name: str = ""

    def write(self, folder: Path) -> dict[str, Path]:
        """Write the jobs' files."""
        return {
            label: job.write(folder / f"{self.name}-{number}.json")
            for number, (label, job) in enumerate(self.jobs.items())
        }


def both(job: Job) -> dict[str, Job]:
    """Give both sides the same job."""
    return {TEMPER: job, PYTORCH: job}


def either_order(workload: Workload, task: str) -> dict[str, Job]:
    """Give Temper the shuffled batches, PyTorch these and those grouped by length."""
    shuffled = workload.ragged(task, by_length=False)
    return {
        TEMPER: shuffled,
        SHUFFLED: shuffled,
        GROUPED: workload.ragged(task, by_length=True),
    }


def job_cases(workload: Workload, candle: bool, quick: bool) -> list[Case]:
    """Return the cases that are samples of a job's time."""
    minilm, base = workload.minilm, workload.base
    forward = both(workload.dense("forward", minilm, 16))
    if candle:
        forward[CANDLE] = forward[TEMPER]

    def often(repeat: int) -> int:
        return 1 if quick else repeat

    labelled = RAGGED_ROWS
    tokens = sum(map(len, workload.ids))
    ragged = f"{RAGGED_ROWS} IMDB reviews in batches of 16"
    return [
        Case(
            "train-minilm",
            "training step, MiniLM, 16 x 128 tokens",
            both(workload.dense("train", minilm, 16)),
            warmup=2,
            repeat=often(3),
        ),
        Case(
            "train-base",
            "training step, BERT-base, 8 x 128 tokens",
            both(workload.dense("train", base, 8)),
            warmup=2,
            repeat=often(1),
        ),
        Case(
            "train-ragged",
            f"training, MiniLM, {ragged}",
            either_order(workload, "train"),
            warmup=1,
            repeat=1,
        ),
        Case(
            "forward-minilm",
            "forward pass, MiniLM, 16 x 128 tokens",
            forward,
            warmup=3,
            repeat=often(10),
        ),
        Case(
            "forward-base",
            "forward pass, BERT-base, 8 x 128 tokens",
            both(workload.dense("forward", base, 8)),
            warmup=2,
            repeat=often(4),
        ),
        Case(
            "forward-ragged",
            f"forward pass, MiniLM, {ragged}",
            either_order(workload, "forward"),
            warmup=1,
            repeat=1,
        ),
        Case(
            "predict",
            f"prediction from texts to labels, MiniLM, {labelled} IMDB reviews",
            both(workload.texts("predict", labelled)),
            warmup=1,
            repeat=1,
            amount=labelled,
            amount_name="texts",
        ),
        Case(
            "tokenize",
            f"tokenisation, {TOKENIZED_TEXTS} IMDB reviews",
            both(workload.texts("tokenize", TOKENIZED_TEXTS)),
            warmup=1,
            repeat=often(3),
            amount=tokens,
            amount_name="tokens",
        ),
    ]


def names(cases: list[Case]) -> list[str]:
    """Name every case, those included that are not samples of a job's time."""
    memory = [MEMORY_PREFIX + case.name for case in cases if case.name.startswith("train-")]
    return [*(case.name for case in cases), FIRST_STEP, *memory, FINETUNE]


def chosen(all_names: list[str], only: list[str]) -> Callable[[str], bool]:
    """Return whether a case is to be run; refuse names that do not exist."""
    unknown = sorted(set(only) - set(all_names))
    if unknown:
        raise SystemExit(f"no case {', '.join(unknown)}; there are {', '.join(all_names)}")
    return lambda name: not only or name in only
