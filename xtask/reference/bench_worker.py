"""Workers of the benchmark: processes that stay idle until they are asked.

A worker gets a job, a JSON file that bench_jobs.py writes. It answers each line
on its stdin with a line on its stdout: `{"check": true}` with what it computes
(`logits` or `rows`), `{"repeat": N}` with the `seconds` that doing the job N
times took.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a thread pool may use of a core to fall asleep, and what a bystander may take of a sample.
SETTLING_SECONDS = 0.05
IDLE_SHARE = 0.02


@dataclass(frozen=True)
class Program:
    """One side of the comparison: how its worker is started."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    # Where it starts; the current folder if absent.
    folder: Path | None = None
    # Where it complains; the terminal if absent.
    log: Path | None = None


class Worker:
    """A running program with a job."""

    def __init__(self, label: str, program: Program, job: Path) -> None:
        """Start the program."""
        self.label = label
        with ExitStack() as stack:
            log = stack.enter_context(program.log.open("a")) if program.log else None
            self.process = subprocess.Popen(
                [*program.command, str(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | program.environment,
                cwd=program.folder,
            )

    def ask(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """Send a request and wait for its answer."""
        assert self.process.stdin and self.process.stdout
        # A worker that is gone shows in its empty answer.
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.label} ended with exit code {self.process.wait()}")
        return json.loads(answer)

    def seconds(self, repeat: int) -> float:
        """Let the job be done so often; the seconds that one took."""
        return self.ask(repeat=repeat)["seconds"] / repeat

    def cpu_seconds(self) -> float:
        """Return the CPU time that all of the worker's threads have used."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        # The name of the program in brackets may hold blanks; user and system time follow it.
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """Return the largest resident size that the worker has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def close(self) -> None:
        """End the worker."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def working(programs: dict[str, tuple[Program, Path]]) -> Iterator[dict[str, Worker]]:
    """Start a worker for each label's program and job; end them all."""
    workers: dict[str, Worker] = {}
    try:
        for label, (program, job) in programs.items():
            workers[label] = Worker(label, program, job)
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def alternate(
    workers: dict[str, Worker], pairs: int, warmup: int, repeat: int
) -> dict[str, list[float]]:
    """Time the workers one after the other, round by round; seconds for the job done once.

    Fails when a worker that should be idle takes CPU time from the one that is timed.
    """
    for worker in workers.values():
        worker.seconds(warmup)
    samples: dict[str, list[float]] = {label: [] for label in workers}
    for _ in range(pairs):
        for label, worker in workers.items():
            time.sleep(SETTLING_SECONDS)
            others = [other for other in workers.values() if other is not worker]
            before = sum(other.cpu_seconds() for other in others)
            samples[label].append(worker.seconds(repeat))
            used = sum(other.cpu_seconds() for other in others) - before
            if used > SETTLING_SECONDS + IDLE_SHARE * samples[label][-1] * repeat:
                names = " and ".join(other.label for other in others)
                raise RuntimeError(f"{names} used {used:.2f} s of CPU while {label} was timed")
    return samples
