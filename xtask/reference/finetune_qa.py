"""Fine-tune a checkpoint on questions with transformers: the run that Temper is compared with.

Splits are Temper's, the training is that of `course.py`. Windows, targets and the
choice of an answer follow transformers' example run_qa.py and its utils_qa.py.
Scores are those of SQuAD 1.1's script, from 0 to 1.
"""

import argparse
import collections
import re
import string
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import torch
from torch import Tensor
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import course
from course import Headline, Metrics
from splits import VALIDATION_SHARE, subset, unit_hash

N_BEST = 20
MAX_ANSWER_TOKENS = 30


@dataclass(frozen=True)
class Question:
    """A question with its context and its answers."""

    question: str
    context: str
    answers: list[str]
    start: int

    @property
    def text(self) -> str:
        """Return what a subset is chosen by."""
        return f"{self.question}\t{self.context}"


@dataclass
class Windows:
    """The windows of some questions, and which question each is of."""

    rows: list[dict[str, list[int]]]
    offsets: list[list[tuple[int, int] | None]]
    questions: list[int]
    ends: list[tuple[int, int]]
    tokenizer: PreTrainedTokenizerBase

    def lengths(self) -> list[int]:
        """Return the number of tokens of each window."""
        return [len(row["input_ids"]) for row in self.rows]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad the windows to the longest among them."""
        batch = dict(
            self.tokenizer.pad([self.rows[index] for index in indices], return_tensors="pt")
        )
        starts, ends = zip(*(self.ends[index] for index in indices), strict=True)
        return batch | {
            "start_positions": torch.tensor(starts),
            "end_positions": torch.tensor(ends),
        }


def read_questions(file: Path) -> list[Question]:
    """Read a parquet file of SQuAD's schema."""
    rows = pyarrow.parquet.read_table(file).to_pylist()
    return [
        Question(
            row["question"],
            row["context"],
            row["answers"]["text"],
            row["answers"]["answer_start"][0],
        )
        for row in rows
    ]


def load_splits(folder: Path, arguments: argparse.Namespace) -> list[list[Question]]:
    """Cut validation from train by a hash of the context, and each split to its limit."""
    data = folder / "plain_text"
    test = read_questions(data / "validation-00000-of-00001.parquet")
    train: list[Question] = []
    validation: list[Question] = []
    for row in read_questions(data / "train-00000-of-00001.parquet"):
        is_held_out = unit_hash(row.context) < VALIDATION_SHARE
        (validation if is_held_out else train).append(row)
    seed = arguments.subset_seed
    return [
        subset(train, arguments.max_train_samples, seed),
        subset(validation, arguments.max_eval_samples, seed),
        subset(test, arguments.max_test_samples, seed),
    ]


def token_ends(offsets: list[tuple[int, int] | None], row: Question, null: int) -> tuple[int, int]:
    """Return the first and the last token of the answer, as prepare_train_features of run_qa.py."""
    places = [place for place, offset in enumerate(offsets) if offset is not None]
    start, end = row.start, row.start + len(row.answers[0])
    first, last = places[0], places[-1]
    if not (offsets[first][0] <= start and offsets[last][1] >= end):
        return null, null
    while first < len(offsets) and offsets[first] is not None and offsets[first][0] <= start:
        first += 1
    while offsets[last] is not None and offsets[last][1] >= end:
        last -= 1
    return first - 1, last + 1


def encode(
    tokenizer: PreTrainedTokenizerBase, questions: list[Question], arguments: argparse.Namespace
) -> Windows:
    """Tokenise questions and contexts, the contexts in windows."""
    encodings = tokenizer(
        [row.question.lstrip() for row in questions],
        [row.context for row in questions],
        truncation="only_second",
        max_length=arguments.max_seq_length,
        stride=arguments.doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    sources = encodings.pop("overflow_to_sample_mapping")
    mapping = encodings.pop("offset_mapping")
    names = list(encodings.keys())
    windows = Windows([], [], sources, [], tokenizer)
    for index, source in enumerate(sources):
        windows.rows.append({name: encodings[name][index] for name in names})
        texts = encodings.sequence_ids(index)
        offsets = [
            tuple(offset) if text == 1 else None
            for offset, text in zip(mapping[index], texts, strict=True)
        ]
        windows.offsets.append(offsets)
        null = encodings["input_ids"][index].index(tokenizer.cls_token_id)
        windows.ends.append(token_ends(offsets, questions[source], null))
    return windows


def candidates(
    starts: Tensor, ends: Tensor, offsets: list[tuple[int, int] | None]
) -> list[tuple[float, int, int]]:
    """Return score and place of spans of a window, as postprocess_qa_predictions of utils_qa.py."""
    best_starts = starts.argsort(descending=True)[:N_BEST].tolist()
    best_ends = ends.argsort(descending=True)[:N_BEST].tolist()
    return [
        ((starts[first] + ends[last]).item(), offsets[first][0], offsets[last][1])
        for first in best_starts
        for last in best_ends
        if first < len(offsets) and last < len(offsets)
        if offsets[first] is not None and offsets[last] is not None
        if first <= last < first + MAX_ANSWER_TOKENS
    ]


def normal_form(answer: str) -> str:
    """Return the form in which answers are compared: normalize_answer of evaluate-v1.1.py."""
    plain = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def word_f1(answer: str, truth: str) -> float:
    """Return f1_score of evaluate-v1.1.py."""
    words, wanted = normal_form(answer).split(), normal_form(truth).split()
    same = sum((collections.Counter(words) & collections.Counter(wanted)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(words), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


@torch.no_grad()
def evaluate(model: PreTrainedModel, windows: Windows, questions: list[Question]) -> Metrics:
    """Return F1, exact answers and the mean loss of a window."""
    model.eval()
    found: list[list[tuple[float, int, int]]] = [[] for _ in questions]
    loss = 0.0
    for indices in course.by_length(windows):
        output = model(**windows.batch(indices))
        loss += output.loss.item() * len(indices)
        for place, index in enumerate(indices):
            spans = candidates(
                output.start_logits[place], output.end_logits[place], windows.offsets[index]
            )
            found[windows.questions[index]] += spans
    f1, exact = 0.0, 0
    for row, spans in zip(questions, found, strict=True):
        _, begin, end = max(spans, default=(0.0, 0, 0))
        answer = row.context[begin:end]
        f1 += max(word_f1(answer, truth) for truth in row.answers)
        exact += any(normal_form(answer) == normal_form(truth) for truth in row.answers)
    count = len(questions)
    return {"f1": f1 / count, "exact": exact / count, "loss": loss / len(windows.rows)}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = course.parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with plain_text/")
    parser.add_argument("--doc-stride", type=int, default=128)
    parser.set_defaults(
        num_train_epochs=2, learning_rate=5e-5, per_device_train_batch_size=16, max_seq_length=384
    )
    return parser.parse_args()


def main() -> None:
    """Fine-tune, test and report."""
    arguments = parse_arguments()
    course.begin(arguments)
    splits = load_splits(arguments.dataset, arguments)
    model = AutoModelForQuestionAnswering.from_pretrained(arguments.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    windows = [encode(tokenizer, split, arguments) for split in splits]
    history = course.fit(
        model,
        windows[0],
        lambda: evaluate(model, windows[1], splits[1]),
        Headline("f1"),
        arguments,
    )
    own = {
        "questions": [len(split) for split in splits],
        "windows": [len(split.rows) for split in windows],
    }
    course.report(arguments, history, evaluate(model, windows[2], splits[2]), own)


if __name__ == "__main__":
    main()
