"""Pack what is carried to a machine without registry and internet; `cargo xtask carry` runs it."""

import argparse
import json
import lzma
import random
import shutil
import subprocess
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
# The scripts that are packed besides those of this folder.
SHARED = ["bench_torch.py", "bench_worker.py", "training.py"]
FIXTURE_FILES = ["config.json", "model.safetensors", "reference.safetensors"]
TOKENIZER_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json"]
# Rows of each split, as in docs/BENCHMARKS.md.
ROWS = {"train": 2000, "validation": 300, "test": 1000}
SEED = 42
# Of each review: about the 128 tokens that are read.
CHARACTERS = 700
# As long as the program.
DICTIONARY = 128 << 20


def fetch(arguments: argparse.Namespace, name: str) -> list[Path]:
    """Return where temper keeps the files of a model or dataset."""
    command = [str(arguments.temper_bench), "temper", "fetch", name, "--json", "--no-stand-in"]
    command += ["--mirror", str(arguments.mirror)]
    fetched = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if fetched.returncode:
        raise SystemExit(f"{name} cannot be had; name a folder that holds it: --mirror DIR")
    return [Path(entry["path"]) for entry in json.loads(fetched.stdout)["files"]]


def write_model(source: Path, folder: Path) -> None:
    """Write the checkpoint with its weights as bfloat16: half the bytes."""
    folder.mkdir()
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)
    tensors = load_file(source / "model.safetensors")
    halved = {
        name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    save_file(halved, folder / "model.safetensors", {"format": "pt"})
    weights = (folder / "model.safetensors").read_bytes()
    # Alternate bytes are alike, above all those with the exponent: contexts for odd and even ones.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]
    (folder / "model.safetensors.xz").write_bytes(lzma.compress(weights, filters=filters))
    (folder / "model.safetensors").unlink()


def write_data(files: list[Path], folder: Path) -> None:
    """Write an extract of IMDB, both labels alike often, as temper reads a local dataset."""
    folder.mkdir()
    tables = {
        name: pyarrow.parquet.read_table(next(file for file in files if name in file.name))
        for name in ("train", "test")
    }
    taken = {name: shuffled(table.to_pylist()) for name, table in tables.items()}
    train = ROWS["train"]
    splits = {
        "train": taken["train"][:train],
        "validation": taken["train"][train : train + ROWS["validation"]],
        "test": taken["test"][: ROWS["test"]],
    }
    for name, rows in splits.items():
        names = ["negative", "positive"]
        lines = [
            json.dumps({"text": row["text"][:CHARACTERS], "label": names[row["label"]]})
            for row in rows
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def shuffled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows in another order: the files are sorted by label."""
    random.Random(SEED).shuffle(rows)
    return rows


def write_fixtures(source: Path, folder: Path) -> None:
    """Copy what `temper verify` reads of every variant that has a classifier.

    Other heads differ in the last map alone, and random weights cannot be compressed.
    """
    for fixture in sorted(source.glob("*-sequence-classification")):
        target = folder / fixture.name
        target.mkdir(parents=True)
        for name in FIXTURE_FILES:
            if (fixture / name).exists():
                shutil.copyfile(fixture / name, target / name)


def write_programs(program: Path, tests: list[Path], folder: Path) -> None:
    """Copy programs without their symbols; temper is in Temper's worker and gets a name."""
    subprocess.run(["strip", "-o", folder / program.name, program], check=True)
    (folder / "tests").mkdir()
    for test in tests:
        # Without the hash that cargo adds.
        name = test.name.rpartition("-")[0]
        subprocess.run(["strip", "-o", folder / "tests" / name, test], check=True)
    temper = folder / "temper"
    temper.write_text(
        f'#!/bin/sh\nexec "$(dirname "$0")/{program.name}" temper "$@"\n', encoding="utf-8"
    )
    temper.chmod(0o755)


def needed_glibc(program: Path) -> str:
    """Return the newest version of glibc that a program asks for."""
    listed = subprocess.run(["readelf", "-V", program], stdout=subprocess.PIPE, text=True).stdout
    versions = {word[6:].rstrip(":") for word in listed.split() if word.startswith("GLIBC_")}
    public = [version.split(".") for version in versions if version != "PRIVATE"]
    numbers = [[int(part) for part in version] for version in public]
    return ".".join(map(str, max(numbers, default=[0])))


def write_scripts(folder: Path) -> None:
    """Copy the scripts that run there."""
    folder.mkdir()
    for script in [*HERE.glob("*.py"), *(HERE.parent / name for name in SHARED)]:
        if script.name != Path(__file__).name:
            shutil.copyfile(script, folder / script.name)


def compress(folder: Path, target: Path) -> None:
    """Write the folder as one tar.xz."""
    filters = [{"id": lzma.FILTER_X86}]
    filters += [
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": DICTIONARY}
    ]
    with (
        lzma.open(target, "wb", filters=filters) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)


def parse_arguments() -> argparse.Namespace:
    """Read the command line; `cargo xtask carry` fills it in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--temper-bench", type=Path, required=True, help="Temper's worker, which is temper, too"
    )
    parser.add_argument(
        "--kernel-tests", type=Path, nargs="*", default=[], help="tests of the kernels"
    )
    parser.add_argument("--fixtures", type=Path, required=True, help="folder of the zoo")
    parser.add_argument("--mirror", type=Path, required=True, help="as temper's --mirror")
    parser.add_argument("--backend", required=True, help="what the programs were built for")
    parser.add_argument("--version", required=True, help="Temper's version")
    parser.add_argument("--commit", required=True, help="what it was built from")
    parser.add_argument("--out", type=Path, required=True, help="folder for run.sh and the pack")
    return parser.parse_args()


def main() -> None:
    """Write run.sh and pack.tar.xz."""
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / "pack.tar.xz"
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_programs(arguments.temper_bench, arguments.kernel_tests, folder)
        write_scripts(folder / "scripts")
        write_fixtures(arguments.fixtures, folder / "fixtures")
        write_model(fetch(arguments, "minilm")[0].parent, folder / "model")
        write_data(fetch(arguments, "imdb"), folder / "data")
        glibc = needed_glibc(folder / arguments.temper_bench.name)
        pack = {
            "temper": arguments.version,
            "commit": arguments.commit,
            "backend": arguments.backend,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "glibc": glibc,
        }
        (folder / "pack.json").write_text(json.dumps(pack), encoding="utf-8")
        sizes = {path.name: size(path) for path in folder.iterdir()}
        compress(folder, target)
    shutil.copyfile(HERE / "run.sh", arguments.out / "run.sh")
    listed = ", ".join(f"{name} {bytes / 2**20:.1f}" for name, bytes in sorted(sizes.items()))
    print(f"in MiB: {listed}; packed {target.stat().st_size / 2**20:.1f}; needs glibc {glibc}")
    print(f"there: bash {arguments.out.name}/run.sh RESULTS")


def size(path: Path) -> int:
    """Return the bytes of a file or of all files of a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


if __name__ == "__main__":
    main()
