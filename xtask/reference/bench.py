"""Measure Temper and PyTorch alternately in one run; write what docs/BENCHMARKS.md shows."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import bench_report
from bench_cases import (
    ACCURACY,
    BOTH,
    FINETUNE,
    FIRST_STEP,
    MEMORY_PREFIX,
    Case,
    chosen,
    job_cases,
    judging_case,
    label_of,
    names,
)
from bench_jobs import Sources, Workload
from bench_worker import Program, Worker, alternate, working

HERE = Path(__file__).resolve().parent
# The sides compute the same if no logit differs by more.
LOGIT_TOLERANCE = 1e-4
# Fine-tuning whole, once a side: MiniLM on IMDB.
FINETUNE_FLAGS = {
    "--num-train-epochs": 1,
    "--max-train-samples": 2000,
    "--max-eval-samples": 500,
    "--max-test-samples": 1000,
    "--max-seq-length": 256,
    "--learning-rate": 2e-4,
    "--seed": 42,
}

PACKAGES = [
    "torch",
    "transformers",
    "tokenizers",
    "onnxruntime",
    "openvino",
    "nncf",
    "llama_cpp_python",
]

Result = dict[str, Any]


class Bench:
    """The programs and the folder of a run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Find models and reviews through temper itself; write the jobs' models."""
        self.arguments = arguments
        self.work: Path = arguments.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.programs = programs(arguments)
        self.checkpoint = self.fetch("minilm", "config.json").parent
        self.reviews = self.fetch("imdb", "train-00000-of-00001.parquet")
        sources = Sources(
            minilm=self.classifier(),
            train_reviews=self.reviews,
            test_reviews=self.fetch("imdb", "test-00000-of-00001.parquet"),
            smollm2=self.converted("smollm2"),
            f16=self.converted("smollm2.gguf", "--gguf-type", "f16"),
            q8_0=self.converted("smollm2-q8_0.gguf", "--gguf-type", "q8_0"),
        )
        self.workload = Workload(sources, self.work)

    def classifier(self) -> Path:
        """Return the model of a fine-tuning: what accuracies are judged by."""
        model = self.work / "runs/bench/model"
        if not model.exists():
            subprocess.run(self.finetuning(), stdout=subprocess.DEVNULL, check=True)
        return model

    def finetuning(self) -> list[str | Path]:
        """Return the command that fine-tunes MiniLM on IMDB."""
        flags = [str(part) for flag in FINETUNE_FLAGS.items() for part in flag]
        command = [self.arguments.temper, "finetune", self.checkpoint, "imdb", "--preset", "full"]
        command += ["--output-dir", self.work / "runs", "--run-name", "bench"]
        return [*command, "--overwrite-output-dir", "--quiet", "--json", *self.mirror(), *flags]

    def converted(self, name: str, *flags: str) -> Path:
        """Return SmolLM2 as a folder or as a file of llama.cpp."""
        path = self.work / name
        if not path.exists():
            command = [self.arguments.temper, "convert", "smollm2", path, *flags]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return path

    def fetch(self, name: str, file: str) -> Path:
        """Return where temper keeps a file of a model or dataset."""
        command = [self.arguments.temper, "fetch", name, "--json", *self.mirror()]
        if name == "imdb":
            # Its lengths are what the ragged cases are about.
            command.append("--no-stand-in")
        fetched = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if fetched.returncode:
            raise SystemExit(f"{name} cannot be had; name a folder that holds it: --mirror DIR")
        paths = [Path(entry["path"]) for entry in json.loads(fetched.stdout)["files"]]
        return next(path for path in paths if path.name == file)

    def mirror(self) -> list[str]:
        """Return the flag that names the mirror."""
        mirror = self.arguments.mirror
        return ["--mirror", str(mirror)] if mirror else []

    def assign(self, case: Case) -> dict[str, tuple[Program, Path]]:
        """Give each label of a case its program and the file of its job."""
        files = case.write(self.work)
        return {
            label: (self.programs[job.engine], files[label]) for label, job in case.jobs.items()
        }

    def speed(self, case: Case) -> Result:
        """Check that all sides compute the same, then time them alternately."""
        with working(self.assign(case)) as workers:
            # Other precisions are judged by their accuracy.
            exact = [label for label, job in case.jobs.items() if job.precision == "f32"]
            difference = check([workers[label].ask(check=True) for label in exact])
            samples = alternate(workers, self.arguments.pairs, case.warmup, case.repeat)
        rate = {"amount": case.amount, "amount_name": case.amount_name} if case.amount else {}
        unit = "rate" if case.amount else "seconds"
        return result(case.title, unit, samples) | rate | {"largest_difference": difference}

    def accuracy(self) -> Result:
        """Let each setting label the test reviews."""
        accuracies = {}
        case = judging_case(self.workload)
        for label, (program, job) in self.assign(case).items():
            worker = Worker(label, program, job)
            accuracies[label] = [self.workload.accuracy(worker.ask(check=True)["logits"])]
            worker.close()
        return result(case.title, "share", accuracies)

    def first_step(self) -> Result:
        """Time fresh processes until their first optimiser step is done."""
        job = self.workload.dense("train", self.workload.minilm, 16).write(self.work / "first.json")
        samples: dict[str, list[float]] = {label_of(side): [] for side in BOTH}
        for _ in range(1 + self.arguments.pairs):
            for (program, _), (label, seconds) in zip(BOTH, samples.items(), strict=True):
                start = time.perf_counter()
                worker = Worker(label, self.programs[program], job)
                worker.ask(repeat=1)
                seconds.append(time.perf_counter() - start)
                worker.close()
        # The first round brought the files into memory.
        warm = {label: seconds[1:] for label, seconds in samples.items()}
        return result("start of the program to the end of its first step, MiniLM", "seconds", warm)

    def memory(self, case: Case) -> Result:
        """Read the peak memory of fresh processes after some steps."""
        peaks = {}
        for label, (program, job) in self.assign(case).items():
            worker = Worker(label, program, job)
            worker.seconds(1 + case.repeat)
            peaks[label] = [worker.peak_bytes()]
            worker.close()
        return result(f"peak memory: {case.title}", "bytes", peaks)

    def finetune(self) -> Result:
        """Fine-tune, evaluate and test from the command line, once a side."""
        flags = [str(part) for flag in FINETUNE_FLAGS.items() for part in flag]
        out = self.work / "finetune.json"
        theirs = [sys.executable, HERE / "finetune.py", "--model", self.checkpoint]
        theirs += ["--dataset", f"imdb:{self.reviews.parent.parent}", "--json", out, *flags]
        start = time.perf_counter()
        ours = self.finetuning()
        printed = subprocess.run(ours, stdout=subprocess.PIPE, text=True, check=True).stdout
        middle = time.perf_counter()
        subprocess.run(theirs, stdout=subprocess.DEVNULL, check=True)
        temper, torch = map(label_of, BOTH)
        samples = {temper: [middle - start], torch: [time.perf_counter() - middle]}
        accuracies = {
            temper: json.loads(printed)["test"]["metrics"]["accuracy"],
            torch: json.loads(out.read_text(encoding="utf-8"))["test"]["accuracy"],
        }
        title = "fine-tuning MiniLM on 2,000 IMDB reviews and testing it on 1,000"
        return result(title, "seconds", samples) | {"accuracy": accuracies}


