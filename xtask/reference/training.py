"""The optimiser settings that the fixtures and the reference trainer share."""

import torch
from torch import Tensor
from torch.optim import AdamW


def norm_parameter_names(model: torch.nn.Module) -> set[str]:
    """Name the parameters that belong to normalisation layers of any family."""
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if type(module).__name__.endswith("Norm")
        for name, _ in module.named_parameters(recurse=False)
    }


def decayed_adamw(
    model: torch.nn.Module, learning_rate: float, weight_decay: float, fused: bool = False
) -> AdamW:
    """Return AdamW that decays everything but biases and normalisation layers.

    Fused is faster and rounds otherwise: for timed runs, not for fixtures.
    """
    norms = norm_parameter_names(model)
    decayed: list[torch.nn.Parameter] = []
    plain: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        exempt = name in norms or name.endswith("bias")
        (plain if exempt else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=fused)


def clip_and_step(model: torch.nn.Module, optimizer: AdamW, max_grad_norm: float) -> Tensor:
    """Clip by the global norm, step, drop the gradients; return the norm before clipping."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    return norm
