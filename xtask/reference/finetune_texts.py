"""Train a text-to-text model with transformers: the run that Temper is compared with.

The data is a folder of JSON lines with `source` and `target`. The training is that of `course.py`;
an evaluation writes the most probable token at each step.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from rouge_score.rouge_scorer import RougeScorer
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import course
from course import Headline, Metrics

IGNORED = -100


@dataclass
class Pairs:
    """Token ids of sources and targets, and the texts of the targets."""

    sources: list[list[int]]
    targets: list[list[int]]
    texts: list[str]
    pad: int

    def lengths(self) -> list[int]:
        """Return the number of tokens of each pair."""
        return [len(ids) + len(self.targets[row]) for row, ids in enumerate(self.sources)]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad sources and targets to the longest among them."""

        def padded(rows: list[list[int]], value: int) -> Tensor:
            longest = max(len(row) for row in rows)
            return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

        sources = [self.sources[index] for index in indices]
        return {
            "input_ids": padded(sources, self.pad),
            "attention_mask": padded([[1] * len(row) for row in sources], 0),
            "labels": padded([self.targets[index] for index in indices], IGNORED),
        }


def read(
    tokenizer: PreTrainedTokenizerBase, file: Path, count: int | None, arguments: argparse.Namespace
) -> Pairs:
    """Read a split."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()][:count]
    sources = [arguments.source_prefix + row["source"] for row in rows]
    targets = [row["target"] for row in rows]
    source_ids = tokenizer(sources, truncation=True, max_length=arguments.max_seq_length).input_ids
    target_ids = tokenizer(
        text_target=targets, truncation=True, max_length=arguments.max_target_length
    ).input_ids
    return Pairs(source_ids, target_ids, targets, tokenizer.pad_token_id)


@torch.no_grad()
def evaluate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, split: Pairs, longest: int
) -> Metrics:
    """Return ROUGE-L and exact match of the generated texts, and the loss of the targets."""
    model.eval()
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    rouge, exact, loss, tokens = 0.0, 0, 0.0, 0
    for indices in course.by_length(split):
        batch = split.batch(indices)
        labels = batch.pop("labels")
        logits = model(**batch, labels=labels).logits
        chosen = labels != IGNORED
        loss += torch.nn.functional.cross_entropy(
            logits[chosen], labels[chosen], reduction="sum"
        ).item()
        tokens += int(chosen.sum())
        written = model.generate(**batch, max_new_tokens=longest, do_sample=False, num_beams=1)
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        for index, text in zip(indices, texts, strict=True):
            rouge += scorer.score(split.texts[index], text)["rougeL"].fmeasure
            exact += text.strip() == split.texts[index].strip()
    count = len(split.texts)
    return {"rouge_l": rouge / count, "exact": exact / count, "loss": loss / tokens}


def main() -> None:
    """Train, test and report."""
    parser = course.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="a folder of JSON lines")
    parser.add_argument("--from-scratch", type=Path, help="config.json of a new model")
    parser.add_argument("--source-prefix", default="")
    parser.add_argument("--max-target-length", type=int, default=128)
    arguments = parser.parse_args()
    course.begin(arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    limits = {
        "train": arguments.max_train_samples,
        "validation": arguments.max_eval_samples,
        "test": arguments.max_test_samples,
    }
    training, validation, test = (
        read(tokenizer, arguments.dataset / f"{name}.jsonl", limit, arguments)
        for name, limit in limits.items()
    )
    if arguments.from_scratch:
        config = AutoConfig.from_pretrained(arguments.from_scratch)
        model = AutoModelForSeq2SeqLM.from_config(config)
    else:
        model = AutoModelForSeq2SeqLM.from_pretrained(arguments.model, dtype=torch.float32)
    longest = arguments.max_target_length
    history = course.fit(
        model,
        training,
        lambda: evaluate(model, tokenizer, validation, longest),
        Headline("rouge_l"),
        arguments,
    )
    scores = evaluate(model, tokenizer, test, longest)
    course.report(arguments, history, scores, {"pairs": len(training.texts)})


if __name__ == "__main__":
    main()
