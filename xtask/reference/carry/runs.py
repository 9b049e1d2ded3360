"""Runs that show more than a score: every task, frozen parts, resumption, memory that runs out."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from process import FailedError, last_words, run
from setting import Setting

LIMIT = 150.0
STEPS = 8
AT_ONCE = 8
PROOF = "every trained parameter had a finite gradient"
OUT_OF_MEMORY = 5
# What another program leaves of the GPU's memory, in bytes.
LEFT_OVER = 1 << 30

# Of the tasks that the packed model's family has no head for.
NEW_MODELS = {
    "gpt2": {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 30522,
        "n_positions": 512,
        "n_embd": 128,
        "n_layer": 2,
        "n_head": 2,
    },
    "t5": {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "vocab_size": 30522,
        "d_model": 128,
        "d_kv": 64,
        "d_ff": 256,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 102,
        "is_encoder_decoder": True,
    },
}

Row = dict[str, Any]


def runs(setting: Setting, precision: str) -> list[Row]:
    """Return a row for each run. They run side by side: nothing is timed here."""
    data = write_data(setting)
    short = ["--max-steps", str(STEPS), "--preset", "full"]
    pairs = ["--column", "text=first", "--column", "text_pair=second", "--column", "label=label"]
    answers = ["--task", "question-answering", "--max-seq-length", "64", "--doc-stride", "16"]
    new = lambda model: ["--from-scratch", str(data / f"{model}.json")]  # noqa: E731
    cases: list[tuple[str, Path, list[str]]] = [
        # The first ones take longest.
        ("text to text, new", data / "targets.jsonl", new("t5")),
        ("language modeling, new", data / "plain.jsonl", new("gpt2")),
        ("gradient checkpointing", data / "texts.jsonl", ["--gradient-checkpointing"]),
        ("lora", data / "texts.jsonl", ["--strategy", "lora"]),
        ("last:2, kept states", data / "texts.jsonl", ["--strategy", "last:2"]),
        ("pairs", data / "pairs.jsonl", pairs),
        ("several labels", data / "labels.jsonl", ["--problem-type", "multi_label_classification"]),
        ("numbers", data / "numbers.jsonl", ["--problem-type", "regression"]),
        ("entities", data / "words.jsonl", ["--task", "token-classification"]),
        ("answers", data / "questions.jsonl", answers),
        ("masked words", data / "texts.jsonl", ["--task", "masked-language-modeling"]),
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        last = pool.submit(resumed, setting, precision, data / "texts.jsonl")
        rows = pool.map(lambda case: proved(setting, precision, *case, short), cases)
        return [*rows, last.result()]


def command(setting: Setting, precision: str, data: Path, name: str) -> list[str]:
    """Return how a run is started, without its own flags."""
    start = setting.temper("finetune", str(setting.pack / "model"), precision)
    return [*start, str(data), "--output-dir", str(setting.work / "runs"), "--run-name", name]


def proved(
    setting: Setting, precision: str, name: str, data: Path, flags: list[str], short: list[str]
) -> Row:
    """Do a short run to its end; its proof must have been given."""
    row: Row = {"run": name, "precision": precision}
    slug = f"{precision}-{name}".replace(" ", "-").replace(":", "-").replace(",", "")
    log = setting.log(f"run-{slug}")
    line = [*command(setting, precision, data, slug), "--logging-steps", "1", *short, *flags]
    try:
        code, _ = run(line, setting.limits.seconds(LIMIT), log, setting.environment)
    except FailedError as error:
        return row | {"failed": str(error)}
    if code:
        return row | {"failed": f"exit code {code}: {last_words(log)}"}
    if PROOF not in log.read_text(encoding="utf-8", errors="replace"):
        return row | {"failed": "it gave no proof"}
    losses = losses_of(setting.work / "runs" / slug)
    return row | {"outcome": f"loss {losses[0]:.4f} to {losses[-1]:.4f}, proved"}


def losses_of(folder: Path) -> list[float]:
    """Return the losses that a run logged."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["loss"] for row in rows if row["kind"] == "train"]


