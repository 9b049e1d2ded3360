"""Fine-tune a local checkpoint on words with tags: the run that Temper's is compared with.

As `finetune.py`, with the rules of transformers' run_ner.py: the first token of a
word has its tag, the others -100. Entities are scored by seqeval.
"""

import argparse
import copy
import json
import math
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import transformers
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from torch import Tensor
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_linear_schedule_with_warmup,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from finetune import EVAL_BATCH_SIZE, History, epoch_batches, parse_arguments, train_epoch
from training import decayed_adamw

IGNORED = -100


class Sentences:
    """A tokenised split: token ids and a tag for the first token of each word."""

    def __init__(
        self, file: Path, names: list[str], tokenizer: PreTrainedTokenizerBase, length: int
    ) -> None:
        """Read a parquet file of the lists `tokens` and `ner_tags`."""
        table = pq.read_table(file).to_pydict()
        self.names = names
        self.tokenizer = tokenizer
        self.rows: list[dict[str, list[int]]] = []
        for words, tags in zip(table["tokens"], table["ner_tags"], strict=True):
            row = tokenizer(words, is_split_into_words=True, truncation=True, max_length=length)
            places = row.word_ids()
            first = [
                place is not None and place != before
                for place, before in zip(places, [None, *places[:-1]], strict=True)
            ]
            row = dict(row)
            row["labels"] = [
                tags[place] if is_first else IGNORED
                for place, is_first in zip(places, first, strict=True)
            ]
            self.rows.append(row)

    def lengths(self) -> list[int]:
        """Return the number of tokens of each sentence."""
        return [len(row["input_ids"]) for row in self.rows]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad the sentences to the longest among them."""
        rows = [self.rows[index] for index in indices]
        longest = max(len(row["labels"]) for row in rows)
        labels = [row["labels"] + [IGNORED] * (longest - len(row["labels"])) for row in rows]
        inputs = [{key: row[key] for key in row if key != "labels"} for row in rows]
        batch = dict(self.tokenizer.pad(inputs, return_tensors="pt"))
        batch["labels"] = torch.tensor(labels)
        return batch


@torch.no_grad()
def evaluate(model: PreTrainedModel, split: Sentences) -> dict[str, float]:
    """Return seqeval's scores of entities."""
    model.eval()
    lengths = split.lengths()
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    truth: list[list[str]] = []
    predicted: list[list[str]] = []
    for start in range(0, len(order), EVAL_BATCH_SIZE):
        batch = split.batch(order[start : start + EVAL_BATCH_SIZE])
        best = model(**batch).logits.argmax(dim=-1)
        for labels, row in zip(batch["labels"].tolist(), best.tolist(), strict=True):
            pairs = [
                (split.names[label], split.names[guess])
                for label, guess in zip(labels, row, strict=True)
                if label != IGNORED
            ]
            truth.append([label for label, _ in pairs])
            predicted.append([guess for _, guess in pairs])
    return {
        "f1": float(f1_score(truth, predicted)),
        "precision": float(precision_score(truth, predicted)),
        "recall": float(recall_score(truth, predicted)),
        "accuracy": float(accuracy_score(truth, predicted)),
    }


def plan_epoch(
    split: Sentences, size: int, generator: random.Random, by_length: bool
) -> list[list[int]]:
    """Plan the batches of one epoch: shuffled, or grouped as transformers' Trainer groups them."""
    if not by_length:
        return epoch_batches(len(split.rows), size, generator)
    seed = torch.Generator().manual_seed(generator.randrange(2**31))
    sampler = LengthGroupedSampler(size, lengths=split.lengths(), generator=seed)
    order = list(sampler)
    return [order[first : first + size] for first in range(0, len(order), size)]


def train(
    model: PreTrainedModel,
    split: Sentences,
    validation: Sentences,
    arguments: argparse.Namespace,
) -> History:
    """Train the model and leave the weights of its best epoch in it."""
    size = arguments.per_device_train_batch_size
    steps = math.ceil(len(split.rows) / size) * arguments.num_train_epochs
    optimizer = decayed_adamw(model, arguments.learning_rate, arguments.weight_decay, fused=True)
    warmup = math.ceil(steps * arguments.warmup_ratio)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    generator = random.Random(arguments.seed)
    history = History()
    best_weights: dict[str, Tensor] = {}
    best = -1.0
    for epoch in range(1, arguments.num_train_epochs + 1):
        plan = plan_epoch(split, size, generator, arguments.group_by_length)
        batches = (split.batch(indices) for indices in plan)
        train_epoch(model, batches, optimizer, schedule, arguments.max_grad_norm, history)
        metrics = evaluate(model, validation)
        history.validations.append(metrics)
        print(f"epoch {epoch}: validation f1 {metrics['f1']:.4f}", file=sys.stderr)
        if metrics["f1"] > best:
            history.best_epoch, best = epoch, metrics["f1"]
            best_weights = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return history


def tag_names(file: Path) -> list[str]:
    """Read the names of the tags from the features that the Hub writes into a parquet file."""
    metadata = json.loads(pq.read_schema(file).metadata[b"huggingface"])
    tags = metadata["info"]["features"]["ner_tags"]
    return list((tags.get("feature") or tags)["names"])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune, test and return the results."""
    transformers.set_seed(arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    folder = Path(arguments.dataset)
    files = {
        name: next(folder.glob(f"{name}-*.parquet")) for name in ("train", "validation", "test")
    }
    names = tag_names(files["train"])
    model = AutoModelForTokenClassification.from_pretrained(
        arguments.model,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        dtype=torch.float32,
    )
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    length = arguments.max_seq_length
    split = {name: Sentences(file, names, tokenizer, length) for name, file in files.items()}
    history = train(model, split["train"], split["validation"], arguments)
    seconds = sum(history.step_seconds)
    return {
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
        "steps": len(history.losses),
        "validation": history.validations,
        "best_epoch": history.best_epoch,
        "test": evaluate(model, split["test"]),
        "train_seconds": seconds,
        "median_seconds_per_step": statistics.median(history.step_seconds),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--group-by-length", action="store_true")
    own, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    arguments = parse_arguments()
    arguments.group_by_length = own.group_by_length
    text = json.dumps(run(arguments), indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
