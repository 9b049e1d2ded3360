"""Write what transformers computes for a checkpoint, as a reference for `temper verify`."""

import argparse
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

# Of ragged length, one of them a pair, so that padding and segments matter.
TEXTS = [
    ("The film is a quiet triumph.",),
    ("No.",),
    ("What did the critics say?", "They praised the acting and found the plot too thin."),
    (
        "It runs for nearly three hours, wanders through four countries and a dozen half-told "
        "stories, and still leaves its audience wishing - against all reason - for more.",
    ),
    ("Café, naïve & 中国 😀 42%",),
]
OUTPUTS = (
    "encoder_last_hidden_state",
    "logits",
    "start_logits",
    "end_logits",
    "prediction_logits",
    "seq_relationship_logits",
)


def load_model(folder: Path) -> PreTrainedModel:
    """Load the architecture that config.json names, head included."""
    config = AutoConfig.from_pretrained(folder)
    architecture = (config.architectures or [None])[0]
    model_class = getattr(transformers, architecture) if architecture else AutoModel
    # Falcon's eager attention adds ALiBi twice.
    attention = "sdpa" if config.model_type == "falcon" else "eager"
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
    return model.eval()


def encode_texts(folder: Path) -> dict[str, Tensor]:
    """Tokenise the texts and pad them on the right."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    if tokenizer.pad_token is None:
        # Decoders have none; the mask hides whatever is there.
        tokenizer.pad_token = tokenizer.eos_token
    rows = [tokenizer(*texts) for texts in TEXTS]
    return dict(tokenizer.pad(rows, return_tensors="pt"))


def decoder_inputs(model: PreTrainedModel, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the decoder reads, if there is one: the ids moved one place to the right."""
    if not model.config.is_encoder_decoder:
        return {}
    shifted = inputs["input_ids"].roll(1, dims=1)
    shifted[:, 0] = model.config.decoder_start_token_id
    return {"decoder_input_ids": shifted}


@torch.no_grad()
def forward_reference(model: PreTrainedModel, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return hidden states and, if the model has a head, its outputs."""
    output = model(**inputs, output_hidden_states=True)
    reference = {name: output[name] for name in OUTPUTS if output.get(name) is not None}
    if model.config.is_encoder_decoder:
        # T5 with a head is its own base model; the last state is the one after the final norm.
        return reference | {"last_hidden_state": output.decoder_hidden_states[-1]}
    base = model.base_model(**inputs)
    if base.get("pooler_output") is not None:
        reference["pooler_output"] = base.pooler_output
    return reference | {"last_hidden_state": base.last_hidden_state}


def main() -> None:
    """Write the inputs and outputs of the fixed texts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    arguments = parser.parse_args()

    torch.use_deterministic_algorithms(True)
    model = load_model(arguments.model)
    inputs = encode_texts(arguments.model)
    inputs |= decoder_inputs(model, inputs)
    reference = inputs | forward_reference(model, inputs)
    tensors = {name: tensor.contiguous() for name, tensor in reference.items()}
    save_file(tensors, arguments.out, metadata={"format": "pt"})
    for name, tensor in sorted(tensors.items()):
        print(f"{name}: {list(tensor.shape)} {tensor.dtype}")


if __name__ == "__main__":
    main()
