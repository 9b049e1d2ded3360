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
# Settings whose accuracy is lower than f32's by more are no competitors.
TOLERANCE = 0.005
# Told apart without colour too: the bars carry their labels.
COLOURS = {"PyTorch": "#4269d0", "candle": "#9c6b4e"}
OTHER_COLOUR = "#3a8f7d"

INTRODUCTION = """\
All sides get the same examples and weights and all cores. Training has dropout of 0.1, AdamW,
clipping by the global norm, and reads the loss of every step; batches are prepared in memory.
Before anything is timed, the logits of all sides in f32 must agree to 1e-4, their token ids
exactly; a side in bf16 or int8 is judged by its accuracy. Each side has a worker process; they are
timed alternately, and the run fails if an idle one takes CPU time from the other.

PyTorch runs transformers' models with `sdpa` attention and fused AdamW, without a mask if nothing
is padded; for prediction it sorts texts by length. Its bf16 is autocast, for generation bf16
weights; its int8 is `quantize_dynamic`, a scale for each channel. ONNX Runtime's int8 is dynamic
too. OpenVINO's is NNCF's quantisation after training, with 100 reviews to learn the range of
activations.
"""

EXPLANATION = """\
The first table of a machine compares Temper's fastest setting with the fastest of all others. For
models that are used, a setting counts only if its accuracy is within half a point of that in f32.
The ratio is the other program's value divided by Temper's: above 1, Temper is faster or smaller.
Values are medians of as many rounds as the last column says; in brackets are the lowest and the
highest round, which enclose the true median with a confidence of {covered}.
Peak memory and whole fine-tuning are measured once.
"""

Result = dict[str, Any]


def read(docs: Path) -> list[Result]:
    """Return the stored results of each machine, the last measured last."""
    file = docs / RESULTS
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def store(docs: Path, machine: Result, name: str, outcome: Result) -> None:
    """Add a result to the stored ones and rewrite page and plot."""
    stored = read(docs)
    known = [entry for entry in stored if entry["machine"]["cpu"] == machine["cpu"]]
    cases = known[0]["cases"] if known else {}
    rest = [entry for entry in stored if entry not in known]
    stored = [*rest, {"machine": machine, "cases": cases | {name: outcome}}]
    text = json.dumps(stored, indent=2)
    (docs / RESULTS).write_text(text + "\n", encoding="utf-8")
    page = docs / PAGE
    before, _, rest_of_page = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest_of_page.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{section(stored)}\n{END}{after}", encoding="utf-8")
    plot(docs / PLOT, stored)


def setting(label: str) -> str:
    """Return program and precision, without the order of batches."""
    return label.partition(",")[0]


def program(label: str) -> str:
    """Return the program."""
    return setting(label).rpartition(" ")[0]


def competes(label: str, cases: dict[str, Result]) -> bool:
    """Return whether a setting is as accurate as f32, as far as that was measured."""
    accuracies = cases.get("accuracy", {}).get("samples", {})
    if setting(label) not in accuracies:
        return True
    least = accuracies[f"{program(label)} f32"][0] - TOLERANCE
    return accuracies[setting(label)][0] >= least


def fastest(name: str, cases: dict[str, Result]) -> tuple[str, str]:
    """Return the labels of Temper's fastest setting and of the fastest other one."""
    samples = cases[name]["samples"]
    # Training ends in another model: its accuracy is not that of a model that is only used.
    judged = {} if "train" in name else cases
    labels = sorted(
        (label for label in samples if competes(label, judged)),
        key=lambda label: statistics.median(samples[label]),
    )
    return (
        next(label for label in labels if program(label) == OURS),
        next(label for label in labels if program(label) != OURS),
    )


def ratios(outcome: Result, ours: str, theirs: str) -> list[float]:
    """Return how many times as much as Temper the other takes, round by round."""
    pairs = zip(outcome["samples"][theirs], outcome["samples"][ours], strict=True)
    return [their / our for their, our in pairs]


def rounds(outcome: Result) -> int:
    """Return how often a case was measured."""
    return max(map(len, outcome["samples"].values()))


def told(outcome: Result, label: str) -> str:
    """Tell the median of a side's samples in its unit."""
    median = statistics.median(outcome["samples"][label])
    if outcome["unit"] == "bytes":
        return f"{median / 2**20:,.0f} MiB"
    if outcome["unit"] == "share":
        return f"{median:.3f}"
    if outcome["unit"] == "rate":
        return f"{outcome['amount'] / median:,.0f} {outcome['amount_name']}/s"
    text = f"{median:.1f} s" if median >= 10 else f"{median * 1000:,.0f} ms"
    if "accuracy" in outcome:
        text += f", accuracy {outcome['accuracy'][label]:.3f}"
    return text


