"""Measure Temper and PyTorch on this machine; every step has its limit, none stops another.

Runs from a folder that `cargo xtask carry` packed. Results are written again after each
step: whatever ends the run, they say what was measured until then.
"""

import argparse
import json
import lzma
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agreement
import finetuning
import kernel_tests
import kernel_times
import machine
import runs
import speed
import tables
import verification
from process import FailedError, Limits, last_words, run
from setting import Setting
from speed import Shape

PACK = Path(__file__).resolve().parent.parent
DOCTOR_LIMIT = 40.0
# What a log may take of the file that all of them share.
LOG_BYTES = 200_000
CPU = "flex"

# The first one is also looked at kernel by kernel.
SHAPES = [
    Shape("BERT-base", 32, 128),
    Shape("MiniLM", 32, 128),
    Shape("MiniLM", 32, 256, is_ragged=True),
    Shape("BERT-base", 32, 512, is_ragged=True),
    Shape("BERT-base", 32, 512),
    Shape("GPT-2", 8, 1024, is_causal=True),
    Shape("BERT-base", 32, 128, task="forward"),
    Shape("MiniLM", 32, 256, is_ragged=True, task="forward"),
]

Results = dict[str, Any]


def doctor(setting: Setting) -> dict[str, Any]:
    """Return what `temper doctor --machine` says; it computes something on the backend."""
    command = [str(setting.pack / "temper"), "doctor", "--machine", "--json"]
    command += ["--backend", setting.backend]
    limit = setting.limits.seconds(DOCTOR_LIMIT)
    log = setting.log("doctor")
    code, printed = run(command, limit, log, setting.environment)
    if code:
        raise FailedError(f"exit code {code}: {last_words(log)}")
    return json.loads(printed)


def steps(setting: Setting, precisions: list[str]) -> list[tuple[str, str, Callable[[], Any]]]:
    """Return the steps, each with the part of the results it adds to; the most wanted first."""
    shapes = [Shape("tiny", 2, 16)] if setting.is_small else SHAPES

    def verify(precision: str) -> tuple[str, str, Callable[[], Any]]:
        run = lambda: verification.verify(setting, precision)  # noqa: E731
        return f"verification, {precision}", "verification", run

    def gradients(precision: str) -> tuple[str, str, Callable[[], Any]]:
        run = lambda: agreement.gradients(setting, precision)  # noqa: E731
        return f"gradients, {precision}", "gradients", run

    def finetune(backend: str, precision: str) -> tuple[str, str, Callable[[], Any]]:
        run = lambda: finetuning.finetune(setting, backend, precision)  # noqa: E731
        return f"fine-tuning, {backend}, {precision}", "finetuning", run

    def time_steps(shape: Shape) -> tuple[str, str, Callable[[], Any]]:
        return f"speed, {shape}", "speed", lambda: speed.measure(setting, shape, precisions)

    # The precision that training on a GPU is meant for.
    main = "bf16" if "bf16" in precisions else precisions[0]
    others = [precision for precision in precisions if precision != precisions[0]]
    profile = lambda: [kernel_times.profile(setting, shapes[0], main)]  # noqa: E731
    return [
        ("doctor", "doctor", lambda: doctor(setting)),
        ("kernels", "kernels", lambda: kernel_tests.kernel_tests(setting)),
        time_steps(shapes[0]),
        verify(precisions[0]),
        gradients(precisions[0]),
        (f"runs, {main}", "runs", lambda: runs.runs(setting, main)),
        (f"memory, {main}", "runs", lambda: [runs.out_of_memory(setting, main)]),
        finetune(setting.backend, main),
        *([finetune(CPU, "f32")] if setting.backend != CPU else []),
        *map(time_steps, shapes[1:]),
        (f"profile, {shapes[0]}, {main}", "profile", profile),
        *map(verify, others),
        *map(gradients, others),
        *(finetune(setting.backend, precision) for precision in precisions if precision != main),
    ]


