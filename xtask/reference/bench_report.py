"""What docs/BENCHMARKS.md shows of the benchmark: its tables and its plot."""

import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# Text stays text, and equal results give equal bytes.
matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "temper", "font.size": 9}

from matplotlib import pyplot  # noqa: E402

RESULTS = "benchmarks.json"
PAGE = "BENCHMARKS.md"
PLOT = "benchmarks.svg"
BEGIN = "<!-- Written by cargo xtask bench: begin -->"
END = "<!-- Written by cargo xtask bench: end -->"
OURS = "Temper"
# Told apart without colour too: the bars carry their labels.
COLOURS = {"PyTorch": "#4269d0", "PyTorch, shuffled": "#4269d0", "candle": "#9c6b4e"}
OTHER_COLOUR = "#6cc5b0"

INTRODUCTION = """\
Both sides get the same examples, weights and settings, all cores, and compute in f32. Training has
dropout of 0.1, AdamW, clipping by the global norm, and reads the loss of every step; batches are
prepared in memory. Before anything is timed, both sides' logits on these examples must agree to
1e-4, their token ids exactly. Each side has a worker process; they are timed alternately, and the
run fails if an idle one takes CPU time from the other.

PyTorch runs transformers' BERT with `sdpa` attention and fused AdamW, without a mask if nothing is
padded; for prediction it sorts texts by length.
"""

EXPLANATION = """\
The ratio is the other program's value divided by Temper's: above 1, Temper is faster or smaller.
Values are medians of {pairs} pairs; in brackets are the lowest and the highest pair, which enclose
the true median with a confidence of {covered:.1f} %. Peak memory and whole fine-tuning are measured
once.
"""

Result = dict[str, Any]


def read(docs: Path) -> dict[str, Result]:
    """Return the stored results."""
    file = docs / RESULTS
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def store(docs: Path, name: str, outcome: Result) -> None:
    """Add a result to the stored ones and rewrite page and plot."""
    results = read(docs) | {name: outcome}
    text = json.dumps(results, indent=2)
    (docs / RESULTS).write_text(text + "\n", encoding="utf-8")
    page = docs / PAGE
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{section(results)}\n{END}{after}", encoding="utf-8")
    plot(docs / PLOT, results)


def others(outcome: Result) -> list[str]:
    """Name what Temper is compared with."""
    return [label for label in outcome["samples"] if label != OURS]


def ratios(outcome: Result, label: str) -> list[float]:
    """Return how many times as much as Temper the other takes, pair by pair."""
    pairs = zip(outcome["samples"][label], outcome["samples"][OURS], strict=True)
    return [theirs / ours for theirs, ours in pairs]


def told(outcome: Result, label: str) -> str:
    """Tell the median of a side's samples in its unit."""
    median = statistics.median(outcome["samples"][label])
    if outcome["unit"] == "bytes":
        return f"{median / 2**20:,.0f} MiB"
    if outcome["unit"] == "rate":
        return f"{outcome['amount'] / median:,.0f} {outcome['amount_name']}/s"
    text = f"{median:.1f} s" if median >= 10 else f"{median * 1000:,.0f} ms"
    if "accuracy" in outcome:
        text += f", accuracy {outcome['accuracy'][label]:.3f}"
    return text


def told_ratio(outcome: Result, label: str) -> str:
    """Tell the median ratio and, of several pairs, the lowest and the highest."""
    values = ratios(outcome, label)
    median = f"{statistics.median(values):.2f}"
    return median if len(values) == 1 else f"{median} ({min(values):.2f} to {max(values):.2f})"


def lines(outcome: Result) -> list[str]:
    """Tell a result for the terminal."""
    return [
        f"{outcome['title']}: Temper {told(outcome, OURS)}, {label} {told(outcome, label)}, "
        f"ratio {told_ratio(outcome, label)}"
        for label in others(outcome)
    ]


def table(results: dict[str, Result]) -> str:
    """Return a row for each side that Temper is compared with."""
    rows = ["| what | Temper | other program | | ratio |", "|---|---|---|---|---|"]
    rows += [
        f"| {outcome['title']} | {told(outcome, OURS)} | {label} | {told(outcome, label)} "
        f"| {told_ratio(outcome, label)} |"
        for outcome in results.values()
        for label in others(outcome)
    ]
    return "\n".join(rows)


def section(results: dict[str, Result]) -> str:
    """Return the page's part on speed."""
    last = list(results.values())[-1]["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in last["versions"].items())
    pairs = max(len(outcome["samples"][OURS]) for outcome in results.values())
    covered = 100 * (1 - 2 ** (1 - pairs))
    machine = (
        f"Machine: {last['cores']} cores of {last['cpu']}, {last['memory_gib']} GiB, "
        f"{last['system']}; {versions}."
    )
    parts = [
        INTRODUCTION,
        f"{machine}\n",
        EXPLANATION.format(pairs=pairs, covered=covered)
        + f"All samples: [{RESULTS}]({RESULTS}).\n",
        f"{table(results)}\n",
        f"![Ratios of the table: the other program's value divided by Temper's]({PLOT})\n",
    ]
    return "\n".join(parts)


def plot(file: Path, results: dict[str, Result]) -> None:
    """Draw a bar for each ratio, with the range of its pairs."""
    bars = [(outcome, label) for outcome in results.values() for label in others(outcome)]
    figure, axes = pyplot.subplots(figsize=(9, 0.9 + 0.34 * len(bars)), layout="constrained")
    for place, (outcome, label) in enumerate(bars):
        values = ratios(outcome, label)
        median = statistics.median(values)
        spread = [[median - min(values)], [max(values) - median]]
        colour = COLOURS.get(label, OTHER_COLOUR)
        axes.barh(place, median, color=colour, height=0.7, xerr=spread, ecolor="#444444")
        axes.text(0.02, place, f"{label}  {median:.2f}", va="center", color="white", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), [outcome["title"] for outcome, _ in bars])
    axes.invert_yaxis()
    axes.set_xlabel("times what Temper takes (right of the line: Temper is ahead)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
