"""Check that transformers' pipelines say of texts what `temper predict --json` says.

The predictions are JSON lines: a text, perhaps a `text_pair`, and what the model says of it: a
label with probabilities, labels with probabilities, values, or entities.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import transformers
from transformers import pipeline

TOLERANCE = 1e-4

Row = dict[str, Any]


def numbers(row: Row) -> dict[str, float]:
    """Return the number of each output by its name."""
    return row.get("probabilities") or row["values"]


def classification_faults(folder: Path, rows: list[Row]) -> list[str]:
    """Compare labels and numbers with those of the pipeline for texts."""
    classify = pipeline("text-classification", model=str(folder), dtype="float32")
    faults = []
    for number, row in enumerate(rows, start=1):
        text = {key: row[key] for key in ("text", "text_pair") if key in row}
        # The function is the one that config.json's problem_type stands for: none is named.
        found = {each["label"]: each["score"] for each in classify(text, top_k=None)}
        expected = numbers(row)
        if found.keys() != expected.keys():
            faults.append(f"row {number}: outputs {sorted(found)}, not {sorted(expected)}")
            continue
        worst = max(abs(found[name] - expected[name]) for name in expected)
        # Turned around, the comparison would let a NaN pass.
        if not worst <= TOLERANCE:
            faults.append(f"row {number}: {found}, not {expected}")
        if "label" in row and max(found, key=found.__getitem__) != row["label"]:
            faults.append(f"row {number}: {max(found, key=found.__getitem__)}, not {row['label']}")
    return faults


def entity_faults(folder: Path, rows: list[Row], aggregation: str) -> list[str]:
    """Compare entities with those of the pipeline for tokens."""
    tag = pipeline(
        "token-classification",
        model=str(folder),
        aggregation_strategy=aggregation,
        dtype="float32",
    )
    faults = []
    for number, row in enumerate(rows, start=1):
        found = [
            (each["entity_group"], each["start"], each["end"], float(each["score"]))
            for each in tag(row["text"])
        ]
        expected = [
            (each["type"], each["start"], each["end"], each["score"]) for each in row["entities"]
        ]
        places = [each[:3] for each in found] == [each[:3] for each in expected]
        scores = all(
            abs(one[3] - other[3]) <= TOLERANCE for one, other in zip(found, expected, strict=False)
        )
        if not (places and scores):
            faults.append(f"row {number}: {found}, not {expected}: {row['text']!r}")
    return faults


def main() -> int:
    """Compare and print every fault; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model folder of a run")
    parser.add_argument("--predictions", type=Path, required=True, help="JSON lines")
    parser.add_argument("--aggregation", default="first", help="of the tokens of a word")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    lines = arguments.predictions.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    if not rows:
        raise ValueError(f"{arguments.predictions} holds no rows")
    if "entities" in rows[0]:
        faults = entity_faults(arguments.model, rows, arguments.aggregation)
    else:
        faults = classification_faults(arguments.model, rows)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(rows)} texts, {len(faults)} differ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
