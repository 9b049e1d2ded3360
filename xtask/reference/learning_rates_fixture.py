"""Write the learning rates of transformers' schedules, step by step."""

import argparse
import json
from pathlib import Path

import torch
from transformers import get_scheduler

PEAK = 2e-5

# Shape, warm-up, steps, and what is handed to the schedule.
CASES: list[tuple[str, int, int, dict[str, float]]] = [
    (shape, warmup, steps, {})
    for shape in (
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
    )
    for warmup, steps in ((0, 7), (3, 20), (1, 2))
] + [
    ("cosine", 2, 15, {"num_cycles": 1.5}),
    ("cosine_with_restarts", 2, 15, {"num_cycles": 3}),
    ("polynomial", 2, 15, {"power": 2.0}),
]


def rates(shape: str, warmup: int, steps: int, options: dict[str, float]) -> list[float]:
    """Return the rate of each step, and of one beyond the run."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    schedule = get_scheduler(
        shape,
        optimizer,
        num_warmup_steps=warmup,
        num_training_steps=steps,
        scheduler_specific_kwargs=options,
    )
    found = []
    for _ in range(steps + 1):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def main() -> None:
    """Write the fixture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    cases = [
        {
            "shape": shape,
            "warmup_steps": warmup,
            "total_steps": steps,
            "cycles": options.get("num_cycles"),
            "power": options.get("power"),
            "rates": rates(shape, warmup, steps, options),
        }
        for shape, warmup, steps, options in CASES
    ]
    text = json.dumps(cases, indent=1)
    (out / "learning_rates.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
