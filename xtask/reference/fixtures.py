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
)

from parity import (
    Loss,
    Schedule,
    decayed_parameters,
    exact_gradients,
    gradients,
    is_zero,
    redraw_parameters,
    training_reference,
    training_settings,
)
from tokenizer_fixture import write_tokenizer_fixture

# Adam turns a gradient near its eps into noise. Of seeds 0 to 13, this one stays farthest
# from there: five steps in float32 and float64 agree to 2e-7 (`zero_gradient` apart).
SEED = 9
# Right padding from full down to a single token: the mask has to matter.
LENGTHS = (11, 7, 3, 1)
SCHEDULE = Schedule(steps=5, warmup_steps=2)


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
    redraw_parameters(model, SEED)
    return model.train()


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
    return reference | {f"grad.{name}": value for name, value in gradients(model).items()}


def settings(family: Family, loss: Loss) -> dict[str, object]:
    """Describe how the reference was computed."""
    model = build_model(family)
    exact = exact_gradients(build_model(family), loss)
    return {
        "seed": SEED,
        **training_settings(model, SCHEDULE),
        "loss": "cross_entropy_mean",
        "attention": "eager",
        "dtype": "float32",
        "lengths": LENGTHS,
        "decayed": decayed_parameters(model),
        "zero_gradient": [name for name, gradient in exact.items() if is_zero(gradient).all()],
    }


def write_family(family: Family, folder: Path) -> None:
    """Write one family's checkpoint, settings and reference values."""
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(family)
    model.save_pretrained(folder)
    if family.pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")

    batch = draw_batch(family.config)

    def loss(model: PreTrainedModel) -> Tensor:
        return model(**batch).loss

    reference = batch | forward_reference(model, batch)
    model.zero_grad()
    reference |= training_reference(model, SCHEDULE, loss)
    tensors = {name: tensor.detach().contiguous() for name, tensor in reference.items()}
    save_file(tensors, folder / "reference.safetensors", metadata={"format": "pt"})

    text = json.dumps(settings(family, loss), indent=2) + "\n"
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