def programs(arguments: argparse.Namespace) -> dict[str, Program]:
    """Say how each side's worker is started: every side with all cores."""
    cores = len(os.sched_getaffinity(0))
    torch = [sys.executable, str(HERE / "bench_torch.py"), "--threads", str(cores)]
    sides = dict.fromkeys(["torch", "onnxruntime", "openvino", "llama.cpp"], Program(torch))
    sides["temper"] = Program([str(arguments.temper_bench)])
    if arguments.candle_bench:
        sides["candle"] = Program([str(arguments.candle_bench)])
    return sides


def check(answers: list[dict[str, Any]]) -> float:
    """Return the largest difference of a logit from Temper's, which is first; ids must be equal."""
    ours, others = answers[0], answers[1:]
    if "rows" in ours:
        if any(answer != ours for answer in others):
            raise SystemExit("the sides' token ids differ: nothing to compare")
        return 0.0
    logits = np.array(ours["logits"])
    difference = max(float(np.abs(np.array(each["logits"]) - logits).max()) for each in others)
    # Turned around, the comparison would let a NaN pass.
    if not difference <= LOGIT_TOLERANCE:
        raise SystemExit(f"the sides' logits differ by {difference:.1e}: nothing to compare")
    return difference


def result(title: str, unit: str, samples: dict[str, list[float]]) -> Result:
    """Return a case's entry in the results."""
    load = os.getloadavg()[0]
    return {"title": title, "unit": unit, "load_after": round(load, 2), "samples": samples}


def machine() -> dict[str, Any]:
    """Describe what all this ran on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
    }


def outcomes(bench: Bench, jobs: list[Case], only: list[str]) -> Iterator[tuple[str, Result]]:
    """Measure the chosen cases one after the other."""
    wanted = chosen(names(jobs), only)
    if wanted(ACCURACY):
        yield ACCURACY, bench.accuracy()
    for case in jobs:
        if wanted(case.name):
            yield case.name, bench.speed(case)
    if wanted(FIRST_STEP):
        yield FIRST_STEP, bench.first_step()
    for case in jobs:
        if case.name.startswith("train-") and wanted(MEMORY_PREFIX + case.name):
            yield MEMORY_PREFIX + case.name, bench.memory(case)
    if wanted(FINETUNE) and (only or not bench.arguments.quick):
        yield FINETUNE, bench.finetune()


def parse_arguments() -> argparse.Namespace:
    """Read the command line; `cargo xtask bench` fills in the programs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--temper", type=Path, required=True, help="the binary temper")
    parser.add_argument("--temper-bench", type=Path, required=True, help="Temper's worker")
    parser.add_argument("--candle-bench", type=Path, help="candle's worker")
    parser.add_argument("--work", type=Path, required=True, help="folder for models and jobs")
    parser.add_argument("--docs", type=Path, required=True, help="where results are written")
    parser.add_argument("--mirror", type=Path, help="as temper's --mirror: a folder with IMDB")
    parser.add_argument("--only", type=lambda names: names.split(","), default=[])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="short samples, nothing written")
    return parser.parse_args()


def main() -> None:
    """Measure, and add each new result to the stored ones."""
    arguments = parse_arguments()
    bench = Bench(arguments)
    jobs = job_cases(bench.workload, arguments.candle_bench is not None, arguments.quick)
    here = machine()
    for name, outcome in outcomes(bench, jobs, arguments.only):
        print("\n".join(bench_report.lines(outcome)), flush=True)
        # Short samples are for trying things out.
        if not arguments.quick:
            bench_report.store(arguments.docs, here, name, outcome)


if __name__ == "__main__":
    main()
