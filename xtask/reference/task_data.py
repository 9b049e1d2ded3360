"""Write the data on which the tasks are measured, from public data sets and from a seed.

`tweets`, `types` (several labels), `pairs`, `ratings` (numbers) and `chats` come from a mirror of
the Hub and a file of rated snippets; `dates` and `reversed` (text to text) are drawn. Each is a
folder of JSON lines.
"""

import argparse
import datetime
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet

from splits import unit_hash

SPLITS = ("train", "validation", "test")
SENTIMENTS = ("negative", "neutral", "positive")
MONTHS = (
    "January February March April May June July August September October November December".split()
)
WORDS = (
    "red green blue black white yellow brown pink grey orange cat dog bird fish horse cow sheep "
    "goat lion bear one two three four five six seven eight nine ten north south east west sun "
    "moon star rain snow wind"
).split()

Rows = list[dict[str, Any]]


def rows_of(file: Path) -> Rows:
    """Read a parquet file."""
    return pyarrow.parquet.read_table(file).to_pylist()


def write(folder: Path, split: str, rows: Rows) -> None:
    """Write a split as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")


def sentiment(mirror: Path, split: str) -> Rows:
    """Read TweetEval's sentiment."""
    folder = mirror / "datasets/cardiffnlp/tweet_eval/sentiment"
    return rows_of(folder / f"{split}-00000-of-00001.parquet")


def wnut(mirror: Path, split: str) -> tuple[Rows, list[str]]:
    """Read WNUT-17, with the names of its tags."""
    folder = mirror / "datasets/leondz/wnut_17/wnut_17"
    file = folder / f"{split}-00000-of-00001.parquet"
    metadata = pyarrow.parquet.read_schema(file).metadata[b"huggingface"]
    tags = json.loads(metadata)["info"]["features"]["ner_tags"]
    return rows_of(file), (tags.get("feature") or tags)["names"]


def tweets(mirror: Path, split: str) -> Rows:
    """Return three classes of tweets."""
    rows = sentiment(mirror, split)
    return [{"text": row["text"], "label": SENTIMENTS[row["label"]]} for row in rows]


def types(mirror: Path, split: str) -> Rows:
    """Return which types of entities a tweet has: any number of labels."""
    rows, names = wnut(mirror, split)
    labels: dict[str, list[str]] = {}
    for row in rows:
        found = sorted({names[tag][2:] for tag in row["ner_tags"] if tag})
        labels.setdefault(" ".join(row["tokens"]), found)
    return [{"text": text, "label": found} for text, found in labels.items()]


def answered(rows: Rows, pool: Rows, seed: int) -> Rows:
    """Pair each question with its paragraph, or with another one of the same article."""
    draw = random.Random(seed)
    paragraphs: dict[str, set[str]] = {}
    for row in pool:
        paragraphs.setdefault(row["title"], set()).add(row["context"])
    pairs: dict[str, dict[str, Any]] = {}
    for row in rows:
        question = row["question"]
        if question in pairs:
            continue
        context, label = row["context"], "answered"
        if draw.random() >= 0.5:
            others = [one for one in sorted(paragraphs[row["title"]]) if one != context]
            context, label = draw.choice(others), "not_answered"
        pairs[question] = {"text": question, "text_pair": context, "label": label}
    return list(pairs.values())


def pairs(mirror: Path) -> dict[str, Rows]:
    """Return whether a paragraph answers a question."""
    folder = mirror / "datasets/mirror/squad_articles/plain_text"
    train = rows_of(folder / "train-00000-of-00001.parquet")
    test = rows_of(folder / "validation-00000-of-00001.parquet")
    held_out = [row for row in train if unit_hash(row["context"]) < 0.1]
    kept = [row for row in train if unit_hash(row["context"]) >= 0.1]
    return {
        "train": answered(kept, train, 1),
        "validation": answered(held_out, train, 2),
        "test": answered(test, test, 3),
    }


