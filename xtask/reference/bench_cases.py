"""The benchmark's cases: which sides do which job, how often, and in which unit it is told."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench_jobs import JUDGED_TEXTS, NEW_TOKENS, RAGGED_ROWS, TOKENIZED_TEXTS, Job, Workload

# What programs are called; a job names them by their keys.
PROGRAMS = {
    "temper": "Temper",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "llama.cpp": "llama.cpp",
    "candle": "candle",
}
# transformers' default, and its option train_sampling_strategy="group_by_length".
SHUFFLED = "shuffled"
GROUPED = "grouped by length"

# Cases that are not samples of a job's time.
FIRST_STEP = "first-step"
FINETUNE = "finetune"
ACCURACY = "accuracy"
MEMORY_PREFIX = "memory-"

# A program and its precision.
Side = tuple[str, str]

BOTH: list[Side] = [("temper", "f32"), ("torch", "f32")]
# Settings in which a model is trained.
TRAINED: list[Side] = [*BOTH, ("temper", "bf16"), ("torch", "bf16")]
# Settings in which a classifier is used.
USED: list[Side] = [
    *TRAINED,
    ("temper", "int8"),
    ("torch", "int8"),
    ("onnxruntime", "f32"),
    ("onnxruntime", "int8"),
    ("openvino", "f32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
]


@dataclass(frozen=True)
class Case:
    """Jobs that are timed alternately."""

    name: str
    title: str
    # A job for each label, that of Temper in f32 first.
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


def label_of(side: Side, order: str = "") -> str:
    """Return what a side is called, perhaps with the order of its batches."""
    program, precision = side
    return f"{PROGRAMS[program]} {precision}" + (f", {order}" if order else "")


def assigned(job: Job, sides: list[Side], order: str = "") -> dict[str, Job]:
    """Give each side the same job."""
    return {
        label_of(side, order): replace(job, engine=side[0], precision=side[1]) for side in sides
    }


def ragged(workload: Workload, task: str, model: Path, sides: list[Side]) -> dict[str, Job]:
    """Give Temper the shuffled batches, PyTorch these too, and others those grouped by length."""
    shuffled = workload.ragged(task, model, by_length=False)
    grouped = workload.ragged(task, model, by_length=True)
    ours = [side for side in sides if side[0] == "temper"]
    others = [side for side in sides if side[0] != "temper"]
    return (
        assigned(shuffled, ours)
        | assigned(shuffled, [("torch", "f32")], SHUFFLED)
        | assigned(grouped, others, GROUPED)
    )


def generating(workload: Workload) -> dict[str, Job]:
    """Give each side the same prompt; llama.cpp has files of its own."""
    job = workload.generation()
    sources = workload.sources
    files = {"F16": sources.f16, "Q8_0": sources.q8_0}
    return assigned(job, [*TRAINED, ("temper", "int8")]) | {
        f"{PROGRAMS['llama.cpp']} {name}": replace(
            job, engine="llama.cpp", precision=name, model=str(file)
        )
        for name, file in files.items()
    }


def job_cases(workload: Workload, candle: bool, quick: bool) -> list[Case]:
    """Return the cases that are samples of a job's time."""

    def often(repeat: int) -> int:
        return 1 if quick else repeat

    return [
        *training_cases(workload, often),
        *forward_cases(workload, candle, often),
        *text_cases(workload, often),
    ]


