"""A whole fine-tuning: MiniLM on IMDB, as docs/BENCHMARKS.md has it on a CPU."""

import json
from typing import Any

from process import FailedError, succeed
from setting import Setting

LIMIT = 90.0
FLAGS = {
    "--num-train-epochs": 1,
    "--max-seq-length": 128,
    "--learning-rate": 2e-4,
    "--seed": 42,
}


def finetune(setting: Setting, backend: str, precision: str) -> list[dict[str, Any]]:
    """Return one row: accuracy, time, memory."""
    row = {"backend": backend, "precision": precision}
    name = f"finetune-{backend.replace(':', '-')}-{precision}"
    model, data = str(setting.pack / "model"), str(setting.pack / "data")
    command = [*setting.temper("finetune", model, precision, backend), data, "--preset", "full"]
    command += ["--output-dir", str(setting.work), "--run-name", name, "--json"]
    command += [str(part) for flag in FLAGS.items() for part in flag]
    if setting.train_rows is not None:
        rows = str(setting.train_rows)
        for split in ("train", "eval", "test"):
            command += [f"--max-{split}-samples", rows]
    try:
        log = setting.log(name)
        printed = succeed(command, setting.limits.seconds(LIMIT), log, setting.environment)
    except FailedError as error:
        return [row | {"failed": str(error)}]
    results = json.loads(printed.splitlines()[-1])
    return [
        row
        | {
            "accuracy": dict(results["test"]["metrics"])["accuracy"],
            "interval": results["test"]["interval"],
            "steps": results["steps"],
            "training_seconds": results["training_seconds"],
            "tokens_per_second": results["tokens_per_second"],
            "peak_memory_bytes": results["peak_memory_bytes"],
            "device_memory_bytes": results.get("device_memory_bytes"),
        }
    ]
