"""Cases of labels and numbers, with scikit-learn's and scipy's metrics: `metrics_fixture.py`."""

import math
import random
import struct
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats
from sklearn import metrics

SEED = 17
RESAMPLES = 1000
# As in crates/temper-metrics/src/intervals.rs.
PURPOSE = b"temper bootstrap v1\0\0\0\0\0"

Case = list[object]


def defined(value: float) -> float | None:
    """Return none for what is not a number."""
    return None if math.isnan(value) else float(value)


def confusion_case(truth: list[int], predicted: list[int], labels: int) -> Case:
    """Return labels and accuracy, macro F1, macro recall and Matthews' correlation."""
    macro = {"labels": list(range(labels)), "average": "macro", "zero_division": 0}
    scores = [
        metrics.accuracy_score(truth, predicted),
        metrics.f1_score(truth, predicted, **macro),
        metrics.recall_score(truth, predicted, **macro),
        metrics.matthews_corrcoef(truth, predicted),
    ]
    return [labels, truth, predicted, [float(score) for score in scores]]


def confusion_cases(generator: random.Random) -> list[Case]:
    """Return cases in which not every label occurs."""
    cases = []
    for _ in range(300):
        labels, count = generator.randint(1, 5), generator.randint(1, 20)
        truth = [generator.randrange(labels) for _ in range(count)]
        predicted = [
            label if generator.random() < 0.5 else generator.randrange(labels) for label in truth
        ]
        cases.append(confusion_case(truth, predicted, labels))
    return cases


def averages(truth: np.ndarray, predicted: np.ndarray, average: str | None) -> Case:
    """Return precision, recall and F1."""
    scores = metrics.precision_recall_fscore_support(
        truth, predicted, average=average, zero_division=0
    )
    return [np.asarray(score).tolist() for score in scores[:3]]


def best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> Case | None:
    """Return the highest threshold with the highest F1 and that, by trying all of them."""
    best = None
    for threshold in sorted(set(probabilities.ravel().tolist()), reverse=True):
        predicted = probabilities >= threshold
        f1 = float(metrics.f1_score(truth.ravel(), predicted.ravel(), zero_division=0))
        if best is None or f1 > best[1]:
            best = [threshold, f1]
    return best if truth.any() else None


def multilabel_case(generator: random.Random) -> Case:
    """Return rows of truth, probabilities and all scores of those of at least a half."""
    # With one label scikit-learn takes rows for examples of a binary task.
    labels, count = generator.randint(2, 4), generator.randint(1, 8)
    share = generator.choice([0.1, 0.3, 0.6])
    truth = np.array([[generator.random() < share for _ in range(labels)] for _ in range(count)])
    drawn = [[generator.random() for _ in range(labels)] for _ in range(count)]
    # Two digits, so that some are equal; true labels tend to be higher.
    probabilities = np.round(np.clip(np.array(drawn) * 0.8 + 0.2 * truth, 0, 1), 2)
    predicted = probabilities >= 0.5
    scores = {
        average: averages(truth, predicted, average)
        for average in ("micro", "macro", "weighted", "samples")
    }
    scores["labels"] = averages(truth, predicted, None)
    scores["subset_accuracy"] = float(metrics.accuracy_score(truth, predicted))
    scores["hamming_loss"] = float(metrics.hamming_loss(truth, predicted))
    scores["micro_threshold"] = best_threshold(truth, probabilities)
    scores["label_thresholds"] = [
        best_threshold(truth[:, label], probabilities[:, label]) for label in range(labels)
    ]
    rows = ["".join(str(int(bit)) for bit in row) for row in truth]
    return [rows, probabilities.tolist(), scores]


def regression_case(truth: list[float], predicted: list[float]) -> Case:
    """Return numbers and their scores; a correlation is none where it is undefined."""
    scores = [
        metrics.mean_squared_error(truth, predicted),
        metrics.root_mean_squared_error(truth, predicted),
        metrics.mean_absolute_error(truth, predicted),
    ]
    correlations = [None, None]
    if len(truth) > 1:
        correlations = [
            defined(stats.pearsonr(truth, predicted).statistic),
            defined(stats.spearmanr(truth, predicted).statistic),
        ]
    return [truth, predicted, [*(float(score) for score in scores), *correlations]]


