"""Commands that may take so long and no longer, and whose words are kept."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench_worker import Program, Worker


class FailedError(Exception):
    """A step that gave nothing; says why in one line."""


@dataclass(frozen=True)
class Limits:
    """The end of everything, on the monotonic clock."""

    deadline: float

    def seconds(self, wanted: float) -> float:
        """Return the seconds that a step may take, at most those that it wants."""
        left = self.deadline - time.monotonic()
        if left < 1:
            raise FailedError("not run: no time was left")
        return min(wanted, left)


def run(
    command: list[str], limit: float, log: Path, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed. All it says goes to the log."""
    with log.open("a", encoding="utf-8") as complaints:
        print(f"$ {' '.join(command)}", file=complaints, flush=True)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            errors="replace",
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise FailedError(f"took more than {limit:.0f} s") from None
        complaints.write(printed)
    return process.returncode, printed


def succeed(
    command: list[str], limit: float, log: Path, environment: dict[str, str] | None = None
) -> str:
    """Run a command that has to succeed; return what it printed."""
    code, printed = run(command, limit, log, environment)
    if code:
        raise FailedError(f"exit code {code}: {last_words(log)}")
    return printed


@contextmanager
def limited(label: str, program: Program, job: Path, limit: float) -> Iterator[Worker]:
    """Start a worker of the benchmark that is ended after so many seconds."""
    overdue = threading.Event()
    worker = Worker(label, program, job)

    def end() -> None:
        overdue.set()
        worker.process.kill()

    timer = threading.Timer(limit, end)
    timer.start()
    try:
        yield worker
    except (RuntimeError, ValueError) as error:
        if overdue.is_set():
            raise FailedError(f"took more than {limit:.0f} s") from error
        words = last_words(program.log) if program.log else ""
        raise FailedError(f"{error}: {words}") from error
    finally:
        timer.cancel()
        worker.close()


def last_words(log: Path) -> str:
    """Return the line of a log that says best why its program ended."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("$ ")]
    errors = [line for line in lines if "error" in line.lower() or "panicked" in line]
    return (errors or lines or ["it said nothing"])[-1][:300]
