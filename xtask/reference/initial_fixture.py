"""Write how large the weights of new models are: root mean squares over many seeds.

For each model of the zoo, transformers initialises the same configuration with 40 seeds.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig

SEEDS = 40


def sizes(folder: Path) -> dict[str, float]:
    """Return the root mean square of each tensor of new models."""
    config = AutoConfig.from_pretrained(folder)
    kind = getattr(transformers, config.architectures[0])
    squares: dict[str, float] = {}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        for name, tensor in kind(config).state_dict().items():
            if tensor.is_floating_point():
                squares[name] = squares.get(name, 0.0) + tensor.square().mean().item() / SEEDS
    return {name: float(f"{square**0.5:.4g}") for name, square in sorted(squares.items())}


def main() -> None:
    """Write `initial.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of fixtures, with `zoo`")
    out = parser.parse_args().out
    cases = sorted(folder for folder in (out / "zoo").iterdir() if folder.is_dir())
    found = {folder.name: sizes(folder) for folder in cases}
    (out / "initial.json").write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
