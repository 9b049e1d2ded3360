"""Check that transformers loads a run's model folder as it is and computes the same logits.

Texts are computed one by one and in padded batches of mixed lengths, in float32.
"""

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
    AutoModelForTokenClassification,
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


def settings_faults(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Say what of config.json and tokenizer_config.json does not fit the weights or each other."""
    config, faults = model.config, []
    if model.dtype != torch.float32:
        faults.append(f"the weights are f32, config.json makes {model.dtype} of them")
    if type(model).__name__ not in (config.architectures or []):
        faults.append(f"architectures is {config.architectures}, the class {type(model).__name__}")
    if tokenizer.pad_token_id is None:
        faults.append("tokenizer_config.json names no pad_token: batches cannot be padded")
    elif config.pad_token_id != tokenizer.pad_token_id:
        ids = f"{config.pad_token_id}, the tokenizer's is {tokenizer.pad_token_id}"
        faults.append(f"pad_token_id is {ids}: batches are read at the wrong token")
    if getattr(config, "quantization_config", None) is not None:
        faults.append("config.json has a quantization_config, the weights are plain f32")
    return faults


@torch.no_grad()
def largest_difference(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[dict[str, Any]],
    settings: argparse.Namespace,
    batch_size: int,
) -> float:
    """Return the largest absolute difference of a logit over all rows, in batches of a size."""
    differences = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        inputs = tokenizer(
            [row["text"] for row in batch],
            truncation=True,
            padding=batch_size > 1,
            max_length=settings.max_seq_length,
            return_tensors="pt",
        )
        for number, logits in enumerate(model(**inputs).logits, start=start + 1):
            expected = torch.tensor(rows[number - 1]["logits"])
            if settings.first_token:
                logits = logits[0]
            if logits.shape != expected.shape:
                found = tuple(logits.shape)
                raise ValueError(f"row {number}: {len(expected)} logits, the model has {found}")
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
    parser.add_argument(
        "--model", type=Path, nargs="+", required=True, help="model folders of runs"
    )
    parser.add_argument(
        "--reference", type=Path, nargs="+", required=True, help="of each, JSON lines: text, logits"
    )
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=8, help="texts in a padded batch")
    parser.add_argument(
        "--first-token", action="store_true", help="a run with --pooling cls: read the first token"
    )
    return parser.parse_args()


def check(folder: Path, reference: Path, settings: argparse.Namespace) -> int:
    """Load a folder, compare, print every fault; return the exit status."""
    rows = read_reference(reference)
    collector = WarningCollector()
    transformers.logging.add_handler(collector)
    config = AutoConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = AutoModelForSequenceClassification
    if settings.first_token:
        kind = AutoModelForTokenClassification
    # As a user loads it: in the type that config.json names.
    model, info = kind.from_pretrained(folder, dtype="auto", output_loading_info=True)
    faults = label_faults(config, folder) + settings_faults(model, tokenizer)
    model = model.float().eval()
    differences = []
    for size in (1, settings.batch_size):
        differences.append(largest_difference(model, tokenizer, rows, settings, size))
        print(f"{len(rows)} texts in batches of {size}: logits differ by {differences[-1]:.3e}")
    transformers.logging.remove_handler(collector)
    faults += [f"{kind}: {sorted(info[kind])}" for kind in LOADING_FAULTS if info[kind]]
    faults += [f"transformers warns: {message}" for message in collector.messages]
    return verdict(differences, settings.tolerance, [f"{folder}: {fault}" for fault in faults])


def main() -> int:
    """Check every folder; return the exit status."""
    arguments = parse_arguments()
    transformers.logging.set_verbosity_warning()
    transformers.logging.disable_progress_bar()
    pairs = zip(arguments.model, arguments.reference, strict=True)
    return max([check(folder, reference, arguments) for folder, reference in pairs])


if __name__ == "__main__":
    sys.exit(main())