def write(results: Results, setting: Setting, folder: Path) -> None:
    """Write the tables and what the programs said."""
    text = json.dumps(results, indent=1)
    (folder / "table.json").write_text(text, encoding="utf-8")
    (folder / "table.md").write_text(tables.page(results), encoding="utf-8")
    with (folder / "logs.txt").open("w", encoding="utf-8") as logs:
        for log in setting.logs:
            said = log.read_text(encoding="utf-8", errors="replace")
            if said:
                left_out = "(the beginning is left out)\n" if len(said) > LOG_BYTES else ""
                print(f"===== {log.stem}\n{left_out}{said[-LOG_BYTES:]}", file=logs)


def unpack_model(setting: Setting) -> None:
    """Unpack the weights, which are packed in a way of their own."""
    packed = setting.pack / "model/model.safetensors.xz"
    weights = packed.with_suffix("")
    if not weights.exists():
        with lzma.open(packed) as source, weights.open("wb") as target:
            shutil.copyfileobj(source, target)


def parse_arguments(pack: dict[str, Any]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder for table.md, table.json, logs.txt")
    parser.add_argument("--backend", default=pack["backend"], help="one that the programs have")
    parser.add_argument("--precisions", help="f32,tf32,bf16 on a GPU, f32 on a CPU, if absent")
    parser.add_argument("--seconds", type=float, default=540, help="for everything")
    parser.add_argument("--home", type=Path, help="folder where caches stay for another run")
    parser.add_argument("--only", nargs="+", help="steps whose names begin so", default=[""])
    parser.add_argument("--small", action="store_true", help="little of everything, to try it out")
    arguments = parser.parse_args()
    default = "f32,tf32,bf16" if arguments.backend.startswith("cuda") else "f32"
    arguments.precisions = (arguments.precisions or default).split(",")
    return arguments


def main() -> None:
    """Run every step; write the results after each."""
    start = time.monotonic()
    pack = json.loads((PACK / "pack.json").read_text(encoding="utf-8"))
    arguments = parse_arguments(pack)
    arguments.results.mkdir(parents=True, exist_ok=True)
    folder = arguments.results.resolve()
    with tempfile.TemporaryDirectory(prefix="temper-carry-") as work:
        on_gpu = arguments.backend.startswith("cuda")
        setting = Setting(
            pack=PACK,
            work=Path(work),
            backend=arguments.backend,
            limits=Limits(start + arguments.seconds),
            environment=machine.toolkit(Path(work) / "cuda") if on_gpu else {},
            families=2 if arguments.small else None,
            train_rows=64 if arguments.small else None,
            is_small=arguments.small,
        )
        # Caches of inductor and CubeCL go where everything else does, which may be written.
        os.environ["HOME"] = str(arguments.home.resolve()) if arguments.home else work
        os.chdir(work)
        unpack_model(setting)
        results: Results = {"pack": pack, "machine": machine.describe(), "steps": []}
        results["machine"]["cuda"] = setting.environment
        wanted = tuple(arguments.only)
        for name, part, step in steps(setting, arguments.precisions):
            if not name.startswith(wanted):
                continue
            began = time.monotonic()
            outcome = "done"
            try:
                rows = step()
                if isinstance(rows, list):
                    results.setdefault(part, []).extend(rows)
                else:
                    results[part] = rows
            except FailedError as error:
                outcome = f"failed: {error}"
            except Exception as error:
                outcome = f"failed: {error!r}"
                setting.log(f"error-{len(results['steps'])}").write_text(traceback.format_exc())
            seconds = time.monotonic() - began
            print(f"{name}: {outcome} ({seconds:.0f} s)", flush=True)
            step_row = {"name": name, "outcome": outcome, "seconds": round(seconds, 1)}
            results["steps"].append(step_row)
            write(results, setting, folder)
        os.chdir(folder)
    print(f"{time.monotonic() - start:.0f} s in all; the table: {folder / 'table.md'}")


if __name__ == "__main__":
    main()
