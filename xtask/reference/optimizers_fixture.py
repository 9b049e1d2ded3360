"""Write what PyTorch's and transformers' optimisers make of given gradients, step by step.

Lion is in neither: it is program 1 of Chen et al. 2023 (arXiv 2302.06675).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers.optimization import Adafactor

RATE = 1e-2
DECAY = 0.1
BETAS = (0.8, 0.95)
EPSILON = 1e-6
STEPS = 4

Groups = list[dict[str, object]]


class Lion(torch.optim.Optimizer):
    """Program 1 of the paper."""

    def __init__(self, groups: Groups) -> None:
        """Take groups with a decay each."""
        super().__init__(groups, {"lr": RATE})

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter."""
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                gradient = parameter.grad
                update = torch.sign(BETAS[0] * mean + (1 - BETAS[0]) * gradient)
                parameter -= RATE * (update + group["weight_decay"] * parameter)
                mean.mul_(BETAS[1]).add_((1 - BETAS[1]) * gradient)


RULES: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON),
    "adam": lambda groups: torch.optim.Adam(groups, lr=RATE, betas=BETAS, eps=EPSILON),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=RATE),
    "adafactor": lambda groups: Adafactor(
        groups, lr=RATE, scale_parameter=False, relative_step=False
    ),
    "lion": Lion,
}


def run(rule: str, start: dict[str, Tensor], gradients: list[dict[str, Tensor]]) -> list[object]:
    """Return the parameters after each step; gradients are clipped to a common norm of 1."""
    weight = torch.nn.Parameter(start["weight"].clone())
    bias = torch.nn.Parameter(start["bias"].clone())
    optimizer = RULES[rule](
        [
            {"params": [weight], "weight_decay": DECAY},
            {"params": [bias], "weight_decay": 0.0},
        ]
    )
    after = []
    for gradient in gradients:
        weight.grad, bias.grad = gradient["weight"].clone(), gradient["bias"].clone()
        torch.nn.utils.clip_grad_norm_([weight, bias], 1.0)
        optimizer.step()
        after.append({"weight": weight.tolist(), "bias": bias.tolist()})
    return after


def main() -> None:
    """Write the fixture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    torch.manual_seed(0)

    def values() -> dict[str, Tensor]:
        return {"weight": torch.randn(4, 3), "bias": torch.randn(3)}

    start, gradients = values(), [values() for _ in range(STEPS)]
    fixture = {
        "rate": RATE,
        "weight_decay": DECAY,
        "betas": BETAS,
        "epsilon": EPSILON,
        "start": {name: tensor.tolist() for name, tensor in start.items()},
        "gradients": [
            {name: tensor.tolist() for name, tensor in step.items()} for step in gradients
        ],
        "after": {rule: run(rule, start, gradients) for rule in RULES},
    }
    text = json.dumps(fixture, indent=1)
    (out / "optimizers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
