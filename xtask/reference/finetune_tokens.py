"""Fine-tune a local checkpoint on words with tags: the run that Temper's is compared with.

The training is that of `course.py`, with the rules of transformers' run_ner.py: the first
token of a word has its tag, the others -100. Entities are scored by seqeval.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import torch
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from torch import Tensor
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import course
from course import Headline, Metrics

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
def evaluate(model: PreTrainedModel, split: Sentences) -> Metrics:
    """Return seqeval's scores of entities."""
    model.eval()
    truth: list[list[str]] = []
    predicted: list[list[str]] = []
    for indices in course.by_length(split):
        batch = split.batch(indices)
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


def tag_names(file: Path) -> list[str]:
    """Read the names of the tags from the features that the Hub writes into a parquet file."""
    metadata = json.loads(pq.read_schema(file).metadata[b"huggingface"])
    tags = metadata["info"]["features"]["ner_tags"]
    return list((tags.get("feature") or tags)["names"])


def main() -> None:
    """Fine-tune, test and report."""
    parser = course.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder of parquet files")
    arguments = parser.parse_args()
    course.begin(arguments)
    names_of_splits = ("train", "validation", "test")
    files = {name: next(arguments.dataset.glob(f"{name}-*.parquet")) for name in names_of_splits}
    names = tag_names(files["train"])
    model = AutoModelForTokenClassification.from_pretrained(
        arguments.model,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        dtype=torch.float32,
    )
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    training, validation, test = (
        Sentences(file, names, tokenizer, arguments.max_seq_length) for file in files.values()
    )
    history = course.fit(
        model, training, lambda: evaluate(model, validation), Headline("f1"), arguments
    )
    course.report(arguments, history, evaluate(model, test), {"labels": names})


if __name__ == "__main__":
    main()
