"""What every step needs to know."""

import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_worker import Program
from process import Limits

SEED = 42


@dataclass(frozen=True)
class Setting:
    """Folders, backend, variables, and how much is to be done."""

    pack: Path
    work: Path
    backend: str
    limits: Limits
    environment: dict[str, str]
    # With --small, for trying the scripts out.
    families: int | None = None
    train_rows: int | None = None
    is_small: bool = False
    logs: list[Path] = field(default_factory=list)

    def log(self, name: str) -> Path:
        """Return a new file for what a program says."""
        path = self.work / f"{name}.log"
        path.touch()
        self.logs.append(path)
        return path

    def temper(
        self, command: str, subject: str, precision: str, backend: str | None = None
    ) -> list[str]:
        """Return a command of temper, on a backend, in a precision."""
        place = ["--backend", backend or self.backend, "--precision", precision]
        return [str(self.pack / "temper"), command, subject, *place]

    def temper_bench(self, name: str, folder: Path | None = None) -> Program:
        """Return Temper's worker."""
        command = [str(self.pack / "temper-bench")]
        return Program(command, self.environment, folder, self.log(name))

    def all_variables(self) -> dict[str, str]:
        """Return the environment of Temper's programs."""
        return os.environ | self.environment

    def job(self, name: str, lengths: list[int], **fields: Any) -> Path:  # noqa: ANN401
        """Write a job on one batch of random rows of these lengths: training steps by default."""
        draw = random.Random(SEED)
        job = {
            "task": "train",
            "rows": [[draw.randrange(1000, 30000) for _ in range(length)] for length in lengths],
            "labels": [draw.randrange(2) for _ in lengths],
            "batches": [list(range(len(lengths)))],
            "backend": self.backend,
        }
        path = self.work / f"{name}.json"
        path.write_text(json.dumps(job | fields), encoding="utf-8")
        return path
