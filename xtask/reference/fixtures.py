"""Write the tiny reference models that the Rust parity tests compare against.

Every model is random but fully seeded, so a second run writes the same bytes.
Per family the folder holds the checkpoint as transformers saves it
(`config.json`, `model.safetensors`), the settings of the run (`settings.json`)
and what transformers and PyTorch computed from them (`reference.safetensors`).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    get_linear_schedule_with_warmup,
)

from tokenizer_fixture import write_tokenizer_fixture
from training import clip_and_step, decayed_adamw, norm_parameter_names

# Adam turns a gradient near its eps into noise. Of seeds 0 to 13, this one stays farthest
# from there: five steps in float32 and float64 agree to 2e-7 (`zero_gradient` apart).
SEED = 9
# Right padding from full down to a single token: the mask has to matter.
LENGTHS = (11, 7, 3, 1)
STEPS = 5
WARMUP_STEPS = 2
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
# Below this, a gradient in float64 is zero in exact arithmetic.
ZERO_GRADIENT = 1e-12


@dataclass(frozen=True)
class Family:
    """One tiny model and the checkpoint formats it is stored in."""

    model: type[PreTrainedModel]
    config: PreTrainedConfig
    pickled: bool = False


def tiny_bert(hidden_act: str) -> BertConfig:
    """Return the configuration of the two-layer BERT classifier."""
    return BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        type_vocab_size=2,
        hidden_act=hidden_act,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
        pad_token_id=0,
        id2label={0: "negative", 1: "neutral", 2: "positive"},
        label2id={"negative": 0, "neutral": 1, "positive": 2},
    )


FAMILIES = {
    "bert": Family(BertForSequenceClassification, tiny_bert("gelu"), pickled=True),
    "bert-gelu-new": Family(BertForSequenceClassification, tiny_bert("gelu_new")),
}


def build_model(family: Family) -> PreTrainedModel:
    """Build the model on eager attention with every parameter redrawn."""
    model = family.model._from_config(family.config, attn_implementation="eager")
    redraw_parameters(model)
    return model.train()


def redraw_parameters(model: PreTrainedModel) -> None:
    """Draw every parameter anew, so that a swapped or forgotten tensor shows.

    Fresh models have zero biases and norms of one, which hide such mistakes;
    the row of the padding token is drawn too.
    """
    generator = torch.Generator().manual_seed(SEED)
    norms = norm_parameter_names(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name in norms and name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            else:
                parameter.copy_(0.1 * noise)


def draw_batch(config: PreTrainedConfig) -> dict[str, Tensor]:
    """Draw token ids, mask, segment ids and labels for the ragged batch."""
    generator = torch.Generator().manual_seed(SEED + 1)
    rows, width = len(LENGTHS), max(LENGTHS)
    lengths = torch.tensor(LENGTHS).unsqueeze(1)
    mask = (torch.arange(width) < lengths).long()
    # Id 0 pads, so real tokens start at 1.
    ids = torch.randint(1, config.vocab_size, (rows, width), generator=generator)
    batch = {
        "input_ids": torch.where(mask.bool(), ids, config.pad_token_id),
        "attention_mask": mask,
        "labels": torch.tensor([row % config.num_labels for row in range(rows)]),
    }
    if getattr(config, "type_vocab_size", 0) > 1:
        second_segment = torch.arange(width) >= (lengths + 1) // 2
        batch["token_type_ids"] = second_segment.long() * mask
    return batch


def forward_reference(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the outputs, the loss and the gradient of every parameter."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    model.zero_grad()
    output = model(**batch, output_hidden_states=True)
    output.loss.backward()
    with torch.no_grad():
        backbone = model.base_model(**inputs)

    reference = {"loss": output.loss, "logits": output.logits}
    for name in ("last_hidden_state", "pooler_output"):
        if name in backbone:
            reference[name] = backbone[name]
    for index, hidden in enumerate(output.hidden_states):
        reference[f"hidden_states.{index}"] = hidden
    for name, parameter in model.named_parameters():
        reference[f"grad.{name}"] = parameter.grad.clone()
    return reference


def training_reference(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Train the model in place for a few AdamW steps and return the record."""
    optimizer = decayed_adamw(model, LEARNING_RATE, WEIGHT_DECAY)
    schedule = get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    losses, rates, norms = [], [], []
    for _ in range(STEPS):
        loss = model(**batch).loss
        loss.backward()
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        norms.append(clip_and_step(model, optimizer, MAX_GRAD_NORM).item())
        schedule.step()

    reference = {
        "losses": torch.tensor(losses, dtype=torch.float32),
        "lrs": torch.tensor(rates, dtype=torch.float64),
        "grad_norm": torch.tensor(norms, dtype=torch.float32),
    }
    for name, parameter in model.named_parameters():
        reference[f"after.{name}"] = parameter
    return reference


def zero_gradient_parameters(family: Family, batch: dict[str, Tensor]) -> list[str]:
    """Name the parameters whose gradient is zero but for rounding.

    A key's bias shifts all scores of a query alike, which softmax undoes. Adam
    scales such rounding noise up to whole steps: no two programs agree on it.
    """
    model = build_model(family).double()
    model(**batch).loss.backward()
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad.abs().max() < ZERO_GRADIENT
    ]


def settings(family: Family, batch: dict[str, Tensor]) -> dict[str, object]:
    """Describe how the reference was computed."""
    model = build_model(family)
    optimizer = decayed_adamw(model, LEARNING_RATE, WEIGHT_DECAY)
    decayed = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    return {
        "seed": SEED,
        "steps": STEPS,
        "warmup_steps": WARMUP_STEPS,
        "schedule": "linear",
        "optimizer": "adamw",
        "learning_rate": LEARNING_RATE,
        "betas": optimizer.defaults["betas"],
        "eps": optimizer.defaults["eps"],
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": MAX_GRAD_NORM,
        "loss": "cross_entropy_mean",
        "attention": "eager",
        "dtype": "float32",
        "lengths": LENGTHS,
        "decayed": [name for name, p in model.named_parameters() if id(p) in decayed],
        "zero_gradient": zero_gradient_parameters(family, batch),
    }


def write_family(family: Family, folder: Path) -> None:
    """Write one family's checkpoint, settings and reference values."""
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(family)
    model.save_pretrained(folder)
    if family.pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")

    batch = draw_batch(family.config)
    reference = batch | forward_reference(model, batch)
    model.zero_grad()
    reference |= training_reference(model, batch)
    tensors = {name: tensor.detach().contiguous() for name, tensor in reference.items()}
    save_file(tensors, folder / "reference.safetensors", metadata={"format": "pt"})

    text = json.dumps(settings(family, batch), indent=2) + "\n"
    (folder / "settings.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Write the fixtures named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--family", choices=FAMILIES, nargs="*", default=list(FAMILIES))
    arguments = parser.parse_args()

    # One thread: the order of a sum, and so its last bit, must not depend on the machine's cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.family:
        write_family(FAMILIES[name], arguments.out / name)
        print(f"wrote {arguments.out / name}")
    write_tokenizer_fixture(arguments.out / "tokenizer")
    print(f"wrote {arguments.out / 'tokenizer'}")


if __name__ == "__main__":
    main()
