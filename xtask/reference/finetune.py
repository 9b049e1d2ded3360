"""Fine-tune a local checkpoint with transformers: the run that Temper is compared with.

A plain PyTorch loop with Temper's rules: batches of shuffled rows, AdamW, a
linear schedule with warm-up, clipping by the global norm, and the best epoch by
validation accuracy. Temper packs its batches; here they are padded to the
longest row of each.
"""

import argparse
import copy
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_linear_schedule_with_warmup,
)

from splits import Row, Splits, load_splits, subset
from training import clip_and_step, decayed_adamw

LABELS = ["negative", "positive"]
EVAL_BATCH_SIZE = 64


@dataclass
class Encoded:
    """A tokenised split: one dictionary of token lists for each row."""

    rows: list[dict[str, list[int]]]
    labels: list[int]
    tokenizer: PreTrainedTokenizerBase

    def lengths(self) -> list[int]:
        """Return the number of tokens of each row."""
        return [len(row["input_ids"]) for row in self.rows]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad the rows to the longest among them."""
        rows = [self.rows[index] for index in indices]
        batch = dict(self.tokenizer.pad(rows, return_tensors="pt"))
        batch["labels"] = torch.tensor([self.labels[index] for index in indices])
        return batch


@dataclass
class History:
    """What a training run leaves behind."""

    step_seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    examples: int = 0


def encode(tokenizer: PreTrainedTokenizerBase, rows: list[Row], max_length: int) -> Encoded:
    """Tokenise the rows, cut to the maximum length."""
    encodings = tokenizer([row.text for row in rows], truncation=True, max_length=max_length)
    names = list(encodings.keys())
    tokens = [
        dict(zip(names, values, strict=True))
        for values in zip(*(encodings[name] for name in names), strict=True)
    ]
    return Encoded(tokens, [row.label for row in rows], tokenizer)


def epoch_batches(rows: int, size: int, generator: random.Random) -> list[list[int]]:
    """Shuffle the rows and cut them into batches."""
    order = list(range(rows))
    generator.shuffle(order)
    return [order[first : first + size] for first in range(0, rows, size)]


@torch.no_grad()
def evaluate(model: PreTrainedModel, split: Encoded) -> dict[str, float]:
    """Return accuracy, macro F1 and Matthews' correlation on the split."""
    model.eval()
    lengths = split.lengths()
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    labels, predictions = [], []
    for start in range(0, len(order), EVAL_BATCH_SIZE):
        batch = split.batch(order[start : start + EVAL_BATCH_SIZE])
        labels += batch["labels"].tolist()
        predictions += model(**batch).logits.argmax(dim=-1).tolist()
    return {
        "accuracy": accuracy_score(labels, predictions),
        "macro_f1": f1_score(labels, predictions, average="macro"),
        "mcc": matthews_corrcoef(labels, predictions),
    }


def train_epoch(
    model: PreTrainedModel,
    batches: Iterator[dict[str, Tensor]],
    optimizer: torch.optim.AdamW,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    max_grad_norm: float,
    history: History,
) -> None:
    """Take one step for each batch and time it, padding included."""
    model.train()
    start = time.perf_counter()
    for batch in batches:
        loss = model(**batch).loss
        loss.backward()
        clip_and_step(model, optimizer, max_grad_norm)
        schedule.step()
        history.losses.append(loss.item())
        history.examples += len(batch["labels"])
        now = time.perf_counter()
        history.step_seconds.append(now - start)
        start = now


