"""Cases of tagged sentences, with what seqeval makes of them, for `metrics_fixture.py`."""

import math
import random

from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Token, Tokens

SEED = 11
SCHEMES = {
    "iob1": (IOB1, "BI"),
    "iob2": (IOB2, "BI"),
    "iobes": (IOBES, "BIES"),
    "bilou": (BILOU, "BILU"),
}
KINDS = ["PER", "LOC", "WORK-OF-ART"]
# What no scheme has, or what may be read in two ways.
ODD = (
    "B I E S U . BPER OTHER O-PER B- I--PER B-PER- U-PER L-PER X-PER X .-PER É-PER BX-PER b-PER"
).split()

Case = list[object]


def draw_tags(generator: random.Random, prefixes: str, length: int) -> list[str]:
    """Draw tags whose kind mostly stays, so that there are entities of several tokens."""
    tags = []
    kind = generator.choice(KINDS)
    for _ in range(length):
        if generator.random() < 0.3:
            kind = generator.choice(KINDS)
        outside = generator.random() < 0.25
        tags.append("O" if outside else f"{generator.choice(prefixes)}-{kind}")
    return tags


def draw_entities(generator: random.Random, scheme: str, length: int) -> list[str]:
    """Draw tags as the scheme wants them."""
    tags: list[str] = []
    before = None
    while len(tags) < length:
        if generator.random() < 0.4:
            tags.append("O")
            before = None
            continue
        kind, size = generator.choice(KINDS), generator.randint(1, min(3, length - len(tags)))
        if scheme == "iob1":
            prefixes = ("B" if before == kind else "I") + "I" * (size - 1)
        elif scheme == "iob2":
            prefixes = "B" + "I" * (size - 1)
        else:
            single, last = ("S", "E") if scheme == "iobes" else ("U", "L")
            prefixes = single if size == 1 else "B" + "I" * (size - 2) + last
        tags += [f"{prefix}-{kind}" for prefix in prefixes]
        before = kind
    return tags


def change(generator: random.Random, tags: list[str], prefixes: str) -> list[str]:
    """Replace some tags, as a model would that is often right."""
    share = generator.choice([0.0, 0.1, 0.4])
    return [
        draw_tags(generator, prefixes, 1)[0] if generator.random() < share else tag for tag in tags
    ]


def lenient_cases(generator: random.Random) -> list[Case]:
    """Return sentences and what `get_entities` finds; ends are made exclusive."""
    sentences = [[], ["O"], ["B"], ["X", "X", "B-PER"], ["X", "O", "X", "I-PER"]]
    sentences += [[tag] for tag in ODD]
    sentences += [draw_tags(generator, "BIES", generator.randint(1, 12)) for _ in range(150)]
    sentences += [draw_tags(generator, "BILU", generator.randint(1, 12)) for _ in range(100)]
    for _ in range(250):
        tags = draw_tags(generator, "BIES", generator.randint(1, 8))
        sentences.append([generator.choice(ODD) if generator.random() < 0.4 else t for t in tags])
    return [
        [" ".join(tags), [[kind, start, end + 1] for kind, start, end in get_entities(tags)]]
        for tags in sentences
    ]


def strict_entities(tags: list[str], scheme: type[Token]) -> list[Case] | None:
    """Return kind, start and end of entities; none where seqeval raises."""
    try:
        found = Tokens(tags, scheme=scheme).entities
    except (KeyError, ValueError):
        return None
    return [[entity.tag, entity.start, entity.end] for entity in found]


def strict_cases(generator: random.Random) -> list[Case]:
    """Return sentences and what the strict mode finds under each scheme."""
    cases: list[Case] = []
    for name, (scheme, prefixes) in SCHEMES.items():
        sentences = [[], ["O"]] + [[tag] for tag in ODD]
        for _ in range(60):
            sentences.append(draw_entities(generator, name, generator.randint(1, 10)))
            sentences.append(draw_tags(generator, prefixes, generator.randint(1, 10)))
            changed = change(generator, sentences[-2], prefixes)
            # Where one of these is a tag of the scheme, the rest of it counts.
            odd = [generator.choice(ODD) if generator.random() < 0.1 else tag for tag in changed]
            sentences += [changed, odd]
        cases += [[name, " ".join(tags), strict_entities(tags, scheme)] for tags in sentences]
    return cases


def report_case(name: str, truth: list[list[str]], predicted: list[list[str]]) -> Case:
    """Return sentences and seqeval's report; an average that is not a number is none."""
    strict = {"mode": "strict", "scheme": SCHEMES[name][0]} if name in SCHEMES else {}
    report = classification_report(truth, predicted, output_dict=True, zero_division=0, **strict)
    rows = {}
    for key, row in report.items():
        scores = [float(row[score]) for score in ("precision", "recall", "f1-score")]
        rows[key] = None if math.isnan(scores[0]) else [*scores, int(row["support"])]
    return [name, [" ".join(tags) for tags in truth], [" ".join(tags) for tags in predicted], rows]


def report_cases(generator: random.Random) -> list[Case]:
    """Return reports in the default mode, under the name "lenient", and in the strict ones."""
    nothing, one, other = [["O", "O"]], [["B-PER", "O"]], [["B-LOC", "O"]]
    pairs = [(nothing, nothing), (one, nothing), (nothing, one), (one, other), (one, one)]
    cases = [report_case("lenient", *pair) for pair in pairs]
    cases += [report_case("iob2", *pair) for pair in pairs]
    for number in range(300):
        name = ["lenient", *SCHEMES][number % 5]
        scheme = generator.choice(list(SCHEMES)) if name == "lenient" else name
        prefixes = SCHEMES[scheme][1]
        lengths = [generator.randint(1, 8) for _ in range(generator.randint(1, 4))]
        truth = [draw_entities(generator, scheme, length) for length in lengths]
        if generator.random() < 0.2:
            truth = [draw_tags(generator, prefixes, length) for length in lengths]
        predicted = [change(generator, tags, prefixes) for tags in truth]
        cases.append(report_case(name, truth, predicted))
    return cases


def tables() -> dict[str, list[Case]]:
    """Return all cases by what is compared."""
    generator = random.Random(SEED)
    return {
        "lenient": lenient_cases(generator),
        "strict": strict_cases(generator),
        "reports": report_cases(generator),
    }
