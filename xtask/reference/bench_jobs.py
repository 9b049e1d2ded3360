"""What the benchmark computes: models, rows, batches and texts, the same for every side."""

import json
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    logging,
)

from bench_engines import CALIBRATION, prepare
from splits import Row, read_parquet_rows

SEED = 42
BATCH_ROWS = 16
# BERT's own limit: what transformers truncates to unless told otherwise.
RAGGED_LENGTH = 512
RAGGED_ROWS = 64
DENSE_LENGTH = 128
TOKENIZED_TEXTS = 1000
# Texts of the test split, cut to this length, by which the accuracy of a precision is judged.
JUDGED_TEXTS = 1000
JUDGED_LENGTH = 256
# Texts from which an engine learns the range of activations.
CALIBRATING_TEXTS = 100
PROMPT = "Once upon a time"
NEW_TOKENS = 64


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
    new_tokens: int = 0
    backend: str = "flex"
    # Who computes: a key of bench_cases.PROGRAMS.
    engine: str = "temper"
    precision: str = "f32"
    compile: bool = False

    def write(self, path: Path) -> Path:
        """Write the job for a worker."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


# The sizes of MiniLM, for families whose speed is compared without a checkpoint.
SMALL = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "pad_token_id": 0,
}


def write_random(model: type[PreTrainedModel], config: PreTrainedConfig, folder: Path) -> Path:
    """Write a model with random weights: speed does not ask what they are."""
    torch.manual_seed(SEED)
    model(config).save_pretrained(folder)
    return folder


def small_modernbert() -> ModernBertConfig:
    """Return a ModernBERT of MiniLM's sizes."""
    return ModernBertConfig(**SMALL, intermediate_size=1024, cls_token_id=101, sep_token_id=102)


def small_deberta() -> DebertaV2Config:
    """Return a DeBERTa-v3 of MiniLM's sizes."""
    return DebertaV2Config(
        **SMALL,
        intermediate_size=1536,
        relative_attention=True,
        position_buckets=256,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        type_vocab_size=0,
    )


def shuffled_reviews(file: Path, count: int) -> list[Row]:
    """Read reviews; the file is sorted by label."""
    rows = read_parquet_rows(file)
    random.Random(SEED).shuffle(rows)
    return rows[:count]


def consecutive(rows: int, size: int) -> list[list[int]]:
    """Cut the rows into batches as they stand."""
    return [list(range(start, min(start + size, rows))) for start in range(0, rows, size)]


def grouped(lengths: list[int], size: int) -> list[list[int]]:
    """Batch like lengths together and shuffle the batches, as transformers' group_by_length."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    random.Random(SEED).shuffle(batches)
    return batches


@dataclass(frozen=True)
class Sources:
    """What the benchmark's models and texts come from."""

    # A fine-tuned MiniLM, with its tokenizer.
    minilm: Path
    train_reviews: Path
    test_reviews: Path
    # SmolLM2: a folder, and files of llama.cpp.
    smollm2: Path
    f16: Path
    q8_0: Path


class Workload:
    """The reviews that all jobs draw from, and the models that compute on them."""

    def __init__(self, sources: Sources, folder: Path) -> None:
        """Write the models, shuffle the reviews (the file is sorted by label), tokenise them."""
        logging.disable_progress_bar()
        self.sources = sources
        self.minilm = sources.minilm
        base = BertForSequenceClassification
        self.base = write_random(base, BertConfig(), folder / "base")
        self.modernbert = write_random(
            ModernBertForSequenceClassification, small_modernbert(), folder / "modernbert"
        )
        self.deberta = write_random(
            DebertaV2ForSequenceClassification, small_deberta(), folder / "deberta"
        )
        self.reviews = shuffled_reviews(sources.train_reviews, TOKENIZED_TEXTS)
        self.judged = shuffled_reviews(sources.test_reviews, JUDGED_TEXTS)
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(self.minilm)
        texts = [row.text for row in self.reviews]
        encoded = tokenizer(texts, truncation=True, max_length=RAGGED_LENGTH)
        self.ids: list[list[int]] = encoded["input_ids"]
        calibrating = [ids[:DENSE_LENGTH] for ids in self.ids[-CALIBRATING_TEXTS:]]
        for model in (self.minilm, self.base):
            (model / CALIBRATION).write_text(json.dumps(calibrating), encoding="utf-8")
            prepare(model)

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

    def ragged(self, task: str, model: Path, by_length: bool) -> Job:
        """Return batches of whole reviews, in their shuffled order or grouped by length."""
        rows = self.ids[:RAGGED_ROWS]
        lengths = [len(ids) for ids in rows]
        shuffled = consecutive(RAGGED_ROWS, BATCH_ROWS)
        return Job(
            task,
            str(model),
            rows=rows,
            labels=[review.label for review in self.reviews[:RAGGED_ROWS]],
            batches=grouped(lengths, BATCH_ROWS) if by_length else shuffled,
        )

    def texts(self, task: str, count: int) -> Job:
        """Return texts to tokenise or to label."""
        return Job(task, str(self.minilm), texts=[row.text for row in self.reviews[:count]])

    def judging(self) -> Job:
        """Return the texts by which the accuracy of a precision is judged."""
        texts = [row.text for row in self.judged]
        return Job("predict", str(self.minilm), texts=texts, max_length=JUDGED_LENGTH)

    def accuracy(self, logits: list[list[float]]) -> float:
        """Return the share of the judged texts with the right label."""
        labels = [row.index(max(row)) for row in logits]
        right = [label == row.label for label, row in zip(labels, self.judged, strict=True)]
        return sum(right) / len(right)

    def generation(self) -> Job:
        """Return a prompt that SmolLM2 continues."""
        ids = AutoTokenizer.from_pretrained(self.sources.smollm2)(PROMPT)["input_ids"]
        return Job("generate", str(self.sources.smollm2), rows=[ids], new_tokens=NEW_TOKENS)