def regression_cases(generator: random.Random) -> list[Case]:
    """Return cases with and without equal numbers, and constant ones."""
    cases = [
        regression_case([1.0], [2.0]),
        regression_case([1.0, 2.0], [5.0, 5.0]),
        regression_case([3.0, 3.0], [1.0, 2.0]),
        regression_case([0.0, -0.0, 1.0], [1.0, 2.0, 3.0]),
        regression_case([1e9, 1e9 + 1, 1e9 + 2], [1.0, 2.0, 4.0]),
    ]
    for _ in range(300):
        count, digits = generator.randint(1, 12), generator.choice([0, 1, 3])
        truth = [round(generator.gauss(2, 3), digits) for _ in range(count)]
        predicted = [round(value + generator.gauss(0, 2), digits) for value in truth]
        cases.append(regression_case(truth, predicted))
    return cases


def wilcoxon_cases(generator: random.Random) -> list[Case]:
    """Return differences and the p value, none where all are zero (scipy has 1 or no number)."""
    cases = []
    for number in range(300):
        # Up to 13 differences, up to 50, and more are computed in three ways.
        low, high = [(1, 13), (1, 13), (12, 16), (14, 49), (48, 53), (51, 70)][number % 6]
        count, digits = generator.randint(low, high), generator.choice([1, 2, 6])
        shift = generator.choice([0.0, 0.2, 0.5])
        differences = [round(generator.uniform(-1, 1) + shift, digits) for _ in range(count)]
        p = stats.wilcoxon(differences).pvalue if any(differences) else math.nan
        cases.append([differences, defined(p)])
    return cases


def interval_cases(generator: random.Random) -> list[Case]:
    """Return scores and the interval of their mean."""
    cases = []
    for count in [2, 3, 4, 5, 10, 30, 100, 101, 150, 200] * 5:
        scores = [round(generator.random(), 3) for _ in range(count)]
        ends = stats.t.interval(0.95, count - 1, np.mean(scores), stats.sem(scores))
        cases.append([scores, [float(end) for end in ends]])
    return cases


def chacha8(key: bytes) -> Iterator[int]:
    """Draw numbers of 64 bits from ChaCha with 8 rounds, a nonce of 0 and a counter from 0 on."""
    mask = 0xFFFFFFFF

    def quarter(state: list[int], a: int, b: int, c: int, d: int) -> None:
        for left, right, turn, by in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
            state[left] = (state[left] + state[right]) & mask
            mixed = state[turn] ^ state[left]
            state[turn] = (mixed << by | mixed >> (32 - by)) & mask

    for counter in range(1 << 20):
        block = b"expand 32-byte k" + key + struct.pack("<QQ", counter, 0)
        start = list(struct.unpack("<16I", block))
        state = list(start)
        for _ in range(4):
            for place in range(4):
                quarter(state, place, place + 4, place + 8, place + 12)
            for place in range(4):
                others = ((place + turn) % 4 + 4 * turn for turn in range(1, 4))
                quarter(state, place, *others)
        words = [(word + first) & mask for word, first in zip(state, start, strict=True)]
        for place in range(0, 16, 2):
            yield words[place] | words[place + 1] << 32


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {"mean": np.mean, "max": np.max}


def bootstrap_case(scores: list[float], seed: int, name: str) -> Case:
    """Return scores and the interval of a statistic of them by the percentile bootstrap."""
    draws = chacha8(struct.pack("<Q", seed) + PURPOSE)
    values = []
    for _ in range(RESAMPLES):
        places = [next(draws) * len(scores) >> 64 for _ in scores]
        values.append(STATISTICS[name](np.array(scores)[places]))
    return [scores, seed, name, np.percentile(values, [2.5, 97.5]).tolist()]


def label_tables() -> dict[str, list[Case]]:
    """Return all cases of labels by what is compared."""
    generator = random.Random(SEED)
    return {
        "confusion": confusion_cases(generator),
        "multilabel": [multilabel_case(generator) for _ in range(200)],
    }


def number_tables() -> dict[str, list[Case]]:
    """Return all cases of numbers by what is compared."""
    generator = random.Random(SEED + 1)
    return {
        "regression": regression_cases(generator),
        "wilcoxon": wilcoxon_cases(generator),
        "intervals": interval_cases(generator),
        "bootstrap": [
            bootstrap_case([round(generator.random(), 3) for _ in range(count)], seed, name)
            for count in [1, 2, 5, 12, 31]
            for seed, name in [(0, "mean"), (2**64 - 1, "max")]
        ],
    }
