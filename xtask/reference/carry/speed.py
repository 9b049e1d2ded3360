"""Training steps of Temper and PyTorch beside each other: time, memory, and that they agree."""

import os
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_worker import Program, Worker
from machine import used_bytes
from process import FailedError, limited, succeed
from setting import SEED, Setting

SIDE_LIMIT = 60.0
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
    rows = []
    logits: dict[int, list[list[float]]] = {}
    for side in sides(shape, precisions):
        row = common | {
            "side": side.program,
            "precision": side.precision,
            "compiled": side.is_compiled,
        }
        try:
            answer, logits[len(rows)] = one(setting, shape, side, folder)
            rows.append(row | answer)
        except FailedError as error:
            rows.append(row | {"failed": str(error)})
    reference = next((logits[at] for at in logits if is_reference(rows[at])), None)
    for at, found in logits.items():
        rows[at]["logits_differ"] = largest(reference, found) if reference else None
    return rows


def is_reference(row: dict[str, Any]) -> bool:
    """Return whether the others' logits are compared with this row's."""
    return row["side"] == "PyTorch" and row["precision"] == "f32" and not row["compiled"]


def model(setting: Setting, name: str) -> Path:
    """Return the folder of a model, written at its first use."""
    folder = setting.work / f"model-{name}"
    if not (folder / "config.json").exists():
        command = [sys.executable, str(HERE / "random_model.py"), name, str(folder)]
        succeed(command, setting.limits.seconds(SIDE_LIMIT), setting.log(f"model-{name}"))
    return folder


def one(
    setting: Setting, shape: Shape, side: Side, folder: Path
) -> tuple[dict[str, Any], list[list[float]]]:
    """Time one side; return its row and the logits before the first step."""
    limit = setting.limits.seconds(SIDE_LIMIT)
    name = "-".join(f"{shape} {side} {side.precision}".replace(",", "").split())
    fields = {"model": str(folder), "precision": side.precision, "compile": side.is_compiled}
    job = setting.job(f"speed-{name}", shape.lengths(), task=shape.task, **fields)
    before = used_bytes()
    with limited(str(side), program(setting, side, f"speed-{name}"), job, limit) as worker:
        logits = worker.ask(check=True)["logits"]
        first = worker.seconds(1)
        worker.seconds(WARMUP)
        samples = timed(worker)
        memory = worker.ask(memory=True) or {}
        after = used_bytes()
        peak = worker.peak_bytes()
    seconds = statistics.median(samples)
    return {
        "first_step_seconds": first,
        "seconds": seconds,
        "samples": samples,
        "tokens_per_second": sum(shape.lengths()) / seconds,
        "device_in_use_bytes": memory.get("in_use"),
        "device_reserved_bytes": memory.get("reserved"),
        "device_process_bytes": None if before is None or after is None else after - before,
        "host_peak_bytes": peak,
    }, logits


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
