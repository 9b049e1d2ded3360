"""The classification datasets, split by a hash of the text as Temper splits them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

TEST_SHARE = 0.1
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Row:
    """One labelled text, or a pair; the label is a name, a list of names or a number."""

    text: str
    label: Any
    text_pair: str | None = None


@dataclass(frozen=True)
class Splits:
    """The rows to train on, to select by and to report on."""

    train: list[Row]
    validation: list[Row]
    test: list[Row]


def unit_hash(text: str) -> float:
    """Map the text to [0, 1]: the first 8 bytes of its sha256, big-endian, over 2^64."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def subset(rows: list[Row], limit: int | None, seed: int) -> list[Row]:
    """Keep the rows with the smallest seeded hashes, in their original order."""
    if limit is None or limit >= len(rows):
        return rows
    digests = [hashlib.sha256(f"{seed}:{row.text}".encode()).digest() for row in rows]
    # The sort is stable, so equal texts keep the order of their rows.
    kept = sorted(range(len(rows)), key=digests.__getitem__)[:limit]
    return [rows[index] for index in sorted(kept)]


def read_snippet_rows(file: Path) -> list[Row]:
    """Read rated snippets: id, mean rating and text, separated by tabs; ties are dropped.

    The file is strict UTF-8 without a byte order mark; its lines end in CR LF,
    the last one in nothing.
    """
    rows = []
    for number, line in enumerate(file.read_bytes().decode("utf-8").split("\n"), start=1):
        line = line.rstrip("\r")
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != 3:
            raise ValueError(f"{file}, line {number}: {len(fields)} fields instead of 3")
        rating = float(fields[1])
        if rating != 0:
            rows.append(Row(fields[2].strip(), int(rating > 0)))
    return rows


def load_snippets(file: Path) -> Splits:
    """Split the snippets into test, validation and train by their hash."""
    splits = Splits([], [], [])
    for row in read_snippet_rows(file):
        place = unit_hash(row.text)
        if place < TEST_SHARE:
            splits.test.append(row)
        elif place < TEST_SHARE + VALIDATION_SHARE:
            splits.validation.append(row)
        else:
            splits.train.append(row)
    return splits


def read_parquet_rows(file: Path) -> list[Row]:
    """Read the columns `text` and `label`."""
    table = pyarrow.parquet.read_table(file, columns=["text", "label"])
    return [Row(row["text"], row["label"]) for row in table.to_pylist()]


def load_imdb(folder: Path) -> Splits:
    """Take the test split as it is and cut validation from train by hash.

    A review of train that is also in test would be a leak and is dropped.
    """
    data = folder / "plain_text"
    test = read_parquet_rows(data / "test-00000-of-00001.parquet")
    test_texts = {row.text for row in test}
    splits = Splits([], [], test)
    for row in read_parquet_rows(data / "train-00000-of-00001.parquet"):
        if row.text in test_texts:
            continue
        chosen = unit_hash(row.text) < VALIDATION_SHARE
        (splits.validation if chosen else splits.train).append(row)
    return splits


def read_json_rows(file: Path) -> list[Row]:
    """Read JSON lines with the keys `text`, `label` and perhaps `text_pair`."""
    lines = file.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    return [Row(row["text"], row["label"], row.get("text_pair")) for row in rows]


def load_jsonl(folder: Path) -> Splits:
    """Read the files of the three splits as they are."""
    names = ("train", "validation", "test")
    return Splits(*(read_json_rows(folder / f"{name}.jsonl") for name in names))


LOADERS = {"snippets": load_snippets, "imdb": load_imdb, "jsonl": load_jsonl}


def load_splits(source: str) -> Splits:
    """Load `snippets:FILE`, `imdb:FOLDER` or `jsonl:FOLDER`."""
    kind, _, path = source.partition(":")
    if kind not in LOADERS or not path:
        raise ValueError(f"dataset {source!r}: expected one of {list(LOADERS)}, a colon, a path")
    return LOADERS[kind](Path(path))
