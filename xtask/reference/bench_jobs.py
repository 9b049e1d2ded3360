"""What the benchmark computes: models, rows, batches and texts, the same for every side."""

import json
import random
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerBase,
    logging,
)

from splits import Row, read_parquet_rows

SEED = 42
BATCH_ROWS = 16
# BERT's own limit: what transformers truncates to unless told otherwise.
RAGGED_LENGTH = 512
RAGGED_ROWS = 64
DENSE_LENGTH = 128
TOKENIZED_TEXTS = 1000


@dataclass(frozen=True)
class Job:
    """The JSON file that a worker reads; each task has its own fields."""

    task: str
    model: str
    rows: list[list[int]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    max_length: int = RAGGED_LENGTH
    backend: str = "flex"
    precision: str = "f32"
    compile: bool = False

    def write(self, path: Path) -> Path:
        """Write the job for a worker."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def write_minilm(checkpoint: Path, folder: Path) -> Path:
    """Write the pretrained MiniLM under a classification head, with its tokenizer."""
    torch.manual_seed(SEED)
    BertForSequenceClassification.from_pretrained(checkpoint).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (checkpoint / name).exists():
            shutil.copyfile(checkpoint / name, folder / name)
    return folder


def write_random_base(folder: Path) -> Path:
    """Write a model of bert-base's shape: speed does not ask what its weights are."""
    torch.manual_seed(SEED)
    BertForSequenceClassification(BertConfig()).save_pretrained(folder)
    return folder


def consecutive(rows: int, size: int) -> list[list[int]]:
    """Cut the rows into batches as they stand."""
    return [list(range(start, min(start + size, rows))) for start in range(0, rows, size)]


def grouped(lengths: list[int], size: int) -> list[list[int]]:
    """Batch like lengths together and shuffle the batches, as transformers' group_by_length."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    random.Random(SEED).shuffle(batches)
    return batches


class Workload:
    """The reviews that all jobs draw from, and the models that compute on them."""

    def __init__(self, checkpoint: Path, reviews: Path, folder: Path) -> None:
        """Write the models, shuffle the reviews (the file is sorted by label), tokenise them."""
        logging.disable_progress_bar()
        # The head is new, which is worth a warning anywhere but here.
        logging.set_verbosity_error()
        folder.mkdir(parents=True, exist_ok=True)
        self.minilm = write_minilm(checkpoint, folder / "minilm")
        self.base = write_random_base(folder / "base")
        rows = read_parquet_rows(reviews)
        random.Random(SEED).shuffle(rows)
        self.reviews: list[Row] = rows[:TOKENIZED_TEXTS]
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(self.minilm)
        texts = [row.text for row in self.reviews]
        encoded = tokenizer(texts, truncation=True, max_length=RAGGED_LENGTH)
        self.ids: list[list[int]] = encoded["input_ids"]

    def dense(self, task: str, model: Path, rows: int) -> Job:
        """Return one batch of rows that are cut to the same length: nobody pads."""
        long = [at for at, ids in enumerate(self.ids) if len(ids) >= DENSE_LENGTH][:rows]
        return Job(
            task,
            str(model),
            rows=[self.ids[at][:DENSE_LENGTH] for at in long],
            labels=[self.reviews[at].label for at in long],
            batches=[list(range(rows))],
        )

    def ragged(self, task: str, by_length: bool) -> Job:
        """Return batches of whole reviews, in their shuffled order or grouped by length."""
        rows = self.ids[:RAGGED_ROWS]
        lengths = [len(ids) for ids in rows]
        shuffled = consecutive(RAGGED_ROWS, BATCH_ROWS)
        return Job(
            task,
            str(self.minilm),
            rows=rows,
            labels=[review.label for review in self.reviews[:RAGGED_ROWS]],
            batches=grouped(lengths, BATCH_ROWS) if by_length else shuffled,
        )

    def texts(self, task: str, count: int) -> Job:
        """Return texts to tokenise or to label."""
        return Job(task, str(self.minilm), texts=[row.text for row in self.reviews[:count]])
