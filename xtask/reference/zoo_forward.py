"""What transformers computes from a batch: every hidden state, the outputs and the loss."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.bart.modeling_bart import shift_tokens_right

from zoo_batches import single_rows

Batch = dict[str, Tensor]
OUTPUTS = (
    "logits",
    "start_logits",
    "end_logits",
    "prediction_logits",
    "seq_relationship_logits",
)


def first(value: object) -> Tensor:
    """Return the hidden states from what a layer or a stack of layers gave."""
    return value if isinstance(value, Tensor) else value[0]


def stacks(model: PreTrainedModel) -> dict[str, tuple[nn.Module, nn.ModuleList]]:
    """Find the encoder's and the decoder's layers by the prefix of their states' names.

    A model with one stack has no prefix. Lists inside layers do not count.
    """
    lists = {name: m for name, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    outer = {
        name: layers
        for name, layers in lists.items()
        if not any(name.startswith(f"{other}.") for other in lists)
    }
    if not model.config.is_encoder_decoder:
        ((name, layers),) = outer.items()
        return {"": (parent(model, name), layers)}
    return {
        "decoder_" if "decoder" in name else "encoder_": (parent(model, name), layers)
        for name, layers in outer.items()
    }


def parent(model: nn.Module, path: str) -> nn.Module:
    """Return the module that holds the one at this path."""
    return model.get_submodule(path.rpartition(".")[0])


@contextmanager
def recorded_states(model: PreTrainedModel) -> Iterator[dict[str, Tensor]]:
    """Record every layer's input and output, and what the stacks give at their end.

    State 0 is the embeddings' output, state i what layer i - 1 gave before any final norm,
    in every family.
    """
    states: dict[str, Tensor] = {}
    hooks = []

    def record(module: nn.Module, name: str) -> None:
        def keep(_module: nn.Module, _args: tuple, output: object) -> None:
            states[name] = first(output)

        hooks.append(module.register_forward_hook(keep))

    def record_input(module: nn.Module, name: str) -> None:
        def keep(_module: nn.Module, args: tuple) -> None:
            states.setdefault(name, args[0])

        hooks.append(module.register_forward_pre_hook(keep))

    def record_next(module: nn.Module, prefix: str) -> None:
        def keep(_module: nn.Module, _args: tuple, output: object) -> None:
            # A layer may come more than once.
            number = sum(name.startswith(f"{prefix}hidden_states.") for name in states)
            states[f"{prefix}hidden_states.{number}"] = first(output)

        hooks.append(module.register_forward_hook(keep))

    found = stacks(model)
    for prefix, (stack, layers) in found.items():
        record_input(layers[0], f"{prefix}hidden_states.0")
        for layer in layers:
            record_next(layer, prefix)
        if prefix == "encoder_":
            record(stack, "encoder_last_hidden_state")
        if prefix != "encoder_" or len(found) == 1:
            record(stack, "last_hidden_state")
    if getattr(model.base_model, "pooler", None) is not None:
        # ALBERT's pooler is a map only; its activation is a module of its own.
        last = getattr(model.base_model, "pooler_activation", model.base_model.pooler)
        record(last, "pooler_output")
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def mean_loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return the loss as it is without padding.

    transformers lets a span start and end in the padding too: rows one by one do not.
    """
    if "start_positions" not in batch:
        return model(**batch).loss
    return torch.stack([model(**row).loss for row in single_rows(batch)]).mean()


def decoder_inputs(model: PreTrainedModel, batch: Batch) -> Batch:
    """Return the decoder's ids that transformers makes of the labels, or of the input."""
    if "decoder_" not in stacks(model):
        return {}
    generates = model.can_generate()
    ids, config = batch["labels" if generates else "input_ids"], model.config
    shifted = shift_tokens_right(ids, config.pad_token_id, config.decoder_start_token_id)
    if generates:
        assert torch.equal(shifted, model.prepare_decoder_input_ids_from_labels(ids))
    return {"decoder_input_ids": shifted}


def forward_reference(model: PreTrainedModel, batch: Batch) -> dict[str, Tensor]:
    """Return the batch, the hidden states, the outputs and the loss."""
    extra = decoder_inputs(model, batch)
    with torch.no_grad(), recorded_states(model) as states:
        output = model(**batch)
        reference = batch | extra | states
    reference |= {name: output[name] for name in OUTPUTS if name in output}
    with torch.no_grad():
        reference["loss"] = mean_loss(model, batch)
        if "start_positions" in batch:
            reference["loss_with_padding"] = output.loss
        again = model(**batch, **extra)
    # The ids that were given explicitly are the ones that the model takes by itself.
    for name in OUTPUTS:
        assert name not in output or torch.equal(again[name], output[name])
    return reference
