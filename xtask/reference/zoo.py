"""Write a tiny random model of every family and head, and what transformers computes of it.

Every case has a folder: the checkpoint as transformers saves it (`config.json`,
`model.safetensors`), the settings (`settings.json`), the values (`reference.safetensors`)
and, where the model writes text, what it writes (`generation.json`). All is seeded.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

from parity import (
    InDouble,
    Schedule,
    decayed_parameters,
    exact_gradients,
    gradients,
    is_zero,
    redraw_parameters,
    training_reference,
    training_settings,
)
from zoo_batches import TARGET_LENGTHS, draw_batch, row_lengths
from zoo_cases import Case, all_cases
from zoo_families import TRANSLATING
from zoo_forward import Batch, forward_reference, mean_loss
from zoo_generation import generation_records, more_records

SCHEDULE = Schedule(steps=3, warmup_steps=1)
# Large enough that attention is far from uniform.
SPREAD = 0.3
# A seed's values after training may differ by this between float32 and float64.
CLOSE = 5e-7
SEEDS = range(200)


@dataclass(frozen=True)
class Training:
    """Gradients and steps of one seed, and what rounding does to them."""

    record: dict[str, Tensor]
    zero: list[str]
    noisy: dict[str, list[tuple[int, int]]]
    difference: float


def build_model(case: Case, seed: int) -> PreTrainedModel:
    """Build the model with every parameter and stored buffer redrawn."""
    model = case.model._from_config(case.config(), attn_implementation=case.settings.attention)
    output = model.get_output_embeddings()
    if case.settings.untied and output is not None:
        output.weight = torch.nn.Parameter(torch.empty_like(output.weight))
    redraw_parameters(model, seed, SPREAD)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name in model.state_dict():
                buffer.copy_(SPREAD * torch.randn(buffer.shape, generator=generator))
        if model.can_generate():
            # Generation is to stop now and then.
            output.weight[model.config.eos_token_id] *= 2.0
    return model.train()


def build_double(case: Case, seed: int) -> PreTrainedModel:
    """Build the same model in float64, on attention that leaves it there."""
    model = build_model(case, seed).double()
    for module in model.modules():
        if hasattr(module, "reorder_and_upcast_attn"):
            module.reorder_and_upcast_attn = False
    return model


def train(case: Case, seed: int, batch: Batch) -> Training:
    """Compute gradients and a few steps in float32, and judge them by those in float64."""

    def loss(model: PreTrainedModel) -> Tensor:
        return mean_loss(model, batch)

    def third(model: PreTrainedModel) -> Tensor:
        return loss(model) / 3.0

    double = build_double(case, seed)
    exact, rescaled = exact_gradients(double, loss), exact_gradients(double, third)
    with InDouble():
        expected = training_reference(double, SCHEDULE, loss)

    model = build_model(case, seed)
    loss(model).backward()
    found = gradients(model)
    record = {f"grad.{name}": gradient for name, gradient in found.items()}
    model.zero_grad()
    record |= training_reference(model, SCHEDULE, loss)

    # What no token reaches is zero however it is computed: that is no noise.
    noise = {
        name: is_zero(exact[name])
        & ((exact[name] != 0) | (rescaled[name] != 0) | (found[name] != 0))
        for name in found
    }
    zero = [name for name in found if is_zero(exact[name]).all()]
    differences = [
        (record[f"after.{name}"] - expected[f"after.{name}"]).abs()[~marks].max().item()
        for name, marks in noise.items()
        if not marks.all()
    ]
    partly = {name: runs(marks) for name, marks in noise.items() if name not in zero}
    noisy = {name: ranges for name, ranges in partly.items() if ranges}
    return Training(record, zero, noisy, max(differences))


def runs(marks: Tensor) -> list[tuple[int, int]]:
    """Return where runs of marked elements start and stop, counted in storage order."""
    flat = marks.flatten().int()
    edges = torch.diff(flat, prepend=torch.tensor([0]), append=torch.tensor([0]))
    starts, stops = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def choose_seed(case: Case) -> tuple[int, Batch, Training, list[dict[str, object]] | None]:
    """Find the first seed whose values no rounding turns into others."""
    for seed in SEEDS:
        model = build_model(case, seed).eval()
        written = generation_records(model, seed + 2) if model.can_generate() else None
        if model.can_generate() and written is None:
            continue
        batch = draw_batch(case.head, model.config, seed + 1)
        training = train(case, seed, batch)
        if training.difference < CLOSE:
            return seed, batch, training, written
    raise RuntimeError(f"{case.name}: no seed is good enough")


def save_checkpoint(case: Case, model: PreTrainedModel, folder: Path) -> None:
    """Save as transformers does, and write older names into the configuration."""
    model.save_pretrained(folder)
    if case.settings.stored:
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) | case.settings.stored
        kept = {key: value for key, value in config.items() if value is not None}
        text = json.dumps(kept, indent=2, sort_keys=True) + "\n"
        path.write_text(text, encoding="utf-8")


def check_checkpoint(case: Case, folder: Path, reference: dict[str, Tensor], batch: Batch) -> None:
    """Load the checkpoint and compare its outputs, bit by bit."""
    attention = case.settings.attention
    model = case.model.from_pretrained(folder, attn_implementation=attention).train()
    again = forward_reference(model, batch)
    different = [name for name, value in again.items() if not torch.equal(value, reference[name])]
    assert not different, (case.name, different)


def settings(case: Case, seed: int, training: Training) -> dict[str, object]:
    """Describe how the values were computed."""
    model = build_model(case, seed)
    return {
        "variant": case.variant,
        "head": case.head,
        "class": type(model).__name__,
        "seed": seed,
        **training_settings(model, SCHEDULE),
        "loss": "cross_entropy_mean",
        "attention": case.settings.attention,
        "dtype": "float32",
        "lengths": row_lengths(case.head, model.config),
        **({"target_lengths": TARGET_LENGTHS} if case.head == TRANSLATING else {}),
        "decayed": decayed_parameters(model),
        "zero_gradient": training.zero,
        "noisy_elements": training.noisy,
        "unused": [
            name for name, _ in model.named_parameters() if f"grad.{name}" not in training.record
        ],
    }


def write_case(case: Case, folder: Path) -> None:
    """Write one case's checkpoint, settings and values."""
    seed, batch, training, written = choose_seed(case)
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(case, seed)
    save_checkpoint(case, model, folder)
    reference = forward_reference(model, batch)
    check_checkpoint(case, folder, reference, batch)
    reference |= training.record
    # A last state without a final norm is the last layer's: the file has it under both names.
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in reference.items()}
    save_file(tensors, folder / "reference.safetensors", metadata={"format": "pt"})

    text = json.dumps(settings(case, seed, training), indent=2) + "\n"
    (folder / "settings.json").write_text(text, encoding="utf-8")
    if written is not None:
        written += more_records(model.eval(), seed + 2)
        lines = ",\n".join(json.dumps(record) for record in written)
        (folder / "generation.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{case.name}: seed {seed}, float64 differs by {training.difference:.0e}", flush=True)


def main() -> None:
    """Write the cases named on the command line, or all of them."""
    cases = {case.name: case for case in all_cases()}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--case", choices=cases, nargs="*", default=list(cases))
    arguments = parser.parse_args()

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # One thread: the order of a sum, and so its last bit, must not depend on the machine's cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.case:
        write_case(cases[name], arguments.out / "zoo" / name)
    files = [path for path in (arguments.out / "zoo").rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
