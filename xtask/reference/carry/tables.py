"""The page that the results are read on."""

from typing import Any

Row = dict[str, Any]


def page(results: Row) -> str:
    """Write everything as Markdown."""
    parts = [
        header(results["machine"], results["pack"]),
        part("Tests of kernels", results, "kernels", TESTS),
        part("Beside transformers' values", results, "verification", VERIFICATION),
        part("Gradients beside the CPU's in f32", results, "gradients", GRADIENTS),
        part("Fine-tuning MiniLM on IMDB", results, "finetuning", FINETUNING),
        part("Short runs of MiniLM", results, "runs", RUNS),
        *speed(results),
        *(profile(row) for row in results.get("profile", [])),
        part("Steps of this run", results, "steps", STEPS),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def header(machine: Row, pack: Row) -> str:
    """Say what everything ran on."""
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    return (
        f"# Temper on {gpus}\n\n"
        f"{machine['date']}. Temper {pack['temper']} ({pack['commit']}), built for "
        f"{pack['backend']}, packed {pack['date']}; driver {machine['driver']}; {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}; "
        f"Python {machine['python']}, {versions}."
    )


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Write a table; the first column is of words, the others of numbers."""
    safe = [[text.replace("|", "\\|") for text in row] for row in rows]
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *safe]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(row: Row, key: str, text: str = "{}") -> str:
    """Write a value, or a dash where there is none."""
    value = row.get(key)
    return "-" if value is None else text.format(value)


def mebibytes(row: Row, key: str) -> str:
    """Write a number of bytes."""
    value = row.get(key)
    return "-" if value is None else f"{value / 2**20:,.0f} MiB"


def verdict(row: Row) -> str:
    """Say what became of a row of the verification."""
    if "failed" in row:
        return f"failed: {row['failed']}"
    right = row["verified"] == row["fixtures"] and row["largest"] <= row["tolerance"]
    return "verified" if right else "differs"


TESTS = {
    "program": lambda row: row["tests"],
    "passed": lambda row: cell(row, "passed"),
    "failed": lambda row: cell(row, "failed"),
    "": lambda row: row.get("failed_because", ""),
}
VERIFICATION = {
    "family": lambda row: row["family"],
    "precision": lambda row: row["precision"],
    "fixtures": lambda row: f"{row.get('verified', 0)} of {row.get('fixtures', '?')}",
    "largest difference": lambda row: cell(row, "largest", "{:.1e}"),
    "tolerance": lambda row: f"{row['tolerance']:.0e}",
    "": verdict,
}
FINETUNING = {
    "backend": lambda row: row["backend"],
    "precision": lambda row: row["precision"],
    "accuracy": lambda row: outcome(row, cell(row, "accuracy", "{:.4f}")),
    "training": lambda row: cell(row, "training_seconds", "{:.1f} s"),
    "tokens/s": lambda row: cell(row, "tokens_per_second", "{:,.0f}"),
    "memory of the process": lambda row: mebibytes(row, "peak_memory_bytes"),
    "of the GPU": lambda row: mebibytes(row, "device_memory_bytes"),
}
SPEED = {
    "side": lambda row: f"{row['side']}, compiled" if row["compiled"] else row["side"],
    "precision": lambda row: row["precision"],
    "a step": lambda row: outcome(row, cell(row, "seconds", "{:.4f} s")),
    "tokens/s": lambda row: cell(row, "tokens_per_second", "{:,.0f}"),
    "Temper's rate beside it": lambda row: cell(row, "ratio", "{:.2f}"),
    "GPU: tensors": lambda row: mebibytes(row, "device_in_use_bytes"),
    "allocator": lambda row: mebibytes(row, "device_reserved_bytes"),
    "host": lambda row: mebibytes(row, "host_peak_bytes"),
    "first step": lambda row: cell(row, "first_step_seconds", "{:.1f} s"),
    "logits beside PyTorch's in f32": lambda row: cell(row, "logits_differ", "{:.1e}"),
}
GRADIENTS = {
    "fixture": lambda row: row["fixture"],
    "precision": lambda row: row["precision"],
    "parameters": lambda row: cell(row, "parameters"),
    "largest distance": lambda row: outcome(row, cell(row, "largest", "{:.1e}")),
    "tolerance": lambda row: f"{row['tolerance']:.0e}",
    "": lambda row: "differs" if row.get("largest", 0.0) > row["tolerance"] else "",
}
RUNS = {
    "run": lambda row: row["run"],
    "precision": lambda row: row["precision"],
    "": lambda row: outcome(row, cell(row, "outcome")),
}
KERNELS = {
    "kernel": lambda row: f"`{row['name'][:160]}`",
    "launches": lambda row: f"{row['launches']:,}",
    "time": lambda row: f"{row['seconds'] * 1e3:.3f} ms",
    "share": lambda row: f"{row['share']:.1%}",
}
STEPS = {
    "step": lambda row: row["name"],
    "seconds": lambda row: f"{row['seconds']:.0f}",
    "": lambda row: row["outcome"],
}


def outcome(row: Row, text: str) -> str:
    """Write a value, or why there is none."""
    return f"failed: {row['failed']}" if "failed" in row else text


def part(title: str, results: Row, name: str, columns: dict[str, Any]) -> str:
    """Write one kind of rows under a title; nothing where there is none yet."""
    rows = results.get(name)
    if not rows:
        return ""
    cells = [[write(row) for write in columns.values()] for row in rows]
    return f"## {title}\n\n{table(list(columns), cells)}"


def speed(results: Row) -> list[str]:
    """Write a table for each shape, PyTorch's rows next to Temper's of the same precision."""
    shapes: dict[str, list[Row]] = {}
    for row in results.get("speed", []):
        shapes.setdefault(row["shape"], []).append(row)
    parts = []
    for title, rows in shapes.items():
        if "side" not in rows[0]:
            parts.append(f"## {title}\n\nfailed: {rows[0]['failed']}")
            continue
        for row in rows:
            row["ratio"] = ratio(row, rows)
        parts.append(part(title, {"speed": rows}, "speed", SPEED))
    return parts


def ratio(row: Row, rows: list[Row]) -> float | None:
    """Return Temper's tokens a second over this row's, in the same precision."""
    same = [other for other in rows if other["precision"] == row["precision"]]
    ours = next((other for other in same if other["side"] == "Temper"), {})
    rates = [found.get("tokens_per_second") for found in (ours, row)]
    return rates[0] / rates[1] if all(rates) and row["side"] != "Temper" else None


def profile(row: Row) -> str:
    """Write the kernels of a step."""
    title = f"Kernels, {row['precision']}: {row['shape']}"
    if "failed" in row:
        return f"## {title}\n\nfailed: {row['failed']}"
    return part(title, row, "kernels", KERNELS)
