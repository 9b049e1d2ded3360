"""Cases of answers, with SQuAD's scores of them, for `metrics_fixture.py`.

SQuAD 2.0 is transformers' copy of evaluate-v2.0.py; what evaluate-v1.1.py does otherwise is here.
"""

import random
from collections import Counter
from types import SimpleNamespace

from transformers.data.metrics.squad_metrics import (
    get_raw_scores,
    normalize_answer,
    squad_evaluate,
)

SEED = 13
WORDS = (
    "the a an The A AN and theatre Paris paris PARIS 1912 42nd x² ½ snake_case a_b U.S. "
    "rock'n'roll naïve CAFÉ Straße STRASSE ΛΌΓΟΣ Σ λόγος İstanbul ISTANBUL हिन्दी aा का "
    "映画 «the» —the— the— “an” a\u0301 an\u0301the ⓐ aⓐ ① a① ² a² 𝐚 Ǆ ﬁ ŉ $5 100% !!! "
    "-- ' . _ _a_ the's a.n"
).split()
SPACES = [" "] * 4 + ["  ", "\t", "\n", "\u00a0", "\u3000", "\x1c", "\x1f", "\x85", "\u200b", ""]
EDGES = [
    "", " ", "the", "The the A", "...", "a-b", "the.", "a\u0301", "\u00a0the\u2028",
    "an\u200bthe", "ΑΣ", "ΑΣ.", "ΑΣ'Α", "Σ", "ΣΑ ΑΣ Σ", "ΑΣ\u0301", "ΑΣ\u00ad ", "İ", "ẞ", "Ⅷ",
    "ⒶⒷ", "a\u093e", "\u093ea", "x\x1cy\x1dz\x1e\x1fw", "\x0bthe\x0c", "AN\u0085A", "ＡＢ the",
    "`^~|<>+=$", "¿the?", "the²",
]  # fmt: skip

Case = list[object]


def draw_text(generator: random.Random, most: int) -> str:
    """Draw some words with spaces of all kinds between them."""
    words = generator.choices(WORDS, k=generator.randint(0, most))
    return "".join(word + generator.choice(SPACES) for word in words)


def word_f1_v1(prediction: str, truth: str) -> float:
    """Return `f1_score` of evaluate-v1.1.py: 0 where no word is shared, also of empty answers."""
    words, true_words = normalize_answer(prediction).split(), normalize_answer(truth).split()
    same = sum((Counter(words) & Counter(true_words)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(words), same / len(true_words)
    return 2 * precision * recall / (precision + recall)


def score_v1(prediction: str, truths: list[str]) -> Case | None:
    """Return exact match and F1 as evaluate-v1.1.py does, the highest over the true answers."""
    if not truths:
        return None
    exact = any(normalize_answer(prediction) == normalize_answer(truth) for truth in truths)
    return [exact, max(word_f1_v1(prediction, truth) for truth in truths)]


def example(number: int, truths: list[str]) -> SimpleNamespace:
    """Return what transformers' functions read of a question."""
    return SimpleNamespace(qas_id=str(number), answers=[{"text": truth} for truth in truths])


def score_v2(prediction: str, truths: list[str]) -> Case:
    """Return exact match and F1 as evaluate-v2.0.py does."""
    exact, f1 = get_raw_scores([example(0, truths)], {"0": prediction})
    return [bool(exact["0"]), float(f1["0"])]


def draw_question(generator: random.Random) -> tuple[str, list[str]]:
    """Draw an answer and true answers that often share words with it."""
    prediction = draw_text(generator, 5)
    truths = [draw_text(generator, 4) for _ in range(generator.randint(0, 3))]
    if truths and generator.random() < 0.6:
        words = [*prediction.split(), *generator.choices(WORDS, k=generator.randint(0, 2))]
        generator.shuffle(words)
        truths[0] = " ".join(words)
    if generator.random() < 0.15:
        prediction = ""
    return prediction, truths


def question_cases(generator: random.Random) -> list[Case]:
    """Return answers, true answers, and the scores under both versions."""
    edges = [("", []), ("", [""]), ("the", ["a"]), ("the", []), ("x", ["", "x"]), ("x", [])]
    edges += [("b b a", ["b a b b"]), ("B", ["b!", "c"]), ("", ["x", "the"]), (" ", ["..."])]
    questions = edges + [draw_question(generator) for _ in range(500)]
    return [
        [prediction, truths, score_v1(prediction, truths), score_v2(prediction, truths)]
        for prediction, truths in questions
    ]


def set_case(generator: random.Random, count: int, none: float) -> Case:
    """Return questions with `no_answer`, a threshold, and what is printed for all of them."""
    questions = []
    for _ in range(count):
        prediction, truths = draw_question(generator)
        truths = [] if generator.random() < none else truths
        # One digit, so that some are equal.
        questions.append([prediction, truths, round(generator.random(), 1)])
    threshold = generator.choice([1.0, 0.5, 0.3])
    evaluation = squad_evaluate(
        [example(number, truths) for number, (_, truths, _) in enumerate(questions)],
        {str(number): prediction for number, (prediction, _, _) in enumerate(questions)},
        {str(number): probability for number, (_, _, probability) in enumerate(questions)},
        threshold,
    )
    first = [score_v1(prediction, truths) for prediction, truths, _ in questions]
    # A question without true answers cannot be in SQuAD 1.1.
    scores = [score for score in first if score]
    sums = [sum(score[part] for score in scores) for part in range(2)]
    means = [100.0 * total / len(scores) for total in sums] if scores else None
    return [questions, threshold, dict(evaluation), means]


def tables() -> dict[str, list[Case]]:
    """Return all cases by what is compared."""
    generator = random.Random(SEED)
    texts = [*EDGES, *WORDS, *(draw_text(generator, 6) for _ in range(300))]
    return {
        "normal": [[text, normalize_answer(text)] for text in texts],
        "questions": question_cases(generator),
        "sets": [
            set_case(generator, generator.randint(1, 12), none)
            for none in [0.0, 0.3, 0.6, 1.0]
            for _ in range(50)
        ],
    }
