"""Train a causal language model with transformers: the run that Temper is compared with.

A plain text file is cut into sequences as Temper cuts it; chats (JSON lines with `messages`) are
written by the tokenizer's template, and only what the assistant says is learned. The training is
that of `course.py`; with `--lora-rank` PEFT's adapters train instead of the weights.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import course
from course import Headline, Metrics

IGNORED = -100
SHARE = 0.1


@dataclass
class Sequences:
    """Token ids, and which of them are predicted."""

    ids: list[list[int]]
    labels: list[list[int]]
    pad: int

    def lengths(self) -> list[int]:
        """Return the number of tokens of each sequence."""
        return [len(ids) for ids in self.ids]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad the sequences to the longest among them."""
        longest = max(len(self.ids[index]) for index in indices)

        def padded(rows: list[list[int]], value: int) -> Tensor:
            return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

        ids = [self.ids[index] for index in indices]
        mask = [[1] * len(row) for row in ids]
        return {
            "input_ids": padded(ids, self.pad),
            "attention_mask": padded(mask, 0),
            "labels": padded([self.labels[index] for index in indices], IGNORED),
        }


def running_text(tokenizer: PreTrainedTokenizerBase, text: str, length: int, pad: int) -> Sequences:
    """Cut a text into sequences that share a token with the one before."""
    tokens = [*tokenizer(text).input_ids, tokenizer.eos_token_id]
    starts = range(0, len(tokens) - 1, length - 1)
    ids = [tokens[start : start + length] for start in starts]
    return Sequences(ids, [[IGNORED, *row[1:]] for row in ids], pad)


def split_text(text: str) -> tuple[str, str, str]:
    """Cut off the last tenth and the one before it, at line ends."""

    def cut(text: str, share: float) -> int:
        data = text.encode()
        before = data[: int(len(data) * (1 - share))].decode(errors="ignore")
        return before.rfind("\n") + 1

    place = cut(text, SHARE)
    train, test = text[:place], text[place:]
    place = cut(train, SHARE / (1 - SHARE))
    return train[:place], train[place:], test


def chats(tokenizer: PreTrainedTokenizerBase, file: Path, length: int, pad: int) -> Sequences:
    """Read chats; the tokens of what the assistant says are predicted."""
    found = Sequences([], [], pad)
    for line in file.read_text(encoding="utf-8").splitlines():
        messages: list[dict[str, str]] = json.loads(line)["messages"]

        def render(count: int, prompted: bool, messages: list[dict[str, str]] = messages) -> str:
            return tokenizer.apply_chat_template(
                messages[:count], tokenize=False, add_generation_prompt=prompted
            )

        answers = [
            (len(render(place, True)), len(render(place + 1, False)))
            for place, message in enumerate(messages)
            if message["role"] == "assistant"
        ]
        encoded = tokenizer(
            render(len(messages), False), add_special_tokens=False, return_offsets_mapping=True
        )
        labels = [
            token if any(start < last and first < end for start, end in answers) else IGNORED
            for token, (first, last) in zip(encoded.input_ids, encoded.offset_mapping, strict=True)
        ]
        found.ids.append(encoded.input_ids[:length])
        found.labels.append([IGNORED, *labels[1:length]])
    return found


@torch.no_grad()
def evaluate(model: PreTrainedModel, split: Sequences) -> Metrics:
    """Return perplexity, loss and accuracy of the predicted tokens."""
    model.eval()
    loss, hits, count = 0.0, 0, 0
    order = sorted(range(len(split.ids)), key=split.lengths().__getitem__)
    for indices in course.cut(order, 8):
        batch = split.batch(indices)
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        chosen = labels != IGNORED
        loss += torch.nn.functional.cross_entropy(
            logits[chosen], labels[chosen], reduction="sum"
        ).item()
        hits += int((logits[chosen].argmax(-1) == labels[chosen]).sum())
        count += int(chosen.sum())
    mean = loss / count
    return {"perplexity": math.exp(mean), "loss": mean, "accuracy": hits / count}


def load_splits(
    tokenizer: PreTrainedTokenizerBase, arguments: argparse.Namespace
) -> list[Sequences]:
    """Read the three splits."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    data, length = arguments.dataset, arguments.max_seq_length
    if data.is_dir():
        files = [data / f"{name}.jsonl" for name in ("train", "validation", "test")]
        return [chats(tokenizer, file, length, pad) for file in files]
    texts = split_text(data.read_text(encoding="utf-8"))
    return [running_text(tokenizer, text, length, pad) for text in texts]


def load_model(arguments: argparse.Namespace) -> PreTrainedModel:
    """Load the model, or draw a new one; with a rank, put adapters on it."""
    if arguments.from_scratch:
        config = AutoConfig.from_pretrained(arguments.from_scratch)
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    if arguments.last_layers:
        model.requires_grad_(False)
        for part in [*model.model.layers[-arguments.last_layers :], model.model.norm]:
            part.requires_grad_(True)
    if not arguments.lora_rank:
        return model
    settings: Any = LoraConfig(
        r=arguments.lora_rank,
        lora_alpha=16,
        lora_dropout=0.0,
        target_modules=["q_proj", "v_proj"],
    )
    return get_peft_model(model, settings)


def main() -> None:
    """Train, test and report."""
    parser = course.parser(__doc__)
    parser.add_argument(
        "--dataset", type=Path, required=True, help="a text file, or a folder of chats"
    )
    parser.add_argument("--from-scratch", type=Path, help="config.json of a new model")
    parser.add_argument("--lora-rank", type=int)
    parser.add_argument("--last-layers", type=int, help="train only the last layers and the norm")
    arguments = parser.parse_args()
    course.begin(arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    training, validation, test = load_splits(tokenizer, arguments)
    model = load_model(arguments)
    history = course.fit(
        model,
        training,
        lambda: evaluate(model, validation),
        Headline("perplexity", higher_is_better=False),
        arguments,
    )
    course.report(arguments, history, evaluate(model, test), {"sequences": len(training.ids)})


if __name__ == "__main__":
    main()
