"""Write datasets as `save_to_disk` of `datasets` does, for the tests of temper-data.

Needs `datasets`, which the other scripts do not. Writes a `DatasetDict` with class labels,
shards, lists, structs, nulls and a split that is neither train, validation nor test; a `Dataset`
without splits; and the rows of the latter in several batches of Arrow's file format.
"""

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets.utils.logging import disable_progress_bar

FEATURES = Features(
    {
        "id": Value("int32"),
        "text": Value("string"),
        "label": ClassLabel(names=["negative", "neutral", "positive"]),
        "tokens": [Value("large_string")],
        "tags": [ClassLabel(names=["O", "B-film"])],
        "answers": {"text": [Value("string")], "answer_start": [Value("int64")]},
        "score": Value("float16"),
        "ok": Value("bool"),
        "day": Value("date32"),
        "bytes": Value("binary"),
    }
)


def rows(numbers: Iterable[int]) -> Dataset:
    """Make rows that their numbers decide; every third has nulls."""
    row = [
        {
            "id": number - 3,
            "text": f"film {number}: naïve café 你好",
            "label": number % 3,
            "tokens": ["film", str(number)][: number % 3],
            "tags": [1, 0][: number % 3],
            "answers": {"text": ["film"] * (number % 2), "answer_start": [0] * (number % 2)},
            "score": None if number % 3 == 0 else number / 4,
            "ok": None if number % 3 == 0 else number % 2 == 0,
            "day": None,
            "bytes": b"\xff\x00" if number % 2 else b"plain",
        }
        for number in numbers
    ]
    return Dataset.from_list(row, features=FEATURES)


def main() -> None:
    """Write the datasets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="crates/temper-data/tests/fixtures/saved"
    )
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    disable_progress_bar()
    ranges = {"train": range(20), "test": range(20, 25), "unsupervised": range(25, 27)}
    splits = DatasetDict({name: rows(numbers) for name, numbers in ranges.items()})
    splits.save_to_disk(out / "splits", num_shards={"train": 2, "test": 1, "unsupervised": 1})
    whole = rows(range(12))
    whole.save_to_disk(out / "whole")
    table = whole.data.table
    with pyarrow.ipc.new_file(out / "batches.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=5)


if __name__ == "__main__":
    main()
