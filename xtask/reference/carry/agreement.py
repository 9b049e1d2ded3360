"""Gradients of every fixture on the backend that is measured, compared with the CPU's."""

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from process import FailedError, limited
from setting import SEED, Setting

LIMIT = 60.0
LENGTHS = [7, 3, 5]
# Largest distance of a parameter's gradient allowed, in parts of the largest norm.
# The largest distance of bfloat16 on the CPU is T5's, 0.13.
TOLERANCES = {"f32": 1e-4, "tf32": 2**-7, "bf16": 0.2}


def gradients(setting: Setting, precision: str) -> list[dict[str, Any]]:
    """Return a row for each fixture. They are processes side by side: nothing is timed here."""
    folders = sorted(path.parent for path in (setting.pack / "fixtures").glob("*/config.json"))
    if setting.families is not None:
        folders = folders[: setting.families]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda folder: one(setting, folder, precision), folders))


def one(setting: Setting, folder: Path, precision: str) -> dict[str, Any]:
    """Compare the gradients of one fixture."""
    row: dict[str, Any] = {"fixture": folder.name, "precision": precision}
    row["tolerance"] = TOLERANCES[precision]
    name = f"gradients-{precision}-{folder.name}"
    job = setting.work / f"{name}.json"
    fields = {"task": "gradients", "model": str(folder), "precision": precision}
    rows = drawn(vocabulary(folder))
    job.write_text(json.dumps({**fields, "backend": setting.backend, "rows": rows}))
    program = setting.temper_bench(name)
    try:
        with limited(name, program, job, setting.limits.seconds(LIMIT)) as worker:
            answer = worker.ask(check=True)
    except FailedError as error:
        return row | {"failed": str(error)}
    # JSON has null for what is infinite.
    largest = float("inf") if answer["largest"] is None else answer["largest"]
    return row | answer | {"largest": largest}


def vocabulary(folder: Path) -> int:
    """Return the number of tokens that a fixture knows."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]


def drawn(entries: int) -> list[list[int]]:
    """Return rows of random tokens; the last token ends sequences in the fixtures that need one."""
    draw = random.Random(SEED)
    return [[draw.randrange(3, entries) for _ in range(length)] for length in LENGTHS]
