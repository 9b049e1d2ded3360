"""Check that transformers' pipelines say of texts what `temper predict --json` says.

The predictions are JSON lines: a text, perhaps a `text_pair`, and what the model says of it: a
label with probabilities, labels with probabilities, values, entities, the best tokens for hidden
ones, or the answer to a question or a text that is written (whose pipelines transformers 5 no
longer has: their models are asked directly). A warning of transformers is a fault, too.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)

from check_run import WarningCollector

TOLERANCE = 1e-4
MAX_ANSWER_TOKENS = 30

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


def hidden_faults(folder: Path, rows: list[Row]) -> list[str]:
    """Compare the best tokens for hidden ones with those of the pipeline."""
    fill = pipeline("fill-mask", model=str(folder), dtype="float32")
    faults = []
    for number, row in enumerate(rows, start=1):
        best = row["filled"][0]
        found = fill(row["text"], top_k=len(best))
        pairs = zip(found, best, strict=True)
        if not all(
            one["token"] == other["id"] and abs(one["score"] - other["probability"]) <= TOLERANCE
            for one, other in pairs
        ):
            faults.append(f"row {number}: {found}, not {best}")
    return faults


@torch.no_grad()
def answer_faults(folder: Path, rows: list[Row]) -> list[str]:
    """Compare answers with the spans that have the highest logits; contexts of one window."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
    faults = []
    for number, row in enumerate(rows, start=1):
        inputs = tokenizer(
            row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True
        )
        offsets = inputs.pop("offset_mapping")[0].tolist()
        output = model(**inputs)
        starts, ends = output.start_logits[0], output.end_logits[0]
        context = [place for place, text in enumerate(inputs.sequence_ids(0)) if text == 1]
        _, first, last = max(
            ((starts[first] + ends[last]).item(), first, last)
            for first in context
            for last in context
            if first <= last < first + MAX_ANSWER_TOKENS
        )
        found = row["context"][offsets[first][0] : offsets[last][1]].strip()
        if found != row["text"]:
            faults.append(f"row {number}: {found!r}, not {row['text']!r}")
    return faults


@torch.no_grad()
def written_faults(folder: Path, rows: list[Row]) -> list[str]:
    """Compare texts with those that the model writes greedily."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    faults = []
    for number, row in enumerate(rows, start=1):
        inputs = tokenizer(row["text"], return_tensors="pt", return_token_type_ids=False)
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0]
        found = tokenizer.decode(ids, skip_special_tokens=True)
        if found != row["written"]:
            faults.append(f"row {number}: {found!r}, not {row['written']!r}")
    return faults


def main() -> int:
    """Compare and print every fault; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model folder of a run")
    parser.add_argument("--predictions", type=Path, required=True, help="JSON lines")
    parser.add_argument("--aggregation", default="first", help="of the tokens of a word")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_warning()
    transformers.logging.disable_progress_bar()
    collector = WarningCollector()
    transformers.logging.add_handler(collector)
    lines = arguments.predictions.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    if not rows:
        raise ValueError(f"{arguments.predictions} holds no rows")
    if "entities" in rows[0]:
        faults = entity_faults(arguments.model, rows, arguments.aggregation)
    elif "filled" in rows[0]:
        faults = hidden_faults(arguments.model, rows)
    elif "written" in rows[0]:
        faults = written_faults(arguments.model, rows)
    elif "n_best" in rows[0]:
        faults = answer_faults(arguments.model, rows)
    else:
        faults = classification_faults(arguments.model, rows)
    faults += [f"transformers warns: {message}" for message in collector.messages]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(rows)} texts, {len(faults)} differ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