def told_ratio(outcome: Result, ours: str, theirs: str) -> str:
    """Tell the median ratio and, of several rounds, the lowest and the highest."""
    values = ratios(outcome, ours, theirs)
    median = f"{statistics.median(values):.2f}"
    return median if len(values) == 1 else f"{median} ({min(values):.2f} to {max(values):.2f})"


def lines(outcome: Result) -> list[str]:
    """Tell a result for the terminal."""
    labels = outcome["samples"]
    return [outcome["title"], *(f"  {label}: {told(outcome, label)}" for label in labels)]


def compared(cases: dict[str, Result]) -> list[str]:
    """Name the cases in which less is better."""
    return [name for name, outcome in cases.items() if outcome["unit"] != "share"]


def headline(cases: dict[str, Result]) -> str:
    """Return a row for each case: the fastest of both."""
    rows = [
        "| what | Temper | | fastest other | | ratio | rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in compared(cases):
        outcome = cases[name]
        ours, theirs = fastest(name, cases)
        rows.append(
            f"| {outcome['title']} | {ours.removeprefix(OURS).strip()} | {told(outcome, ours)} "
            f"| {theirs} | {told(outcome, theirs)} | {told_ratio(outcome, ours, theirs)} "
            f"| {rounds(outcome)} |"
        )
    return "\n".join(rows)


def details(cases: dict[str, Result]) -> str:
    """Return a row for each case with every setting."""
    rows = ["| what | every setting |", "|---|---|"]
    for outcome in cases.values():
        values = [f"{label} {told(outcome, label)}" for label in outcome["samples"]]
        rows.append(f"| {outcome['title']} | {'; '.join(values)} |")
    return "\n".join(rows)


def section(stored: list[Result]) -> str:
    """Return the page's part on speed: the machines, the last measured first."""
    outcomes = [outcome for entry in stored for outcome in entry["cases"].values()]
    counts = sorted({rounds(outcome) for outcome in outcomes} - {1})
    covered = [f"{100 * (1 - 2 ** (1 - count)):.1f} % for {count}" for count in counts]
    parts = [
        INTRODUCTION,
        EXPLANATION.format(covered=", ".join(covered)) + f"All samples: [{RESULTS}]({RESULTS}).\n",
    ]
    parts += [on_machine(entry) for entry in reversed(stored)]
    parts.append(f"![Ratios of the first tables: how much faster Temper is]({PLOT})\n")
    return "\n".join(parts)


def on_machine(entry: Result) -> str:
    """Return the tables of a machine."""
    machine, cases = entry["machine"], entry["cases"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"### {machine['cores']} cores of {machine['cpu']}\n\n"
        f"{machine['memory_gib']} GiB, {machine['system']}; {versions}.\n\n"
        f"{headline(cases)}\n\n{details(cases)}\n"
    )


def plot(file: Path, stored: list[Result]) -> None:
    """Draw a bar for each case of each machine, with the range of its rounds."""
    bars = [
        (entry["cases"][name], *fastest(name, entry["cases"]))
        for entry in reversed(stored)
        for name in compared(entry["cases"])
    ]
    # The maker of the processor tells machines apart.
    makers = [
        entry["machine"]["cpu"].split()[0].removesuffix("(R)")
        for entry in reversed(stored)
        for _ in compared(entry["cases"])
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.9 + 0.34 * len(bars)), layout="constrained")
    for place, (outcome, ours, theirs) in enumerate(bars):
        values = ratios(outcome, ours, theirs)
        median = statistics.median(values)
        spread = [[median - min(values)], [max(values) - median]]
        colour = COLOURS.get(program(theirs), OTHER_COLOUR)
        axes.barh(place, median, color=colour, height=0.7, xerr=spread, ecolor="#444444")
        text = f"{theirs}  {median:.2f}"
        axes.text(0.02, place, text, va="center", color="white", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    titles = [
        f"{outcome['title']} ({maker})" for (outcome, _, _), maker in zip(bars, makers, strict=True)
    ]
    axes.set_yticks(range(len(bars)), titles)
    axes.invert_yaxis()
    axes.set_xlabel("times what Temper takes (right of the line: Temper is ahead)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
