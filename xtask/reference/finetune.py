"""Fine-tune a local checkpoint on texts with transformers: the run that Temper is compared with.

One label a text, several labels, or a number; a text or a pair of texts. The
training is that of `course.py`.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import scipy.stats
import torch
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    matthews_corrcoef,
    recall_score,
    root_mean_squared_error,
)
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import course
from course import Headline, Metrics
from splits import Row, Splits, load_splits, subset

SINGLE, MULTI, REGRESSION = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)
HEADLINES = {
    SINGLE: Headline("accuracy"),
    MULTI: Headline("micro_f1"),
    REGRESSION: Headline("rmse", higher_is_better=False),
}


@dataclass
class Encoded:
    """A tokenised split: one dictionary of token lists for each row."""

    rows: list[dict[str, list[int]]]
    targets: list[Any]
    tokenizer: PreTrainedTokenizerBase

    def lengths(self) -> list[int]:
        """Return the number of tokens of each row."""
        return [len(row["input_ids"]) for row in self.rows]

    def batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Pad the rows to the longest among them."""
        rows = [self.rows[index] for index in indices]
        batch = dict(self.tokenizer.pad(rows, return_tensors="pt"))
        batch["labels"] = torch.tensor([self.targets[index] for index in indices])
        return batch


def target(row: Row, labels: list[str], problem: str) -> int | float | list[float]:
    """Return what transformers' loss expects for the label of a row."""
    if problem == SINGLE:
        return labels.index(row.label)
    if problem == MULTI:
        return [float(label in row.label) for label in labels]
    return float(row.label)


def encode(
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    labels: list[str],
    arguments: argparse.Namespace,
) -> Encoded:
    """Tokenise the rows, cut to the maximum length."""
    seconds = [row.text_pair for row in rows]
    encodings = tokenizer(
        [row.text for row in rows],
        seconds if seconds[0] is not None else None,
        truncation=True,
        max_length=arguments.max_seq_length,
    )
    names = list(encodings.keys())
    tokens = [
        dict(zip(names, values, strict=True))
        for values in zip(*(encodings[name] for name in names), strict=True)
    ]
    targets = [target(row, labels, arguments.problem_type) for row in rows]
    return Encoded(tokens, targets, tokenizer)


def score(problem: str, truth: Tensor, logits: Tensor) -> Metrics:
    """Return the metrics of a kind of problem, as scikit-learn and scipy compute them."""
    if problem == REGRESSION:
        values = logits.squeeze(-1)
        return {
            "rmse": float(root_mean_squared_error(truth, values)),
            "pearson": float(scipy.stats.pearsonr(truth, values).statistic),
            "spearman": float(scipy.stats.spearmanr(truth, values).statistic),
        }
    if problem == MULTI:
        predicted = logits.sigmoid() >= 0.5
        return {
            f"{average}_f1": float(f1_score(truth, predicted, average=average, zero_division=0))
            for average in ("micro", "macro")
        }
    predicted = logits.argmax(dim=-1)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "macro_recall": float(recall_score(truth, predicted, average="macro", zero_division=0)),
        "mcc": float(matthews_corrcoef(truth, predicted)),
    }


@torch.no_grad()
def evaluate(model: PreTrainedModel, split: Encoded, problem: str) -> Metrics:
    """Return the metrics of a split."""
    model.eval()
    truth, logits = [], []
    for indices in course.by_length(split):
        batch = split.batch(indices)
        truth.append(batch["labels"])
        logits.append(model(**batch).logits)
    return score(problem, torch.cat(truth), torch.cat(logits))


def load_data(arguments: argparse.Namespace) -> Splits:
    """Load the dataset, cut to the limits of the command line."""
    splits = load_splits(arguments.dataset)
    seed = arguments.subset_seed
    return Splits(
        subset(splits.train, arguments.max_train_samples, seed),
        subset(splits.validation, arguments.max_eval_samples, seed),
        subset(splits.test, arguments.max_test_samples, seed),
    )


def label_names(rows: list[Row], problem: str) -> list[str]:
    """Return the labels that occur, in order; one output has the name of its column."""
    if problem == REGRESSION:
        return ["label"]
    if problem == MULTI:
        return sorted({label for row in rows for label in row.label})
    return sorted({row.label for row in rows})


def load_model(
    labels: list[str], arguments: argparse.Namespace
) -> tuple[PreTrainedModel, list[str]]:
    """Load the checkpoint under a fresh head; name the tensors it did not hold."""
    model, info = AutoModelForSequenceClassification.from_pretrained(
        arguments.model,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=arguments.problem_type,
        dtype=torch.float32,
        output_loading_info=True,
    )
    return model, sorted(info["missing_keys"])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = course.parser(__doc__)
    parser.add_argument(
        "--dataset", required=True, help="snippets:FILE, imdb:FOLDER, or jsonl:FOLDER with splits"
    )
    parser.add_argument("--problem-type", default=SINGLE, choices=list(HEADLINES))
    return parser.parse_args()


def main() -> None:
    """Fine-tune, test and report."""
    arguments = parse_arguments()
    problem = arguments.problem_type
    course.begin(arguments)
    splits = load_data(arguments)
    labels = label_names(splits.train, problem)
    model, new_tensors = load_model(labels, arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    training, validation, test = (
        encode(tokenizer, rows, labels, arguments) for rows in vars(splits).values()
    )
    history = course.fit(
        model,
        training,
        lambda: evaluate(model, validation, problem),
        HEADLINES[problem],
        arguments,
    )
    rows = {name: len(rows) for name, rows in vars(splits).items()}
    own = {"rows": rows, "labels": labels, "new_tensors": new_tensors}
    course.report(arguments, history, evaluate(model, test, problem), own)


if __name__ == "__main__":
    main()
