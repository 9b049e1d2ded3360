"""Cases of texts, with their ROUGE, BLEU and chrF, for `texts.json`.

Needs rouge_score 0.1.2 and sacrebleu 2.6.0, in an environment of its own:

    pip install rouge_score==0.1.2 sacrebleu==2.6.0
    python metrics_texts.py --out ../../crates/temper-metrics/tests/fixtures
"""

import argparse
import json
import random
from pathlib import Path

import sacrebleu
from rouge_score import rouge_scorer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

SEED = 17
WORDS = (
    "the The cat sat on a mat , . 3.14 1,000 it's co-operate 7-up U.S. &quot;so&quot; naïve "
    "été 日本語 end. (yes) [no] 50% a/b <skipped> well-\nknown ! ? -- ' Straße x² 🙂 and and and"
).split(" ")
EDGES = [
    "",
    " ",
    "the",
    ".",
    "a b",
    "a b c d e",
    "日本",
    "the the the the",
    "\n",
    "1.5 -2",
    "&amp;",
]
SCORER = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)

Case = dict[str, object]


def draw_text(generator: random.Random) -> str:
    """Draw a text of some words."""
    if generator.random() < 0.15:
        return generator.choice(EDGES)
    count = generator.randint(1, 14)
    return generator.choice([" ", " ", "  "]).join(generator.choices(WORDS, k=count))


def changed(text: str, generator: random.Random) -> str:
    """Change some words of a text."""
    words = text.split(" ")
    for _ in range(generator.randint(0, 4)):
        place = generator.randrange(len(words))
        words[place] = generator.choice(WORDS)
    return " ".join(words[: generator.randint(1, len(words))])


def text_case(generator: random.Random) -> Case:
    """Score a text by itself."""
    reference = draw_text(generator)
    references = [reference] + [draw_text(generator) for _ in range(generator.randint(0, 2))]
    text = changed(reference, generator) if generator.random() < 0.7 else draw_text(generator)
    rouge = SCORER.score_multi(references, text)
    return {
        "text": text,
        "references": references,
        "tokens": Tokenizer13a()(text).split(),
        "rouge": [rouge[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")],
    }


def corpus_case(generator: random.Random) -> Case:
    """Score some texts together, each with as many references."""
    count, references = generator.randint(1, 6), generator.randint(1, 2)
    rows = [[draw_text(generator) for _ in range(references)] for _ in range(count)]
    texts = [
        changed(row[0], generator) if generator.random() < 0.8 else draw_text(generator)
        for row in rows
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {
        "texts": texts,
        "references": rows,
        "bleu": sacrebleu.corpus_bleu(texts, columns).score,
        "chrf": sacrebleu.corpus_chrf(texts, columns).score,
    }


def main() -> None:
    """Write the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    generator = random.Random(SEED)
    cases = {
        "texts": [text_case(generator) for _ in range(300)],
        "corpora": [corpus_case(generator) for _ in range(200)],
    }
    lists = []
    for key, rows in cases.items():
        lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
        lists.append(f'"{key}":[\n' + ",\n".join(lines) + "\n]")
    path = parser.parse_args().out / "texts.json"
    path.write_text("{" + ",\n".join(lists) + "}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
