"""Check that transformers loads a run's model folder as it is and computes the same logits."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

LOADING_FAULTS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


class WarningCollector(logging.Handler):
    """Keeps what transformers would only have printed."""

    def __init__(self) -> None:
        """Collect from WARNING upwards."""
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.messages.append(record.getMessage())


def label_faults(config: PreTrainedConfig, folder: Path) -> list[str]:
    """Say what is wrong with the label names that config.json stores."""
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label")
    if stored is None:
        return ["config.json has no id2label"]
    faults = []
    if sorted(map(int, stored)) != list(range(config.num_labels)):
        faults.append(f"id2label has the ids {list(stored)}, not 0 to {config.num_labels - 1}")
    if len(set(stored.values())) != len(stored):
        faults.append(f"id2label names a label twice: {list(stored.values())}")
    if config.label2id != {name: int(index) for index, name in stored.items()}:
        faults.append(f"label2id {config.label2id} is not the inverse of id2label {stored}")
    return faults


def read_reference(file: Path) -> list[dict[str, Any]]:
    """Read the JSON lines {"text", "logits"}; an empty file would prove nothing."""
    lines = file.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    if not rows:
        raise ValueError(f"{file} holds no rows")
    return rows


@torch.no_grad()
def largest_difference(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[dict[str, Any]],
    max_length: int,
) -> float:
    """Return the largest absolute difference of a logit over all rows."""
    differences = []
    for number, row in enumerate(rows, start=1):
        inputs = tokenizer(row["text"], truncation=True, max_length=max_length, return_tensors="pt")
        logits = model(**inputs).logits[0]
        expected = torch.tensor(row["logits"])
        if logits.shape != expected.shape:
            raise ValueError(f"row {number}: {len(expected)} logits, the model has {len(logits)}")
        differences.append((logits - expected).abs())
    # Torch's maximum keeps a NaN, Python's may lose it.
    return torch.stack(differences).max().item()


def verdict(differences: list[float], tolerance: float, faults: list[str]) -> int:
    """Print every fault, those of the differences included; return the exit status."""
    # Turned around, the comparison would let a NaN pass.
    if not all(difference <= tolerance for difference in differences):
        faults = [*faults, f"the difference is above the tolerance of {tolerance:.1e}"]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model folder of a run")
    parser.add_argument("--reference", type=Path, required=True, help="JSON lines: text, logits")
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


def main() -> int:
    """Load the folder, compare, print every fault; return the exit status."""
    arguments = parse_arguments()
    rows = read_reference(arguments.reference)
    collector = WarningCollector()
    transformers.logging.set_verbosity_warning()
    transformers.logging.add_handler(collector)

    config = AutoConfig.from_pretrained(arguments.model)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model, info = AutoModelForSequenceClassification.from_pretrained(
        arguments.model, dtype=torch.float32, output_loading_info=True
    )
    difference = largest_difference(model.eval(), tokenizer, rows, arguments.max_seq_length)
    print(f"largest difference of a logit over {len(rows)} texts: {difference:.3e}")

    faults = label_faults(config, arguments.model)
    faults += [f"{kind}: {sorted(info[kind])}" for kind in LOADING_FAULTS if info[kind]]
    faults += [f"transformers warns: {message}" for message in collector.messages]
    return verdict([difference], arguments.tolerance, faults)


if __name__ == "__main__":
    sys.exit(main())