def training_cases(workload: Workload, often: Callable[[int], int]) -> list[Case]:
    """Return the cases of optimiser steps."""
    return [
        Case(
            "train-minilm",
            "training step, MiniLM, 16 x 128 tokens",
            assigned(workload.dense("train", workload.minilm, 16), TRAINED),
            warmup=2,
            repeat=often(3),
        ),
        Case(
            "train-base",
            "training step, BERT-base, 8 x 128 tokens",
            assigned(workload.dense("train", workload.base, 8), TRAINED),
            warmup=2,
            repeat=often(1),
        ),
        Case(
            "train-ragged",
            f"training, MiniLM, {RAGGED_ROWS} IMDB reviews in batches of 16",
            ragged(workload, "train", workload.minilm, TRAINED),
            warmup=1,
            repeat=1,
        ),
        Case(
            "train-modernbert",
            f"training, ModernBERT of MiniLM's sizes, {RAGGED_ROWS} IMDB reviews in batches of 16",
            ragged(workload, "train", workload.modernbert, TRAINED),
            warmup=1,
            repeat=1,
        ),
        Case(
            "train-deberta",
            "training step, DeBERTa-v3 of MiniLM's sizes, 16 x 128 tokens",
            assigned(workload.dense("train", workload.deberta, 16), TRAINED),
            warmup=2,
            repeat=often(1),
        ),
    ]


def forward_cases(workload: Workload, candle: bool, often: Callable[[int], int]) -> list[Case]:
    """Return the cases of forward passes."""
    forward = workload.dense("forward", workload.minilm, 16)
    sides = [*USED, ("candle", "f32")] if candle else USED
    return [
        Case(
            "forward-minilm",
            "forward pass, MiniLM, 16 x 128 tokens",
            assigned(forward, sides),
            warmup=3,
            repeat=often(10),
        ),
        Case(
            "forward-base",
            "forward pass, BERT-base, 8 x 128 tokens",
            assigned(workload.dense("forward", workload.base, 8), USED),
            warmup=2,
            repeat=often(4),
        ),
        Case(
            "forward-ragged",
            f"forward pass, MiniLM, {RAGGED_ROWS} IMDB reviews in batches of 16",
            ragged(workload, "forward", workload.minilm, USED),
            warmup=1,
            repeat=1,
        ),
        Case(
            "forward-modernbert",
            "forward pass, ModernBERT of MiniLM's sizes, "
            f"{RAGGED_ROWS} IMDB reviews in batches of 16",
            ragged(workload, "forward", workload.modernbert, TRAINED),
            warmup=1,
            repeat=1,
        ),
    ]


def text_cases(workload: Workload, often: Callable[[int], int]) -> list[Case]:
    """Return the cases that read or write texts."""
    return [
        Case(
            "predict",
            f"prediction from texts to labels, MiniLM, {RAGGED_ROWS} IMDB reviews",
            assigned(workload.texts("predict", RAGGED_ROWS), USED),
            warmup=1,
            repeat=1,
            amount=RAGGED_ROWS,
            amount_name="texts",
        ),
        Case(
            "generate",
            f"generation, SmolLM2-135M, {NEW_TOKENS} greedy tokens",
            generating(workload),
            warmup=1,
            repeat=1,
            amount=NEW_TOKENS,
            amount_name="tokens",
        ),
        Case(
            "tokenize",
            f"tokenisation, {TOKENIZED_TEXTS} IMDB reviews",
            assigned(workload.texts("tokenize", TOKENIZED_TEXTS), BOTH),
            warmup=1,
            repeat=often(3),
            amount=sum(map(len, workload.ids)),
            amount_name="tokens",
        ),
    ]


def judging_case(workload: Workload) -> Case:
    """Return the case that finds the accuracy of each setting."""
    title = f"accuracy, MiniLM, {JUDGED_TEXTS} IMDB test reviews"
    return Case(ACCURACY, title, assigned(workload.judging(), USED), warmup=0, repeat=0)


def names(cases: list[Case]) -> list[str]:
    """Name every case, those included that are not samples of a job's time."""
    memory = [MEMORY_PREFIX + case.name for case in cases if case.name.startswith("train-")]
    return [ACCURACY, *(case.name for case in cases), FIRST_STEP, *memory, FINETUNE]


def chosen(all_names: list[str], only: list[str]) -> Callable[[str], bool]:
    """Return whether a case is to be run; refuse names that do not exist."""
    unknown = sorted(set(only) - set(all_names))
    if unknown:
        raise SystemExit(f"no case {', '.join(unknown)}; there are {', '.join(all_names)}")
    return lambda name: not only or name in only