def ratings(file: Path) -> dict[str, Rows]:
    """Return the mean rating of each snippet."""
    found: dict[str, Rows] = {split: [] for split in SPLITS}
    seen = set()
    for line in file.read_bytes().decode("utf-8").split("\n"):
        fields = line.rstrip("\r").split("\t")
        if len(fields) < 3 or fields[2].strip() in seen:
            continue
        text = fields[2].strip()
        seen.add(text)
        place = unit_hash(text)
        split = "test" if place < 0.1 else "validation" if place < 0.2 else "train"
        found[split].append({"text": text, "label": float(fields[1])})
    return found


def entities(row: dict[str, Any], names: list[str]) -> list[str]:
    """Return the entities of a tweet as lines."""
    found: list[tuple[str, list[str]]] = []
    is_open = False
    for word, tag in zip(row["tokens"], row["ner_tags"], strict=True):
        name = names[tag]
        if name.startswith("B-"):
            found.append((name[2:], [word]))
        elif name.startswith("I-") and is_open:
            found[-1][1].append(word)
        is_open = name.startswith("B-") or (name.startswith("I-") and is_open)
    return [f"{kind}: {' '.join(words)}" for kind, words in found]


def chat(question: str, answer: str) -> dict[str, Any]:
    """Return a chat of one question."""
    said = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def chats(mirror: Path) -> dict[str, Rows]:
    """Return instructions: list the entities of a tweet, or say its sentiment."""
    draw = random.Random(0)
    found = {}
    for split, count in (("train", 400), ("validation", 60), ("test", 150)):
        rows, names = wnut(mirror, split)
        rows = [row for row in rows if entities(row, names)]
        draw.shuffle(rows)
        ask = "List the named entities of this tweet, with their types.\n"
        made = [
            chat(ask + " ".join(row["tokens"]), "\n".join(entities(row, names)))
            for row in rows[:count]
        ]
        rows = sentiment(mirror, split)
        draw.shuffle(rows)
        ask = "Is this tweet negative, neutral or positive?\n"
        made += [
            chat(ask + row["text"], f"The tweet is {SENTIMENTS[row['label']]}.")
            for row in rows[:count]
        ]
        draw.shuffle(made)
        found[split] = made
    return found


def ordinal(day: int) -> str:
    """Return 1st, 2nd, ..."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{day}{'th' if 10 <= day <= 20 else ends.get(day % 10, 'th')}"


def date(draw: random.Random) -> dict[str, str]:
    """Return a date in words, and by ISO 8601."""
    day = datetime.date(1950, 1, 1) + datetime.timedelta(days=draw.randrange(30000))
    month = MONTHS[day.month - 1]
    source = draw.choice(
        [
            f"{month} {day.day}, {day.year}",
            f"{day.day} {month} {day.year}",
            f"the {ordinal(day.day)} of {month} {day.year}",
            f"{month[:3]}. {day.day} {day.year}",
        ]
    )
    return {"source": source, "target": day.isoformat()}


def reverse(draw: random.Random) -> dict[str, str]:
    """Return words, and the same words from last to first."""
    words = [draw.choice(WORDS) for _ in range(draw.randrange(3, 8))]
    return {"source": " ".join(words), "target": " ".join(reversed(words))}


def drawn(draw: random.Random, make: Callable[[random.Random], dict[str, str]]) -> dict[str, Rows]:
    """Draw pairs of texts, no source twice."""
    seen: set[str] = set()
    found: dict[str, Rows] = {}
    for split, count in (("train", 8000), ("validation", 300), ("test", 500)):
        rows: Rows = []
        while len(rows) < count:
            row = make(draw)
            if row["source"] not in seen:
                seen.add(row["source"])
                rows.append(row)
        found[split] = rows
    return found


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", type=Path, required=True, help="laid out like the Hub")
    parser.add_argument("--ratings", type=Path, required=True, help="id, rating and text, by tabs")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    mirror = arguments.mirror
    draw = random.Random(7)
    made = {
        "tweets": {split: tweets(mirror, split) for split in SPLITS},
        "types": {split: types(mirror, split) for split in SPLITS},
        "pairs": pairs(mirror),
        "ratings": ratings(arguments.ratings),
        "chats": chats(mirror),
        "dates": drawn(draw, date),
        "reversed": drawn(draw, reverse),
    }
    for name, splits in made.items():
        for split, rows in splits.items():
            write(arguments.out / name, split, rows)


if __name__ == "__main__":
    main()
