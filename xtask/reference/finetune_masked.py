"""Continue the pretraining of an encoder on masked tokens: the run that Temper is compared with.

Texts are cut into sequences as Temper cuts them. The training is that of `course.py`; the masks are
those of transformers' `DataCollatorForLanguageModeling`, drawn again for each batch.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import course
from course import Headline, Metrics
from splits import Row, load_splits, subset

IGNORED = -100


@dataclass
class Sequences:
    """Token ids with the special tokens around them, and what masks them."""

    ids: list[list[int]]
    collator: DataCollatorForLanguageModeling

    def lengths(self) -> list[int]:
        """Return the number of tokens of each sequence."""
        return [len(ids) for ids in self.ids]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Mask the sequences and pad them to the longest among them."""
        return dict(self.collator([{"input_ids": self.ids[index]} for index in indices]))


def sequences(tokenizer: PreTrainedTokenizerBase, rows: list[Row], length: int) -> Sequences:
    """Cut texts into sequences with special tokens around each."""
    # The special tokens of a text without any other: one before it, the rest after it.
    first, *last = tokenizer("").input_ids
    room = length - 1 - len(last)
    ids = []
    for row in rows:
        tokens = tokenizer(row.text, add_special_tokens=False).input_ids
        for part in course.cut(tokens, room):
            ids.append([first, *part, *last])
    return Sequences(ids, DataCollatorForLanguageModeling(tokenizer))


@torch.no_grad()
def evaluate(model: PreTrainedModel, split: Sequences) -> Metrics:
    """Return perplexity, loss and accuracy of the masked tokens, which are the same each time."""
    model.eval()
    state = torch.get_rng_state()
    torch.manual_seed(0)
    loss, hits, count = 0.0, 0, 0
    for indices in course.by_length(split):
        batch = split.batch(indices)
        labels = batch.pop("labels")
        chosen = labels != IGNORED
        logits = model(**batch).logits[chosen]
        wanted = labels[chosen]
        loss += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
        hits += int((logits.argmax(-1) == wanted).sum())
        count += len(wanted)
    torch.set_rng_state(state)
    mean = loss / count
    return {"perplexity": math.exp(mean), "loss": mean, "accuracy": hits / count}


def main() -> None:
    """Train, test, save and report."""
    parser = course.parser(__doc__)
    parser.add_argument("--dataset", required=True, help="imdb:FOLDER or another of splits.py")
    parser.add_argument("--save", type=Path, help="folder for the trained model")
    arguments = parser.parse_args()
    course.begin(arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    data = load_splits(arguments.dataset)
    training, validation, test = (
        sequences(tokenizer, subset(rows, limit, arguments.subset_seed), arguments.max_seq_length)
        for rows, limit in (
            (data.train, arguments.max_train_samples),
            (data.validation, arguments.max_eval_samples),
            (data.test, arguments.max_test_samples),
        )
    )
    model = AutoModelForMaskedLM.from_pretrained(arguments.model, dtype=torch.float32)
    history = course.fit(
        model,
        training,
        lambda: evaluate(model, validation),
        Headline("perplexity", higher_is_better=False),
        arguments,
    )
    if arguments.save:
        model.save_pretrained(arguments.save)
        tokenizer.save_pretrained(arguments.save)
    course.report(arguments, history, evaluate(model, test), {"sequences": len(training.ids)})


if __name__ == "__main__":
    main()