def train(
    model: PreTrainedModel, split: Encoded, validation: Encoded, arguments: argparse.Namespace
) -> History:
    """Train the model and leave the weights of its best epoch in it."""
    size = arguments.per_device_train_batch_size
    rows = len(split.rows)
    steps = math.ceil(rows / size) * arguments.num_train_epochs
    steps = arguments.max_steps or steps
    optimizer = decayed_adamw(model, arguments.learning_rate, arguments.weight_decay, fused=True)
    warmup_steps = math.ceil(steps * arguments.warmup_ratio)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup_steps, steps)
    generator = random.Random(arguments.seed)

    history = History()
    best_weights: dict[str, Tensor] = {}
    best_accuracy = -1.0
    while len(history.losses) < steps:
        plan = epoch_batches(rows, size, generator)[: steps - len(history.losses)]
        batches = (split.batch(indices) for indices in plan)
        train_epoch(model, batches, optimizer, schedule, arguments.max_grad_norm, history)
        metrics = evaluate(model, validation)
        history.validations.append(metrics)
        epoch = len(history.validations)
        print(f"epoch {epoch}: validation accuracy {metrics['accuracy']:.4f}", file=sys.stderr)
        if metrics["accuracy"] > best_accuracy:
            history.best_epoch, best_accuracy = epoch, metrics["accuracy"]
            best_weights = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return history


def load_data(arguments: argparse.Namespace) -> Splits:
    """Load the dataset, cut to the limits of the command line."""
    splits = load_splits(arguments.dataset)
    seed = arguments.subset_seed
    return Splits(
        subset(splits.train, arguments.max_train_samples, seed),
        subset(splits.validation, arguments.max_eval_samples, seed),
        subset(splits.test, arguments.max_test_samples, seed),
    )


def load_model(folder: Path) -> tuple[PreTrainedModel, list[str]]:
    """Load the checkpoint under a fresh head; name the tensors it did not hold."""
    model, info = AutoModelForSequenceClassification.from_pretrained(
        folder,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        dtype=torch.float32,
        output_loading_info=True,
    )
    return model, sorted(info["missing_keys"])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune, test and return the results."""
    # Before the model: its head is drawn under the seed.
    transformers.set_seed(arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    splits = load_data(arguments)
    model, new_tensors = load_model(arguments.model)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    length = arguments.max_seq_length
    training = encode(tokenizer, splits.train, length)
    validation = encode(tokenizer, splits.validation, length)
    test = encode(tokenizer, splits.test, length)

    history = train(model, training, validation, arguments)
    seconds = sum(history.step_seconds)
    return {
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
        "rows": {name: len(rows) for name, rows in vars(splits).items()},
        "new_tensors": new_tensors,
        "steps": len(history.losses),
        "losses": history.losses,
        "validation": history.validations,
        "best_epoch": history.best_epoch,
        "test": evaluate(model, test),
        "train_seconds": seconds,
        "seconds_per_step": seconds / len(history.losses),
        "median_seconds_per_step": statistics.median(history.step_seconds),
        "examples_per_second": history.examples / seconds,
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line; the names are Hugging Face's where they exist."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--dataset", required=True, help="snippets:FILE or imdb:FOLDER")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--subset-seed", type=int, default=42)
    parser.add_argument("--max-train-samples", type=int)
    parser.add_argument("--max-eval-samples", type=int)
    parser.add_argument("--max-test-samples", type=int)
    parser.add_argument("--num-train-epochs", type=int, default=3)
    parser.add_argument("--max-steps", type=int, help="overrides the number of epochs")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--per-device-train-batch-size", type=int, default=32)
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--warmup-ratio", type=float, default=0.1)
    parser.add_argument("--max-grad-norm", type=float, default=1.0)
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice if absent")
    return parser.parse_args()


def main() -> None:
    """Run and report: one line on stdout, everything in the JSON file."""
    arguments = parse_arguments()
    results = run(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    test = results["test"]
    print(
        f"test accuracy {test['accuracy']:.4f} macro_f1 {test['macro_f1']:.4f} "
        f"mcc {test['mcc']:.4f} | {results['steps']} steps in {results['train_seconds']:.1f} s, "
        f"{results['seconds_per_step']:.3f} s/step, {results['examples_per_second']:.1f} examples/s"
    )


if __name__ == "__main__":
    main()
