"""Random models and a few training steps of them, as the parity tests record them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from training import clip_and_step, decayed_adamw, norm_parameter_names

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
# Below this, a gradient in float64 is zero in exact arithmetic.
ZERO_GRADIENT = 1e-12

Loss = Callable[[PreTrainedModel], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long to train."""

    steps: int
    warmup_steps: int


def redraw_parameters(model: PreTrainedModel, seed: int, spread: float = 0.1) -> None:
    """Draw every parameter again, so that a swapped or forgotten tensor shows.

    Fresh models have zero biases and norms of one, which hide such mistakes;
    the row of the padding token is drawn too.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = norm_parameter_names(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name in norms and name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            else:
                parameter.copy_(spread * noise)


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the gradient of every parameter that has one."""
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def training_reference(model: PreTrainedModel, schedule: Schedule, loss: Loss) -> dict[str, Tensor]:
    """Train the model in place for a few AdamW steps and return the record."""
    optimizer = decayed_adamw(model, LEARNING_RATE, WEIGHT_DECAY)
    rate = get_linear_schedule_with_warmup(optimizer, schedule.warmup_steps, schedule.steps)
    losses, rates, norms = [], [], []
    for _ in range(schedule.steps):
        value = loss(model)
        value.backward()
        losses.append(value.item())
        rates.append(optimizer.param_groups[0]["lr"])
        trained = [
            name for name, parameter in model.named_parameters() if parameter.grad is not None
        ]
        norms.append(clip_and_step(model, optimizer, MAX_GRAD_NORM).item())
        rate.step()

    reference = {
        "losses": torch.tensor(losses, dtype=torch.float32),
        "lrs": torch.tensor(rates, dtype=torch.float64),
        "grad_norm": torch.tensor(norms, dtype=torch.float32),
    }
    parameters = dict(model.named_parameters())
    return reference | {f"after.{name}": parameters[name] for name in trained}


def training_settings(model: PreTrainedModel, schedule: Schedule) -> dict[str, object]:
    """Describe the optimiser and its schedule."""
    defaults = decayed_adamw(model, LEARNING_RATE, WEIGHT_DECAY).defaults
    return {
        "steps": schedule.steps,
        "warmup_steps": schedule.warmup_steps,
        "schedule": "linear",
        "optimizer": "adamw",
        "learning_rate": LEARNING_RATE,
        "betas": defaults["betas"],
        "eps": defaults["eps"],
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": MAX_GRAD_NORM,
    }


def decayed_parameters(model: PreTrainedModel) -> list[str]:
    """Name the parameters that weight decay shrinks."""
    optimizer = decayed_adamw(model, LEARNING_RATE, WEIGHT_DECAY)
    decayed = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    return [name for name, parameter in model.named_parameters() if id(parameter) in decayed]


class InDouble(TorchFunctionMode):
    """Models that ask for float32 in places compute in float64 there too."""

    def __torch_function__(
        self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Call the function with float64 wherever float32 was asked for."""

        def widened(value: object) -> object:
            return torch.float64 if value is torch.float32 else value

        function = Tensor.double if func is Tensor.float else func
        named = {name: widened(value) for name, value in (kwargs or {}).items()}
        return function(*map(widened, args), **named)


def exact_gradients(model: PreTrainedModel, loss: Loss) -> dict[str, Tensor]:
    """Return the gradients in float64; the model stays in it."""
    model.double()
    with InDouble():
        loss(model).backward()
    exact = gradients(model)
    model.zero_grad()
    return exact


def is_zero(gradient: Tensor) -> Tensor:
    """Mark the elements that are zero but for rounding.

    A key's bias shifts all scores of a query alike, which softmax undoes. Adam
    scales such rounding noise up to whole steps: no two programs agree on it.
    """
    return gradient.abs() < ZERO_GRADIENT
