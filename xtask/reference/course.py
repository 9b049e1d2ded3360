"""The training that `finetune.py`, `finetune_tokens.py` and `finetune_qa.py` share.

A plain PyTorch loop with Temper's rules: AdamW, a linear schedule with warm-up,
clipping by the global norm, and the best epoch by one metric of the validation
split. Temper packs its batches; here they are padded to the longest row of each.
"""

import argparse
import copy
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import LengthGroupedSampler

from training import clip_and_step, decayed_adamw

EVAL_BATCH_SIZE = 64

Metrics = dict[str, float]


class Split(Protocol):
    """A tokenised split."""

    def lengths(self) -> list[int]:
        """Return the number of tokens of each row."""

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad the rows to the longest among them, targets included."""


@dataclass(frozen=True)
class Headline:
    """The metric that chooses the best epoch."""

    name: str
    higher_is_better: bool = True

    def value(self, metrics: Metrics) -> float:
        """Return the metric so that more is better."""
        return metrics[self.name] if self.higher_is_better else -metrics[self.name]


@dataclass
class History:
    """What a training run leaves behind."""

    step_seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    validations: list[Metrics] = field(default_factory=list)
    best_epoch: int = 0
    examples: int = 0


def cut(order: list[int], size: int) -> list[list[int]]:
    """Cut an order into batches."""
    return [order[first : first + size] for first in range(0, len(order), size)]


def by_length(split: Split) -> Iterator[list[int]]:
    """Yield batches for an evaluation: rows of like lengths together."""
    lengths = split.lengths()
    yield from cut(sorted(range(len(lengths)), key=lengths.__getitem__), EVAL_BATCH_SIZE)


def plan_epoch(
    split: Split, size: int, generator: random.Random, is_grouped: bool
) -> list[list[int]]:
    """Plan the batches of one epoch: shuffled, or grouped as transformers' Trainer groups them."""
    if is_grouped:
        seed = torch.Generator().manual_seed(generator.randrange(2**31))
        return cut(list(LengthGroupedSampler(size, lengths=split.lengths(), generator=seed)), size)
    order = list(range(len(split.lengths())))
    generator.shuffle(order)
    return cut(order, size)


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
        history.examples += len(batch["input_ids"])
        now = time.perf_counter()
        history.step_seconds.append(now - start)
        start = now


def fit(
    model: PreTrainedModel,
    split: Split,
    validate: Callable[[], Metrics],
    headline: Headline,
    arguments: argparse.Namespace,
) -> History:
    """Train the model and leave the weights of its best epoch in it."""
    size = arguments.per_device_train_batch_size
    steps = math.ceil(len(split.lengths()) / size) * arguments.num_train_epochs
    steps = arguments.max_steps or steps
    optimizer = decayed_adamw(model, arguments.learning_rate, arguments.weight_decay, fused=True)
    warmup = math.ceil(steps * arguments.warmup_ratio)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    generator = random.Random(arguments.seed)

    history = History()
    best_weights: dict[str, Tensor] = {}
    best = -math.inf
    while len(history.losses) < steps:
        plan = plan_epoch(split, size, generator, arguments.group_by_length)
        plan = plan[: steps - len(history.losses)]
        batches = (split.batch(indices) for indices in plan)
        train_epoch(model, batches, optimizer, schedule, arguments.max_grad_norm, history)
        metrics = validate()
        history.validations.append(metrics)
        epoch = len(history.validations)
        print(
            f"epoch {epoch}: validation {headline.name} {metrics[headline.name]:.4f}",
            file=sys.stderr,
        )
        if headline.value(metrics) > best:
            history.best_epoch, best = epoch, headline.value(metrics)
            best_weights = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return history


def begin(arguments: argparse.Namespace) -> None:
    """Set seed and threads. Call it before the model is made: its head is drawn under the seed."""
    transformers.set_seed(arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)


def report(
    arguments: argparse.Namespace, history: History, test: Metrics, own: dict[str, Any]
) -> None:
    """Write the results to `--json` and their main points to stdout."""
    seconds = sum(history.step_seconds)
    results = {
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
        **own,
        "steps": len(history.losses),
        "losses": history.losses,
        "validation": history.validations,
        "best_epoch": history.best_epoch,
        "test": test,
        "train_seconds": seconds,
        "examples_per_second": history.examples / seconds,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    scores = " ".join(f"{name} {value:.4f}" for name, value in test.items())
    print(f"test {scores} | {results['steps']} steps in {seconds:.1f} s")


def parser(description: str) -> argparse.ArgumentParser:
    """Return the common command line; the names are Hugging Face's where they exist."""
    result = argparse.ArgumentParser(description=description.splitlines()[0])
    result.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    result.add_argument("--json", type=Path, help="file for the results")
    result.add_argument("--seed", type=int, default=42)
    result.add_argument("--subset-seed", type=int, default=42)
    result.add_argument("--max-train-samples", type=int)
    result.add_argument("--max-eval-samples", type=int)
    result.add_argument("--max-test-samples", type=int)
    result.add_argument("--num-train-epochs", type=int, default=3)
    result.add_argument("--max-steps", type=int, help="overrides the number of epochs")
    result.add_argument("--learning-rate", type=float, default=2e-5)
    result.add_argument("--per-device-train-batch-size", type=int, default=32)
    result.add_argument("--max-seq-length", type=int, default=128)
    result.add_argument("--weight-decay", type=float, default=0.01)
    result.add_argument("--warmup-ratio", type=float, default=0.1)
    result.add_argument("--max-grad-norm", type=float, default=1.0)
    result.add_argument("--group-by-length", action="store_true", help="as the Trainer can")
    result.add_argument("--threads", type=int, help="CPU threads; torch's choice if absent")
    return result
