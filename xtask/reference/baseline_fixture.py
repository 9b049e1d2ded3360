"""Write the probabilities that scikit-learn's TF-IDF and logistic regression give for texts."""

import argparse
import json
import random
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

SEED = 7
# Letters with marks, digits, an underscore, words of one letter: what a tokenizer can get wrong.
WORDS = (
    "the a film plot cast story is was very so not It's I'd naïve CAFÉ Straße 42nd x² snake_case "
    "हिन्दी 映画 ΛΌΓΟΣ good great fine fun bad dull poor weak"
).split()
CUES = {
    2: (("bad", "dull", "poor", "weak"), ("good", "great", "fine", "fun")),
    3: (("bad", "dull", "poor"), ("plot", "story", "42nd"), ("good", "great", "fun")),
}
TRAIN, TEST = 60, 12


def draw_texts(generator: random.Random, classes: int, count: int) -> tuple[list[str], list[int]]:
    """Draw texts of ragged length with a cue of their label in most; labels are not balanced."""
    texts, labels = [], []
    for _ in range(count):
        label = generator.choices(range(classes), weights=range(1, classes + 1))[0]
        words = generator.choices(WORDS, k=generator.randint(0, 12))
        if generator.random() < 0.8:
            words.append(generator.choice(CUES[classes][label]))
        generator.shuffle(words)
        texts.append(generator.choice([" ", ", ", " -- "]).join(words))
        labels.append(label)
    return texts, labels


def case(classes: int) -> dict[str, object]:
    """Return texts, labels and what scikit-learn makes of them."""
    generator = random.Random(SEED + classes)
    train, labels = draw_texts(generator, classes, TRAIN)
    test, _ = draw_texts(generator, classes, TEST)
    vectorizer = TfidfVectorizer()
    # The defaults, but for where the search stops: the optimum itself is the reference.
    model = LogisticRegression(tol=1e-10, max_iter=100_000)
    model.fit(vectorizer.fit_transform(train), labels)
    rows = vectorizer.transform(test)
    return {
        "train": train,
        "labels": labels,
        "test": test,
        "words": len(vectorizer.vocabulary_),
        "row_sums": rows.toarray().sum(axis=1).tolist(),
        "probabilities": model.predict_proba(rows).tolist(),
    }


def main() -> None:
    """Write `baselines.json` into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    fixture = [case(classes) for classes in CUES]
    path = arguments.out / "baselines.json"
    text = json.dumps(fixture, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(fixture)} cases")


if __name__ == "__main__":
    main()