def resumed(setting: Setting, precision: str, data: Path) -> Row:
    """Stop a run after its first checkpoint, resume it, compare it with one never stopped."""
    row: Row = {"run": "resumed", "precision": precision}
    flags = ["--max-steps", "60", "--save-steps", "10", "--logging-steps", "1", "--preset", "full"]
    log = setting.log(f"run-{precision}-resumed")
    try:
        for name, stops in (("whole", False), ("stopped", True)):
            line = [*command(setting, precision, data, f"{precision}-{name}"), *flags]
            folder = setting.work / "runs" / f"{precision}-{name}"
            if stops:
                stop(line, folder, setting, log)
                line += ["--resume", "auto"]
            code, _ = run(line, setting.limits.seconds(LIMIT), log, setting.environment)
            if code:
                return row | {"failed": f"{name}: exit code {code}: {last_words(log)}"}
    except FailedError as error:
        return row | {"failed": str(error)}
    whole, parts = (
        losses_of(setting.work / f"runs/{precision}-{name}") for name in ("whole", "stopped")
    )
    if len(whole) != len(parts):
        return row | {"failed": f"{len(parts)} steps logged, not {len(whole)}"}
    largest = max(abs(one - other) for one, other in zip(whole, parts, strict=True))
    return row | {"outcome": f"largest difference of {len(whole)} losses: {largest:.1e}"}


def stop(line: list[str], folder: Path, setting: Setting, log: Path) -> None:
    """Start a run and end it by a signal once it has a checkpoint."""
    deadline = time.monotonic() + setting.limits.seconds(LIMIT)
    with log.open("a", encoding="utf-8") as complaints:
        environment = setting.all_variables()
        process = subprocess.Popen(line, stdout=complaints, stderr=complaints, env=environment)
        is_there: Callable[[], bool] = lambda: any(folder.glob("checkpoints/*"))  # noqa: E731
        while process.poll() is None and not is_there():
            if time.monotonic() > deadline:
                process.kill()
                raise FailedError(f"no checkpoint within {LIMIT:.0f} s")
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        process.wait()


def out_of_memory(setting: Setting, precision: str) -> Row:
    """Train where another program has taken nearly all of the GPU's memory."""
    data = write_data(setting) / "texts.jsonl"
    row: Row = {"run": "memory taken by another program", "precision": precision}
    if not setting.backend.startswith("cuda"):
        return row | {"outcome": "not tried: no GPU"}
    log = setting.log(f"run-{precision}-out-of-memory")
    hog = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("hog.py")), str(LEFT_OVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    flags = ["--per-device-train-batch-size", "512", "--max-tokens-per-batch", "262144"]
    flags += ["--max-seq-length", "512", "--max-steps", str(STEPS), "--preset", "full"]
    try:
        assert hog.stdout
        hog.stdout.readline()
        line = [*command(setting, precision, data, f"{precision}-memory"), *flags]
        code, _ = run(line, setting.limits.seconds(LIMIT), log, setting.environment)
    except FailedError as error:
        return row | {"failed": str(error)}
    finally:
        hog.kill()
        hog.communicate()
    words = last_words(log)
    if code != OUT_OF_MEMORY:
        return row | {"failed": f"exit code {code}, not {OUT_OF_MEMORY}: {words}"}
    return row | {"outcome": f"exit code {code}: {words}"}


def write_data(setting: Setting) -> Path:
    """Write a small dataset for each task, made of the packed reviews."""
    folder = setting.work / "tasks"
    folder.mkdir(exist_ok=True)
    source = (setting.pack / "data/train.jsonl").read_text(encoding="utf-8").splitlines()
    reviews = [json.loads(line) for line in source[:400]]
    words = [review["text"].split()[:40] for review in reviews]

    def write(name: str, rows: list[Row]) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")

    def labels(row: list[str]) -> list[str]:
        long = max(map(len, row)) > 11
        return (["long"] if long else []) + (["many"] if len(row) > 30 else ["few"])

    write("texts", reviews)
    write(
        "pairs",
        [
            {"first": " ".join(row[:20]), "second": " ".join(row[20:]), "label": review["label"]}
            for row, review in zip(words, reviews, strict=True)
            if len(row) > 25
        ],
    )
    write("labels", [{"text": " ".join(row), "label": labels(row)} for row in words])
    write("numbers", [{"text": " ".join(row), "label": len(" ".join(row)) / 100} for row in words])
    tagged = [["B-long" if len(word) > 7 else "O" for word in row] for row in words]
    rows = zip(words, tagged, strict=True)
    write("words", [{"tokens": row, "tags": tags} for row, tags in rows])
    write("questions", [question(row) for row in words if len(row) > 10])
    write("plain", [{"text": review["text"]} for review in reviews])
    write("targets", [{"source": " ".join(row), "target": " ".join(row[:3])} for row in words])
    for name, config in NEW_MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def question(row: list[str]) -> Row:
    """Ask for the word after the fifth one."""
    start = len(" ".join(row[:5])) + 1
    answers = {"text": [row[5]], "answer_start": [start]}
    return {"question": f"what follows {row[4]}", "context": " ".join(row), "answers": answers}
