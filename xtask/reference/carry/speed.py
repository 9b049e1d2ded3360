"""Training steps of Temper and PyTorch compared: time, memory, and that they agree."""

import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_worker import Program, Worker
from process import FailedError, limited, succeed
from setting import SEED, Setting

SIDE_LIMIT = 120.0
WARMUP = 5
SAMPLES = 5
SAMPLE_SECONDS = 0.5
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Shape:
    """What is computed: a model on rows of one length."""

    model: str
    rows: int
    # Of the longest row.
    length: int
    is_ragged: bool = False
    task: str = "train"
    # A language model on its own tokens instead of a classifier.
    is_causal: bool = False

    def __str__(self) -> str:
        """Name it as the tables do."""
        upto = "up to " if self.is_ragged else ""
        kind = "Training steps" if self.task == "train" else "Forward passes"
        return f"{kind} of {self.model}, {self.rows} x {upto}{self.length} tokens"

    def lengths(self) -> list[int]:
        """Return the length of each row; ragged ones are spread as those of reviews are."""
        if not self.is_ragged:
            return [self.length] * self.rows
        draw = random.Random(SEED)
        spread = [round(self.length * draw.triangular(0.1, 1.0, 0.3)) for _ in range(self.rows - 1)]
        return [self.length, *spread]


@dataclass(frozen=True)
class Side:
    """Who computes, and how."""

    program: str
    precision: str
    is_compiled: bool = False

    def __str__(self) -> str:
        """Name it as the tables do."""
        return f"{self.program}{', compiled' if self.is_compiled else ''}"


def sides(shape: Shape, precisions: list[str]) -> list[Side]:
    """Return the sides, the most wanted first: time may not suffice for all."""
    wanted = [name for name in ("bf16", "f32", "tf32") if name in precisions]
    found = []
    for precision in wanted:
        found += [Side("Temper", precision), Side("PyTorch", precision)]
        if precision != "tf32" and shape.task == "train":
            found.append(Side("PyTorch", precision, is_compiled=True))
    return found


def measure(setting: Setting, shape: Shape, precisions: list[str]) -> list[dict[str, Any]]:
    """Return a row for each side."""
    common = {"shape": str(shape)}
    try:
        folder = model(setting, shape.model)
    except FailedError as error:
        return [common | {"failed": f"no model: {error}"}]
    found = sides(shape, precisions)
    turns = Turns(len(found))
    with ThreadPoolExecutor(len(found)) as pool:
        rows = list(
            pool.map(lambda side: common | row_of(setting, shape, side, folder, turns), found)
        )
    reference = next((row["logits"] for row in rows if is_reference(row)), None)
    for row in rows:
        logits = row.pop("logits", None)
        if logits and reference:
            row["logits_differ"] = largest(reference, logits)
    return rows


class Turns:
    """Sides get ready at the same time, since compiling takes long; each is timed alone."""

    def __init__(self, sides: int) -> None:
        """Wait for so many sides."""
        self.ready = threading.Barrier(sides)
        self.turn = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until all are ready, then for the others' turns to end."""
        # A side that fails before it is ready breaks the barrier: then there is nobody to wait for.
        with suppress(threading.BrokenBarrierError):
            self.ready.wait(SIDE_LIMIT)
        with self.turn:
            yield


def row_of(
    setting: Setting, shape: Shape, side: Side, folder: Path, turns: Turns
) -> dict[str, Any]:
    """Time one side, or say why that was not possible."""
    row = {"side": side.program, "precision": side.precision, "compiled": side.is_compiled}
    try:
        return row | one(setting, shape, side, folder, turns)
    except FailedError as error:
        turns.ready.abort()
        return row | {"failed": str(error)}


def is_reference(row: dict[str, Any]) -> bool:
    """Return whether the others' logits are compared with this row's."""
    is_plain = row["side"] == "PyTorch" and row["precision"] == "f32" and not row["compiled"]
    return is_plain and "logits" in row


def model(setting: Setting, name: str) -> Path:
    """Return the folder of a model, written at its first use."""
    folder = setting.work / f"model-{name}"
    if not (folder / "config.json").exists():
        command = [sys.executable, str(HERE / "random_model.py"), name, str(folder)]
        succeed(command, setting.limits.seconds(SIDE_LIMIT), setting.log(f"model-{name}"))
    return folder


def one(setting: Setting, shape: Shape, side: Side, folder: Path, turns: Turns) -> dict[str, Any]:
    """Time one side; its row has the logits before the first step, too."""
    limit = setting.limits.seconds(SIDE_LIMIT)
    name = "-".join(f"{shape} {side} {side.precision}".replace(",", "").split())
    fields = {"model": str(folder), "precision": side.precision, "compile": side.is_compiled}
    fields["causal"] = shape.is_causal
    job = setting.job(f"speed-{name}", shape.lengths(), task=shape.task, **fields)
    with limited(str(side), program(setting, side, f"speed-{name}"), job, limit) as worker:
        logits = worker.ask(check=True)["logits"]
        first = worker.seconds(1)
        worker.seconds(1)
        with turns.alone():
            worker.seconds(WARMUP)
            samples = timed(worker)
        memory = worker.ask(memory=True) or {}
        peak = worker.peak_bytes()
    seconds = statistics.median(samples)
    return {
        "first_step_seconds": first,
        "seconds": seconds,
        "samples": samples,
        "tokens_per_second": sum(shape.lengths()) / seconds,
        "device_in_use_bytes": memory.get("in_use"),
        "device_reserved_bytes": memory.get("reserved"),
        "pools": memory.get("pools"),
        "host_peak_bytes": peak,
        "logits": logits,
    }


def program(setting: Setting, side: Side, name: str) -> Program:
    """Return how a side's worker is started."""
    if side.program == "Temper":
        return setting.temper_bench(name)
    threads = str(len(os.sched_getaffinity(0)))
    command = [sys.executable, str(HERE / "bench_torch.py"), "--threads", threads]
    return Program(command, log=setting.log(name))


def timed(worker: Worker) -> list[float]:
    """Return the seconds of a step, in several samples that are long enough to be told."""
    repeat = max(1, round(SAMPLE_SECONDS / max(worker.seconds(1), 1e-4)))
    samples = []
    for _ in range(SAMPLES):
        time.sleep(0.02)
        samples.append(worker.seconds(repeat))
    return samples


def largest(left: list[list[float]], right: list[list[float]]) -> float:
    """Return the largest difference between two sets of logits."""
    pairs = zip(left, right, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
